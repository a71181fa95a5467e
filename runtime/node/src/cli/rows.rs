//! `syncline rows`: read and write rows.

use std::fs;
use std::io::{self, Read as _};

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::args::{DeleteArgs, ListArgs, PageArgs, PutArgs, RowArgs, RowsCommand};
use super::client::{Answer, Client, encode};
use super::failure::Failure;
use super::output::{self, Output, cut, note, printable};

/// How much of a row a list shows.
const IMAGE_CHARS_MAX: usize = 80;

/// A page of a list.
#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Item {
    row_pk: String,
    image: Box<RawValue>,
    etag: String,
}

/// A row for programs. Not built by `json!`, which would read the image's numbers and write others.
#[derive(Serialize)]
struct Shown<'a> {
    table: &'a str,
    row_pk: &'a str,
    etag: &'a str,
    hlc: &'a str,
    waiting: u64,
    image: &'a RawValue,
}

pub(super) fn run(command: RowsCommand, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        RowsCommand::Get(row) => get(&row, client, out),
        RowsCommand::Put(args) => put(&args, client, out),
        RowsCommand::Delete(args) => delete(&args, client, out),
        RowsCommand::List(args) => list(&args, client, out),
    }
}

fn path(row: &RowArgs) -> String {
    format!("/v1/tables/{}/rows/{}", encode(&row.table), encode(&row.row_pk))
}

fn get(row: &RowArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get(&path(row), &[])?;
    let waiting = answer.header("syncline-waiting");
    let hlc = answer.header("syncline-hlc").unwrap_or_default();
    let etag = answer.etag().unwrap_or_default();
    if out.is_json() {
        let image: Box<RawValue> = client.decode(&answer)?;
        return out.json(&Shown {
            table: &row.table,
            row_pk: &row.row_pk,
            etag,
            hlc,
            waiting: waiting.and_then(|n| n.parse().ok()).unwrap_or_default(),
            image: &image,
        });
    }
    let mut line = answer.body.clone();
    line.push(b'\n');
    out.bytes(&line)?;
    note(&format!("etag {}\nhlc  {}", printable(etag), printable(hlc)));
    if let Some(count) = waiting {
        let count = printable(count);
        note(&format!("{count} changes of this row are here but cannot be applied yet"));
    }
    Ok(())
}

fn put(args: &PutArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let image = read_image(&args.image)?;
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(args.if_match.iter().map(|etag| ("if-match", quoted(etag))));
    if args.if_none_match {
        headers.push(("if-none-match", "*".to_owned()));
    }
    let answer = client.send(Method::PUT, &path(&args.row), &headers, image)?;
    let created = answer.status == 201;
    show_written(if created { "created" } else { "replaced" }, &args.row, &answer, client, out)
}

fn delete(args: &DeleteArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let headers: Vec<_> = args.if_match.iter().map(|etag| ("if-match", quoted(etag))).collect();
    let answer = client.send(Method::DELETE, &path(&args.row), &headers, Vec::new())?;
    show_written("deleted", &args.row, &answer, client, out)
}

fn show_written(
    what: &str,
    row: &RowArgs,
    answer: &Answer,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let written: Written = client.decode(answer)?;
    let etag = answer.etag().unwrap_or_default();
    let Written { hlc, token } = written;
    if out.is_json() {
        return out.json(&json!({ "done": what, "etag": etag, "hlc": hlc, "token": token }));
    }
    out.text(&format!("{what} {}/{}\n", row.table, row.row_pk))?;
    note(&format!("etag {}\nhlc  {}", printable(etag), printable(&hlc)));
    Ok(())
}

/// The answer to a write.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    hlc: String,
    token: serde_json::Value,
}

fn list(args: &ListArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let PageArgs { limit, cursor } = &args.page;
    let path = format!("/v1/tables/{}/rows", encode(&args.table));
    let limit = limit.to_string();
    let query = [
        ("prefix", args.prefix.as_deref()),
        ("limit", Some(limit.as_str())),
        ("cursor", cursor.as_deref()),
    ];
    let answer = client.get(&path, &query)?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let page: Page = client.decode(&answer)?;
    out.text(&page.table())?;
    if let Some(cursor) = &page.next_cursor {
        note(&format!("There are more: --cursor {}", printable(cursor)));
    }
    Ok(())
}

impl Page {
    fn table(&self) -> String {
        let row = |item: &Item| {
            [item.row_pk.clone(), item.etag.clone(), cut(item.image.get(), IMAGE_CHARS_MAX)]
        };
        let rows: Vec<_> = self.items.iter().map(row).collect();
        output::table(["ROW", "ETAG", "IMAGE"], &rows)
    }
}

/// The row that an argument stands for.
fn read_image(argument: &str) -> Result<Vec<u8>, Failure> {
    let read = if argument == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else if let Some(file) = argument.strip_prefix('@') {
        fs::read(file)
    } else {
        return Ok(argument.as_bytes().to_vec());
    };
    let from = argument.strip_prefix('@').unwrap_or("stdin");
    read.map_err(|error| Failure::Failed(format!("cannot read the row from {from}: {error}")))
}

/// An ETag as HTTP wants it. Shells eat the quotes easily, so they may be left out.
fn quoted(etag: &str) -> String {
    if etag == "*" || etag.contains('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_may_come_without_its_quotes() {
        assert_eq!(quoted("ab"), "\"ab\"");
        assert_eq!(quoted("\"ab\""), "\"ab\"");
        assert_eq!(quoted("*"), "*");
        assert_eq!(quoted("W/\"ab\""), "W/\"ab\"");
    }

    #[test]
    fn a_list_shows_the_start_of_each_row() {
        let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(100));
        let page: Page = serde_json::from_str(&format!(
            r#"{{"items":[{{"row_pk":"c-1","image":{{"n":1.50}},"etag":"\"a\""}},
                {{"row_pk":"c-22","image":{long},"etag":"\"b\""}}],"next_cursor":null}}"#
        ))
        .unwrap();
        insta::assert_snapshot!(page.table(), @r#"
        ROW   ETAG  IMAGE
        c-1   "a"   {"n":1.50}
        c-22  "b"   {"note":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
        "#);
    }

    #[test]
    fn a_row_comes_from_the_argument_or_a_file() {
        assert_eq!(read_image("{}").unwrap(), b"{}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("row.json");
        fs::write(&file, b"{\"a\":1}").unwrap();
        assert_eq!(read_image(&format!("@{}", file.display())).unwrap(), b"{\"a\":1}");
        let missing = read_image("@no/such/file").unwrap_err();
        assert!(matches!(missing, Failure::Failed(text) if text.contains("no/such/file")));
    }
}
