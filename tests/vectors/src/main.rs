//! `syncline-vectors FILE`: checks a file of vectors.

use std::process::ExitCode;

const PERMUTATIONS: u64 = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file] = &arguments[..] else {
        eprintln!("usage: syncline-vectors FILE   (one vector a line, as the model prints them)");
        return ExitCode::from(2);
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("cannot read {file}: {error}");
            return ExitCode::from(2);
        }
    };
    let progress = |done: usize| {
        if done.is_multiple_of(1000) {
            eprintln!("{done} vectors hold so far");
        }
    };
    match syncline_vectors::check_file(&text, PERMUTATIONS, progress) {
        Ok(count) => {
            println!(
                "{count} vectors hold, each in the order of its changes and in {PERMUTATIONS} random \
                 orders with duplicates and gaps"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{file}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
