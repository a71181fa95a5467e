//! The attribute macro of `syncline-sdk`; use it from there.
//!
//! It checks the form of the function and leaves the types to the compiler. The function itself is
//! never changed.

mod expand;
mod signature;

use proc_macro::TokenStream;

/// Makes a function the merge function of this component.
///
/// The function takes one `Conflict<T>` and answers `Result<Option<T>, MergeError>`, where `T` is a
/// `Row`. It stays an ordinary function, to be called and tested natively; on wasm32 alone the
/// component's entry is exported beside it. So a component has one merge function, while a native
/// program can link several.
///
/// `T` may borrow from the images: `fn merge<'a>(c: Conflict<Cart<'a>>) -> ...`.
#[proc_macro_attribute]
pub fn merge_function(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::merge_function(attribute.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
