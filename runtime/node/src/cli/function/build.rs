//! `syncline function build`.

use std::fs;

use serde_json::json;

use super::args::BuildArgs;
use super::source;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, fields};

pub(super) fn run(args: &BuildArgs, out: &Output) -> Result<(), Failure> {
    if !args.folder.is_dir() {
        let folder = args.folder.display();
        return Err(Failure::Failed(format!(
            "{folder} is no folder; `syncline function new {folder}` makes one with a function"
        )));
    }
    let built = source::build(&args.folder)?;
    let mut path = built.path;
    if let Some(copy) = &args.out {
        fs::copy(&path, copy)
            .map_err(|error| Failure::Failed(format!("write {}: {error}", copy.display())))?;
        path = copy.clone();
    }
    let version = format!("sha256:{}", built.version_hex);
    if out.is_json() {
        return out.json(&json!({ "version": version, "file": path, "size": built.size }));
    }
    out.text(&fields(&[
        ("version", version),
        ("file", path.display().to_string()),
        ("size", format!("{} bytes", built.size)),
    ]))
}
