//! From the annotated function to the function, a check of its types, and the component's entry.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, GenericParam, ReturnType, Type};

use crate::signature::{Argument, Signature};

const SHAPE: &str =
    "a merge function has the form `fn merge(c: Conflict<T>) -> Result<Option<T>, MergeError>`";

pub(crate) fn merge_function(
    attribute: TokenStream,
    item: TokenStream,
) -> syn::Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(Error::new_spanned(attribute, "`#[merge_function]` takes no arguments"));
    }
    let signature: Signature = syn::parse2(item.clone())?;
    check_form(&signature)?;
    let types = type_check(&signature, argument(&signature)?)?;
    let name = &signature.ident;
    Ok(quote! {
        #item

        #types

        #[cfg(target_arch = "wasm32")]
        ::syncline_sdk::component::export!(#name);
    })
}

fn refuse<T>(tokens: &dyn ToTokens, what: &str) -> syn::Result<T> {
    Err(Error::new_spanned(tokens.to_token_stream(), format!("{what}; {SHAPE}")))
}

/// What can be told without knowing types.
fn check_form(signature: &Signature) -> syn::Result<()> {
    if let Some(token) = &signature.asyncness {
        return refuse(token, "a merge function can't be async: it has nothing to wait for");
    }
    if let Some(token) = &signature.unsafety {
        return refuse(token, "a merge function can't be unsafe: the runtime makes no promises");
    }
    if let Some(token) = &signature.abi {
        return refuse(token, "a merge function has no ABI of its own");
    }
    let typed = |param: &&GenericParam| !matches!(param, GenericParam::Lifetime(_));
    if let Some(param) = signature.generics.params.iter().find(typed) {
        return refuse(param, "a merge function can't be generic, except over lifetimes");
    }
    Ok(())
}

/// The type of the one argument.
fn argument(signature: &Signature) -> syn::Result<&Type> {
    match &signature.first {
        None => refuse(&signature.ident, "a merge function takes one argument"),
        Some(_) if !signature.more.is_empty() => {
            refuse(&signature.more, "a merge function takes one argument")
        }
        Some(Argument::Receiver(receiver)) => {
            refuse(receiver, "a merge function can't be a method")
        }
        // The likeliest slip, which the compiler would explain by trait bounds.
        Some(Argument::Typed(reference)) if matches!(**reference, Type::Reference(_)) => {
            refuse(reference, "a merge function takes its conflict by value")
        }
        Some(Argument::Typed(argument)) => Ok(argument),
    }
}

/// A function that is never called and compiles only if the types fit; errors point at the types.
fn type_check(signature: &Signature, argument: &Type) -> syn::Result<TokenStream> {
    let ReturnType::Type(_, answer) = &signature.output else {
        let message = format!("a merge function answers with a result; {SHAPE}");
        return Err(Error::new(signature.ident.span(), message));
    };
    let name = &signature.ident;
    let call = quote_spanned! {argument.span()=> ::syncline_sdk::resolve(#name, conflict) };
    let bytes = quote_spanned! {answer.span()=>
        ::core::result::Result<
            ::core::option::Option<::std::vec::Vec<u8>>,
            ::syncline_sdk::MergeError,
        >
    };
    Ok(quote! {
        const _: () = {
            #[allow(dead_code)]
            fn has_the_types_of_a_merge_function(
                conflict: ::syncline_sdk::Conflict<&[u8]>,
            ) -> #bytes {
                #call
            }
        };
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(attribute: &str, item: &str) -> String {
        let (attribute, item) = (attribute.parse().unwrap(), item.parse().unwrap());
        merge_function(attribute, item).unwrap_err().to_string()
    }

    #[test]
    fn a_function_stays_as_it_is_and_may_borrow() {
        for text in [
            "fn merge<'a>(c: Conflict<Row<'a>>) -> Answer<'a> { body() }",
            "#[inline] pub(crate) const fn m(#[a] syncline::Conflict { older, .. }: C) -> R { x }",
            "fn m(mut c: Conflict<Map<K, V>>,) -> R where u8: Copy { x }",
        ] {
            let expanded = merge_function(TokenStream::new(), text.parse().unwrap()).unwrap();
            // How tokens are spaced is up to the printer.
            let packed = |text: &str| text.split_whitespace().collect::<String>();
            assert!(packed(&expanded.to_string()).starts_with(&packed(text)), "{expanded}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        for (item, reason) in [
            ("struct Merge;", "expected `fn`"),
            ("async fn m(c: Conflict<T>) -> R { x }", "can't be async"),
            ("unsafe fn m(c: Conflict<T>) -> R { x }", "can't be unsafe"),
            ("extern \"C\" fn m(c: Conflict<T>) -> R { x }", "no ABI"),
            ("fn m<T>(c: Conflict<T>) -> R { x }", "can't be generic"),
            ("fn m() -> R { x }", "takes one argument"),
            ("fn m(a: A, b: B) -> R { x }", "takes one argument"),
            ("fn m(self) -> R { x }", "can't be a method"),
            ("fn m(&mut self) -> R { x }", "can't be a method"),
            ("fn m(self: Box<Self>) -> R { x }", "can't be a method"),
            ("fn m(c) -> R { x }", "expected `:`"),
            ("fn m(c: Conflict<T>, d) -> R { x }", "takes one argument"),
            ("fn m(c: &Conflict<T>) -> R { x }", "by value"),
            ("fn m(c: Conflict<T>) { x }", "answers with a result"),
        ] {
            let text = refusal("", item);
            assert!(text.contains(reason), "{item}: {text}");
        }
        assert!(refusal("name = \"x\"", "fn m() {}").contains("takes no arguments"));
    }
}
