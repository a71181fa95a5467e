//! Licence expressions, as SPDX writes them (annex D of its specification), and whether one can be
//! met with licences from a list.

use std::iter::Peekable;
use std::vec::IntoIter;

/// True if the expression can be met with the allowed licences alone. An exception belongs to its
/// licence: `Apache-2.0 WITH LLVM-exception` is on the list as such, or as `Apache-2.0`, as an
/// exception only ever adds to what is permitted.
///
/// # Errors
/// What is wrong with the expression.
pub fn is_met(expression: &str, allowed: &[&str]) -> Result<bool, String> {
    let mut tokens = tokens(expression).into_iter().peekable();
    let met = any_of(&mut tokens, allowed)?;
    match tokens.next() {
        None => Ok(met),
        Some(token) => Err(format!("`{token}` after the end")),
    }
}

type Tokens = Peekable<IntoIter<String>>;

/// `/` is how crates once wrote OR.
fn tokens(expression: &str) -> Vec<String> {
    let mut spaced = expression.replace('/', " OR ");
    for bracket in ["(", ")"] {
        spaced = spaced.replace(bracket, &format!(" {bracket} "));
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

fn next_is(tokens: &mut Tokens, word: &str) -> bool {
    tokens.next_if(|token| token.eq_ignore_ascii_case(word)).is_some()
}

fn any_of(tokens: &mut Tokens, allowed: &[&str]) -> Result<bool, String> {
    let mut met = all_of(tokens, allowed)?;
    while next_is(tokens, "OR") {
        met |= all_of(tokens, allowed)?;
    }
    Ok(met)
}

fn all_of(tokens: &mut Tokens, allowed: &[&str]) -> Result<bool, String> {
    let mut met = one(tokens, allowed)?;
    while next_is(tokens, "AND") {
        met &= one(tokens, allowed)?;
    }
    Ok(met)
}

fn one(tokens: &mut Tokens, allowed: &[&str]) -> Result<bool, String> {
    if next_is(tokens, "(") {
        let met = any_of(tokens, allowed)?;
        return if next_is(tokens, ")") { Ok(met) } else { Err("`(` is never closed".into()) };
    }
    let licence = word(tokens)?;
    if !next_is(tokens, "WITH") {
        return Ok(allowed.contains(&licence.as_str()));
    }
    let with = format!("{licence} WITH {}", word(tokens)?);
    Ok(allowed.contains(&licence.as_str()) || allowed.contains(&with.as_str()))
}

fn word(tokens: &mut Tokens) -> Result<String, String> {
    match tokens.next() {
        None => Err("it ends too early".into()),
        Some(token) if ["(", ")", "AND", "OR", "WITH"].contains(&token.as_str()) => {
            Err(format!("`{token}` where a licence should be"))
        }
        Some(token) => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: [&str; 3] = ["MIT", "Apache-2.0", "GPL-2.0 WITH Classpath-exception-2.0"];

    #[test]
    fn expressions_are_evaluated() {
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("MIT AND GPL-3.0-only", false),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0-only OR MIT AND Apache-2.0", true),
            ("(GPL-3.0-only OR MIT) AND Unlicense", false),
            ("(MIT OR Unlicense) AND Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", true),
            ("GPL-2.0 WITH Bison-exception-2.2", false),
        ] {
            assert_eq!(is_met(expression, &ALLOWED), Ok(met), "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for bad in ["", "MIT OR", "(MIT", "MIT)", "MIT Apache-2.0", "WITH MIT", "AND"] {
            assert!(is_met(bad, &ALLOWED).is_err(), "{bad}");
        }
    }
}
