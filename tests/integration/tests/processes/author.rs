//! The function author's loop by the command line: from an empty folder to a function that is live.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use syncline_guest_build::examples_dir;
use syncline_harness::{Dev, If, PATIENCE, example_function, wait_for};
use syncline_hostile::corpus;
use syncline_integration::{BadGuest, Ran, run_cli};

/// Where nobody listens: these commands ask no region.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A case whose row most functions can make nothing of, and one that the hostile guests don't mind.
const CASES: &str = r#"[{"name":"both","ancestor":{"n":1},"older":{"n":2},"newer":{"n":3}}]"#;

fn function(arguments: &[&str]) -> Ran {
    run_cli(NOWHERE, &[&["function"], arguments].concat(), "").unwrap()
}

/// Runs a command that must do what it is asked to, and answers in JSON.
fn answered(arguments: &[&str]) -> Value {
    let ran = function(&[arguments, &["--output", "json"]].concat());
    assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
    ran.json()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A component and a file of cases, in a folder.
fn component(folder: &Path, bytes: &[u8]) -> (PathBuf, PathBuf) {
    let (file, cases) = (folder.join("function.wasm"), folder.join("cases.json"));
    fs::write(&file, bytes).unwrap();
    fs::write(&cases, CASES).unwrap();
    (file, cases)
}

fn verdict<'a>(report: &'a Value, law: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["law"] == law).unwrap()
}

/// New, tested, verified, built, inspected, run and deployed, as the README of a new function says.
fn from_new_to_live(lang: &str, template: &str, row: [&str; 3], merged: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join(format!("my-{template}"));
    let here = text(&here);
    let new = answered(&["new", here, "--lang", lang, "--template", template]);
    assert_eq!(new["name"], format!("my-{template}"));
    let tested = answered(&["test", here]);
    assert_eq!(tested["differing"], json!([]), "{tested}");
    assert!(tested["compared"].as_u64() > Some(20), "{tested}");
    let report = answered(&["verify", here, "--generated", "200"]);
    assert_eq!(report["blocking"], json!([]), "{report}");
    assert_eq!(verdict(&report, "total")["verdict"], "holds", "{report}");
    assert_eq!(verdict(&report, "deterministic")["verdict"], "holds", "{report}");
    assert_eq!(verdict(&report, "keeps-unknown-fields")["verdict"], "holds", "{report}");

    let built = answered(&["build", here]);
    let inspected = answered(&["inspect", built["file"].as_str().unwrap()]);
    assert_eq!(inspected["version"], built["version"]);
    assert_eq!(inspected["manifest"]["name"], new["name"]);

    let dev = Dev::start(&["a", "b"]).unwrap();
    let [a, b] = dev.regions() else { panic!("two regions") };
    let deployed = run_cli(&a.url, &["deploy", here, "--table", "t"], "").unwrap();
    assert_eq!(deployed.code, 0, "{deployed:?}");
    assert!(deployed.stdout.contains("verified"), "{deployed:?}");
    a.put("t", "k", row[0], If::Absent).unwrap().success().unwrap();
    dev.wait_equal().unwrap();
    a.cut("a", "b").unwrap();
    a.put("t", "k", row[1], If::Always).unwrap().success().unwrap();
    b.put("t", "k", row[2], If::Always).unwrap().success().unwrap();
    a.heal("a", "b").unwrap();
    wait_for("the conflict to be merged", PATIENCE, || {
        for region in [a, b] {
            let held = region.get("t", "k")?.map(|row| row.image).unwrap_or_default();
            let held: Value = serde_json::from_slice(&held)?;
            anyhow::ensure!(held == *merged, "{held}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_function_in_rust_comes_from_an_empty_folder_to_two_regions() {
    let rows = [r#"{"count":5}"#, r#"{"count":7}"#, r#"{"count":6,"note":"x"}"#];
    from_new_to_live("rust", "counter", rows, &json!({"count": 8, "note": "x"}));
}

#[test]
fn a_function_in_assemblyscript_comes_from_an_empty_folder_to_two_regions() {
    let row = |fig: u64| format!(r#"{{"items":[{{"id":"fig","qty":{fig}}}]}}"#);
    let rows = [&*row(1), &*row(3), &*row(2)];
    from_new_to_live("assemblyscript", "cart", rows, &json!({"items": [{"id": "fig", "qty": 4}]}));
}

#[test]
fn the_verifier_tells_what_a_function_is() {
    let folder = tempfile::tempdir().unwrap();

    let (file, cases) = component(folder.path(), &example_function("first-word").unwrap());
    let witnesses = folder.path().join("witnesses");
    let arguments = ["verify", text(&file), "--cases", text(&cases)];
    let report = answered(&[&arguments[..], &["--witnesses", text(&witnesses)]].concat());
    assert_eq!(verdict(&report, "commutative")["verdict"], "broken", "{report}");
    assert_eq!(verdict(&report, "keeps-unknown-fields")["verdict"], "broken", "{report}");
    assert_eq!(verdict(&report, "associative")["verdict"], "holds", "{report}");
    // The witness is a case that `run` takes, and shows what it witnesses.
    let witness = witnesses.join("commutative.json");
    let shown = answered(&["run", text(&file), "--conflict", text(&witness)]);
    assert_ne!(shown["calls"][0]["row"], shown["calls"][1]["row"], "{shown}");

    let (file, cases) = component(folder.path(), &BadGuest::Traps.component());
    let ran = function(&["verify", text(&file), "--cases", text(&cases), "--output", "json"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(ran.json()["blocking"][0]["case"], "both", "{ran:?}");

    let remembers = corpus().into_iter().find(|h| h.name == "remembers-in-a-global").unwrap();
    let (file, cases) = component(folder.path(), &remembers.component());
    let arguments = ["verify", text(&file), "--cases", text(&cases), "--generated", "50"];
    let ran = function(&arguments);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("deterministic         holds"), "{ran:?}");
    assert!(ran.stdout.contains("an instance of its own"), "{ran:?}");
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (file, cases) = component(folder.path(), b"no component");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("no-case.json"), "[{\"older\": 1}]").unwrap();
    fs::create_dir(at("empty")).unwrap();
    let (file, cases) = (text(&file), text(&cases));
    let (bad, empty) = (at("no-case.json"), at("empty"));
    for (arguments, code, says) in [
        (&["inspect", file][..], 1, "not-wasm"),
        (&["run", file, "--conflict", cases], 1, "this is no WebAssembly"),
        (&["test", file, "--cases", text(&bad)], 1, "a row is a JSON object"),
        (&["test", file, "--cases", text(&empty)], 1, "no file of cases"),
        (&["build", text(&empty)], 1, "package.json"),
        (&["new", "Not_A_Name"], 2, "lower-case letters"),
        (&["new", text(&at("x")), "--sdk", "nowhere"], 2, "the folder of a checkout"),
        (&["new", text(folder.path())], 2, "lower-case letters"),
        (&["new", text(&at("y")), "--lang", "assemblyscript", "--template", "set"], 2, "in Rust"),
    ] {
        let ran = function(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {ran:?}");
    }
    fs::write(at("empty").join("file"), "").unwrap();
    let ran = function(&["new", text(&at("empty"))]);
    assert!(ran.code == 1 && ran.stderr.contains("not empty"), "{ran:?}");
}

#[test]
fn a_case_that_comes_out_differently_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (file, cases) = component(folder.path(), &example_function("first-word").unwrap());
    let wrong = CASES.replace(r#""newer":{"n":3}"#, r#""newer":{"n":3},"merged":{"n":9}"#);
    fs::write(&cases, wrong).unwrap();
    let ran = function(&["test", text(&file), "--cases", text(&cases)]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("-   \"n\": 9") && ran.stdout.contains("+   \"n\": 2"), "{ran:?}");
}

#[test]
fn a_function_that_fails_on_what_it_would_meet_is_not_taken() {
    let dev = Dev::start(&["a", "b"]).unwrap();
    let [a, b] = dev.regions() else { panic!("two regions") };
    let folder = tempfile::tempdir().unwrap();
    let (file, cases) = component(folder.path(), &BadGuest::Traps.component());

    // By a case that comes with it.
    let deploy = ["deploy", text(&file), "--table", "given", "--cases", text(&cases)];
    let refused = run_cli(&a.url, &deploy, "").unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("both: not total: trap"), "{refused:?}");
    assert!(a.functions().unwrap().is_empty());

    // By a conflict that happened; the one that only refuses a row is taken.
    a.cut("a", "b").unwrap();
    a.put("met", "k", r#"{"n":1}"#, If::Always).unwrap().success().unwrap();
    b.put("met", "k", r#"{"n":2}"#, If::Always).unwrap().success().unwrap();
    a.heal("a", "b").unwrap();
    wait_for("the conflict to be noted", PATIENCE, || {
        anyhow::ensure!(a.conflicts("table=met")?.len() == 1, "no conflict yet");
        Ok(())
    })
    .unwrap();
    let refused = a.upload("met", &BadGuest::Loops.component()).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (422, "verification-failed"));
    let report = &refused.json()["report"];
    assert_eq!(report["recorded"], 1, "{report}");
    let taken = a.upload("met", &BadGuest::GivesUp.component()).unwrap().success().unwrap();
    assert_eq!(taken.json()["report"]["verified"]["answers"]["merged"], 0);
}

#[test]
fn the_report_of_every_example_is_as_committed() {
    for entry in fs::read_dir(examples_dir()).unwrap() {
        let example = entry.unwrap().path();
        if !example.join("Cargo.toml").is_file() {
            continue;
        }
        let name = example.file_name().unwrap().to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = component(folder.path(), &example_function(name).unwrap());
        let cases = example.join("cases");
        let ran = function(&["verify", text(&file), "--cases", text(&cases), "--seed", "1"]);
        let committed = example.join("verified.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&committed, &ran.stdout).unwrap();
        }
        assert_eq!(ran.stdout, fs::read_to_string(&committed).unwrap(), "{name}");
    }
}
