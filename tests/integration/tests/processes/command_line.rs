//! The same by the command line, and what it says when things go wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use syncline_harness::{Dev, If, PATIENCE, example_function, syncline, wait_for};
use syncline_integration::{Ran, run_cli};

fn run(url: &str, arguments: &[&str]) -> Ran {
    run_cli(url, arguments, "").unwrap()
}

/// Runs a command that must do what it is asked to.
fn done(url: &str, arguments: &[&str]) -> Ran {
    let ran = run(url, arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
    ran
}

#[test]
fn regions_are_cut_healed_and_compared_by_the_command_line() {
    let dev = Dev::start(&["us-east-1", "eu-west-1"]).unwrap();
    let (us, eu) = (dev.regions()[0].url.as_str(), dev.regions()[1].url.as_str());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cart.wasm");
    std::fs::write(&file, example_function("cart").unwrap()).unwrap();
    let deployed = done(us, &["deploy", file.to_str().unwrap(), "--table", "carts"]);
    assert!(deployed.stdout.contains("complete"), "{deployed:?}");
    assert!(deployed.stderr.contains("eu-west-1: active"), "{deployed:?}");
    let functions = done(eu, &["functions", "list"]);
    assert!(functions.stdout.contains("us-east-1"), "{functions:?}");

    let first = r#"{"items":[{"id":"fig","qty":1}]}"#;
    let put = run_cli(us, &["rows", "put", "carts", "c/1", "--if-none-match"], first).unwrap();
    assert_eq!((put.code, put.stdout.as_str()), (0, "created carts/c/1\n"), "{put:?}");
    let arrived = wait_for("the row to arrive", PATIENCE, || {
        let got = run_cli(eu, &["rows", "get", "carts", "c/1", "--output", "json"], "")?;
        anyhow::ensure!(got.code == 0, "{got:?}");
        Ok(got.json())
    });
    let etag = arrived.unwrap()["etag"].as_str().unwrap().to_owned();

    done(us, &["link", "cut", "us-east-1", "eu-west-1"]);
    assert!(done(us, &["topology"]).stdout.contains("cut"));
    let row = |fig: u64| format!(r#"{{"items":[{{"id":"fig","qty":{fig}}}]}}"#);
    // The ETag without its quotes, as shells leave it.
    let bare = etag.trim_matches('"');
    done(us, &["rows", "put", "carts", "c/1", &row(3), "--if-match", bare]);
    done(eu, &["rows", "put", "carts", "c/1", &row(2), "--if-match", &etag]);
    let apart = run(us, &["digests", "--compare", eu]);
    assert_eq!(apart.code, 1, "{apart:?}");
    assert!(apart.stdout.contains("not comparable yet"), "{apart:?}");
    let healed = done(eu, &["link", "heal", "us-east-1", "eu-west-1"]);
    assert_eq!(healed.stdout, "no link is cut\n");

    dev.wait_quiet().unwrap();
    let compared = done(us, &["digests", "--compare", eu]);
    assert!(compared.stdout.contains("equal: all 2 regions"), "{compared:?}");
    for url in [us, eu] {
        assert_eq!(done(url, &["rows", "get", "carts", "c/1"]).stdout, format!("{}\n", row(4)));
        assert!(done(url, &["rows", "list", "carts"]).stdout.contains("c/1"));
    }
    let list = done(us, &["conflicts", "list", "--table", "carts", "--output", "json"]).json();
    let id = list["items"][0]["conflict_id"].as_str().unwrap().to_owned();
    let shown = done(eu, &["conflicts", "show", &id]);
    assert!(shown.stdout.contains(&format!("ancestor\n  {first}\n")), "{shown:?}");
    assert!(shown.stdout.ends_with(&format!("result\n  {}\n", row(4))), "{shown:?}");
}

#[test]
fn refusals_are_readable_and_have_their_exit_codes() {
    let mut dev = Dev::start(&["a"]).unwrap();
    let url = dev.regions()[0].url.clone();
    done(&url, &["rows", "put", "t", "k", "{}"]);
    let refused = run(&url, &["rows", "put", "t", "k", "{}", "--if-none-match"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("(412, precondition-failed)"), "{refused:?}");
    assert_eq!(refused.stdout, "");
    let refused = run(&url, &["rows", "put", "t", "k", "[1]", "--output", "json"]);
    let document: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!((refused.code, document["code"].as_str()), (1, Some("invalid-row")));
    let missing = run(&url, &["rows", "get", "t", "other"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("row-not-found"), "{missing:?}");
    assert_eq!(run(&url, &["rows", "get", "t"]).code, 2);
    assert_eq!(run(&url, &["link", "cut", "a", "zz"]).code, 1);
    assert_eq!(run(&url, &["deploy", "no/such/file", "--table", "t"]).code, 1);

    assert!(dev.stop().unwrap().success());
    let unreachable = run(&url, &["digests"]);
    assert_eq!(unreachable.code, 3, "{unreachable:?}");
    assert!(unreachable.stderr.contains(&url), "{unreachable:?}");
    assert!(unreachable.stderr.contains("syncline dev"), "{unreachable:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dev = Dev::start(&["a"]).unwrap();
    let region = &dev.regions()[0];
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(900_000));
    region.put("t", "k", &large, If::Always).unwrap().success().unwrap();
    let mut child = Command::new(syncline().unwrap())
        .args(["rows", "get", "t", "k", "--url", &region.url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The row is larger than any pipe holds, so the command is still writing when this goes.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("panic"), "{stderr}");
}

/// Answers one request with these bytes, whatever is asked.
fn answers_once(answer: &'static str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while request.read_line(&mut line).unwrap_or_default() > 2 {
            line.clear();
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    url
}

#[test]
fn what_is_no_region_is_told_from_one() {
    let url = answers_once("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 5\r\n\r\noops\n");
    let ran = run(&url, &["topology"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("does not answer like a region"), "{ran:?}");
    let url = answers_once("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"cut");
    assert_eq!(run(&url, &["topology"]).code, 3);
    let url = answers_once(concat!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n",
        "retry-after: 7\r\ncontent-length: 62\r\n\r\n",
        r#"{"title":"Stopping","code":"stopping","detail":"come back on"} "#
    ));
    let ran = run(&url, &["topology"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("Stopping (503, stopping)"), "{ran:?}");
    assert!(ran.stderr.contains("Try again in 7 s."), "{ran:?}");
}

#[test]
fn a_configuration_is_checked_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("region.toml");
    std::fs::write(&file, "[region]\nid = \"a\"\ndatum = \"x\"\n").unwrap();
    let ran = run("http://127.0.0.1:1", &["config", "check", "--config", file.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("region.toml") && ran.stderr.contains("datum"), "{ran:?}");
}
