//! A function's signature, as far as a merge function's is looked at.
//!
//! syn has a parser of whole items, in a feature that doubles the time of its own build, and with
//! that the wait for an author's first build. The rest of the function is left to the compiler.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Abi, Attribute, Generics, Ident, ReturnType, Token, Type, Visibility, parenthesized};

/// The parts of a signature that decide.
pub(crate) struct Signature {
    pub(crate) asyncness: Option<Token![async]>,
    pub(crate) unsafety: Option<Token![unsafe]>,
    pub(crate) abi: Option<Abi>,
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) first: Option<Argument>,
    /// The tokens of all further arguments.
    pub(crate) more: TokenStream,
    pub(crate) output: ReturnType,
}

/// One argument.
pub(crate) enum Argument {
    Typed(Box<Type>),
    /// `self` in any form.
    Receiver(TokenStream),
}

impl Parse for Signature {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        input.parse::<Option<Token![const]>>()?;
        let asyncness = input.parse()?;
        let unsafety = input.parse()?;
        let abi = if input.peek(Token![extern]) { Some(input.parse()?) } else { None };
        input.parse::<Token![fn]>()?;
        let ident = input.parse()?;
        let generics = input.parse()?;
        let arguments;
        parenthesized!(arguments in input);
        let first = if arguments.is_empty() { None } else { Some(arguments.parse()?) };
        arguments.parse::<Option<Token![,]>>()?;
        let more = arguments.parse()?;
        let output = input.parse()?;
        // The `where` and the body.
        input.parse::<TokenStream>()?;
        Ok(Self { asyncness, unsafety, abi, ident, generics, first, more, output })
    }
}

impl Parse for Argument {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        input.call(Attribute::parse_outer)?;
        let mut pattern = TokenStream::new();
        let mut is_self = false;
        while !input.is_empty() && !input.peek(Token![,]) {
            if input.peek(Token![::]) {
                input.parse::<Token![::]>()?.to_tokens(&mut pattern);
            } else if input.peek(Token![:]) {
                break;
            } else {
                is_self |= input.peek(Token![self]);
                input.parse::<TokenTree>()?.to_tokens(&mut pattern);
            }
        }
        if !is_self {
            input.parse::<Token![:]>()?;
            return Ok(Self::Typed(input.parse()?));
        }
        if input.parse::<Option<Token![:]>>()?.is_some() {
            input.parse::<Type>()?;
        }
        Ok(Self::Receiver(pattern))
    }
}
