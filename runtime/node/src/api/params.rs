//! Path, query and precondition headers: checked into types, or refused with a reason.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderName, header};
use syncline_core::{Precondition, RowKey, RowPk, TableName};

use crate::problem::{Code, Problem};

/// As axum gives them.
pub(super) type PathOf<T> = Result<Path<T>, PathRejection>;
/// As axum gives it. A key that stands twice counts as it stands last.
pub(super) type QueryOf = Result<Query<BTreeMap<String, String>>, QueryRejection>;

pub(super) fn path<T>(path: PathOf<T>) -> Result<T, Problem> {
    path.map(|Path(parts)| parts)
        .map_err(|rejection| Problem::new(Code::InvalidRequest, rejection.body_text()))
}

pub(super) fn table(name: &str) -> Result<TableName, Problem> {
    name.parse().map_err(|error| Problem::new(Code::InvalidTable, error))
}

pub(super) fn row_pk(pk: &str) -> Result<RowPk, Problem> {
    pk.parse().map_err(|error| Problem::new(Code::InvalidRowPk, error))
}

pub(super) fn row(parts: PathOf<(String, String)>) -> Result<RowKey, Problem> {
    let (name, pk) = path(parts)?;
    Ok(RowKey { table: table(&name)?, pk: row_pk(&pk)? })
}

/// The parameters of a query, each of which must be known.
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    pub(super) fn of(query: QueryOf, known: &[&str]) -> Result<Self, Problem> {
        let Query(params) =
            query.map_err(|rejection| Problem::new(Code::InvalidRequest, rejection.body_text()))?;
        if let Some(unknown) = params.keys().find(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            let detail = format!("there is no parameter {unknown:?} here; there are: {known}");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(Self(params))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// False where it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                let detail = format!("{name} is true or false, not {other:?}");
                Err(Problem::new(Code::InvalidRequest, detail))
            }
        }
    }

    /// Where a page goes on.
    pub(super) fn cursor<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        let wrong = |_| Problem::new(Code::InvalidCursor, "use next_cursor as it was given");
        self.text("cursor").map(str::parse).transpose().map_err(wrong)
    }

    /// Items of a page.
    pub(super) fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(text) = self.text("limit") else { return Ok(default) };
        match text.parse() {
            Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
            _ => {
                let detail = format!("limit is a number from 1 to {max}, not {text:?}");
                Err(Problem::new(Code::InvalidRequest, detail))
            }
        }
    }
}

/// A row's tag as it stands in a header.
pub(super) fn etag(tag: [u8; 16]) -> String {
    format!("\"{}\"", hex::encode(tag))
}

/// The tags of If-Match or If-None-Match; none where the header is not there.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let mut all = Vec::new();
    let mut found = false;
    for value in headers.get_all(name) {
        found = true;
        let wrong = || {
            let detail = format!("{name} is * or a list of tags in double quotes");
            Problem::new(Code::InvalidPrecondition, detail)
        };
        let text = value.to_str().map_err(|_| wrong())?;
        if text.trim() == "*" {
            return Ok(Some(Tags::Any));
        }
        for tag in text.split(',').map(str::trim) {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let inner = inner.ok_or_else(wrong)?;
            let mut bytes = [0; 16];
            // A tag that this server never gave out matches nothing; nor does a weak one.
            if hex::decode_to_slice(inner, &mut bytes).is_ok() && strong.len() == tag.len() {
                all.push(bytes);
            }
        }
    }
    Ok(found.then_some(Tags::These(all)))
}

enum Tags {
    Any,
    These(Vec<[u8; 16]>),
}

/// What a client asks to be true of the row that it writes.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let matches = tags(headers, &header::IF_MATCH)?;
    let none_matches = tags(headers, &header::IF_NONE_MATCH)?;
    match (matches, none_matches) {
        (None, None) => Ok(Precondition::None),
        (Some(Tags::Any), None) => Ok(Precondition::Exists),
        (Some(Tags::These(tags)), None) => Ok(Precondition::Tags(tags)),
        (None, Some(Tags::Any)) => Ok(Precondition::Absent),
        (None, Some(Tags::These(_))) => Err(Problem::new(
            Code::InvalidPrecondition,
            "a write takes If-None-Match: * only, for a row that must not be there",
        )),
        (Some(_), Some(_)) => Err(Problem::new(
            Code::InvalidPrecondition,
            "a write takes If-Match or If-None-Match, not both",
        )),
    }
}

/// True if a reader has the row with this tag already.
pub(super) fn is_known(headers: &HeaderMap, tag: [u8; 16]) -> Result<bool, Problem> {
    Ok(match tags(headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::These(tags)) => tags.contains(&tag),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn preconditions_are_read() {
        let tag = [0xab; 16];
        let text = etag(tag);
        let read = |pairs: &[(&str, &str)]| precondition(&headers(pairs)).map_err(|p| p.code());
        assert_eq!(read(&[]), Ok(Precondition::None));
        assert_eq!(read(&[("if-match", "*")]), Ok(Precondition::Exists));
        assert_eq!(read(&[("if-none-match", "*")]), Ok(Precondition::Absent));
        assert_eq!(read(&[("if-match", &text)]), Ok(Precondition::Tags(vec![tag])));
        let list = format!("\"other\", {text}, W/{text}");
        assert_eq!(read(&[("if-match", &list)]), Ok(Precondition::Tags(vec![tag])));
        for bad in [
            vec![("if-match", "abc")],
            vec![("if-match", "")],
            vec![("if-match", "\"a")],
            vec![("if-none-match", "\"a\"")],
            vec![("if-match", "*"), ("if-none-match", "*")],
        ] {
            assert_eq!(read(&bad), Err(Code::InvalidPrecondition), "{bad:?}");
        }
    }
}
