//! Compiling in a child.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use std::path::Path;

use guest::{Guest, answering, case, merged};
use syncline_core::FunctionVersion;
use syncline_host::{Compiler, Host, HostConfig, LoadError, Refused};

/// A host that compiles in a child of this program.
fn host_with(program: &str, args: &[&str], cache_dir: Option<&Path>) -> Host {
    let compiler =
        Compiler::Process { program: program.into(), args: args.iter().map(Into::into).collect() };
    let cache_dir = cache_dir.map(Path::to_owned);
    let config =
        HostConfig { slots: 2, functions: 2, compiler, cache_dir, ..HostConfig::default() };
    Host::new(config).unwrap()
}

fn host(cache_dir: Option<&Path>) -> Host {
    host_with(env!("CARGO_BIN_EXE_compile-worker"), &[], cache_dir)
}

#[test]
fn code_from_a_child_runs_in_the_pool() {
    let host = host(None);
    let component = Guest::default().component();
    let version = host.admit(&component).unwrap().version;
    host.load(version, &component).unwrap();
    for _ in 0..10 {
        let run = host.run(&version, &case().input()).unwrap();
        assert_eq!(run.outcome, merged(r#"{"n":2}"#));
    }
}

#[test]
fn code_from_a_child_is_that_of_this_process() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let component = Guest::default().component();
    host(Some(folders[0].path())).admit(&component).unwrap();
    let config =
        HostConfig { slots: 7, cache_dir: Some(folders[1].path().into()), ..HostConfig::default() };
    Host::new(config).unwrap().admit(&component).unwrap();
    // After the head, which holds each folder's own key's hash.
    let code = folders.map(|folder| {
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
        let file = files.iter().find(|file| file.path().extension().is_some()).unwrap();
        std::fs::read(file.path()).unwrap().split_off(112)
    });
    assert!(code[0].len() > 1000);
    assert!(code[0] == code[1]);
}

#[test]
fn what_a_child_compiled_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let component = Guest::default().component();
    let version = host(Some(folder.path())).admit(&component).unwrap().version;
    // There is no compiler any more.
    let host = host_with("no/such/program", &[], Some(folder.path()));
    host.load(version, &component).unwrap();
    assert_eq!(host.run(&version, &case().input()).unwrap().outcome, merged(r#"{"n":2}"#));
}

#[test]
fn without_a_compiler_nothing_is_said_of_the_component() {
    let component = Guest::default().component();
    let version = FunctionVersion::of(&component);
    let shell = |script| ("/bin/sh", vec!["-c", script]);
    for (program, args) in [
        ("no/such/program", vec![]),
        ("/bin/false", vec![]),
        ("/bin/true", vec![]),
        shell("kill -KILL $$"),
        shell("cat"),
    ] {
        let host = host_with(program, &args, None);
        let refused = host.admit(&component).unwrap_err();
        assert!(matches!(refused, Refused::NotNow { .. }), "{program} {args:?}: {refused}");
        assert_eq!(refused.code(), "compile-unavailable");
        let error = host.load(version, &component).unwrap_err();
        assert!(matches!(error, LoadError::Engine { .. }), "{program} {args:?}: {error}");
    }
}

#[test]
fn a_compiler_that_crashes_has_refused_an_upload_and_no_more() {
    let component = Guest::default().component();
    let host = host_with("/bin/sh", &["-c", "kill -SEGV $$"], None);
    assert_eq!(host.admit(&component).unwrap_err().code(), "compile-failed");
    let error = host.load(FunctionVersion::of(&component), &component).unwrap_err();
    assert!(matches!(error, LoadError::Engine { .. }), "{error}");
}

#[test]
fn what_was_too_expensive_for_an_upload_is_no_refusal_of_a_load() {
    let component = Guest::default().component();
    let host = host_with("/bin/sh", &["-c", "kill -XCPU $$"], None);
    let refused = host.admit(&component).unwrap_err();
    assert_eq!(refused.code(), "compile-too-expensive");
    assert!(refused.to_string().contains("over 10 seconds of processor time"), "{refused}");
    let error = host.load(FunctionVersion::of(&component), &component).unwrap_err();
    assert!(matches!(error, LoadError::Engine { .. }), "{error}");
    assert!(error.to_string().contains("over 40 seconds"), "{error}");
}

#[test]
fn many_hosts_share_one_compiler_and_all_get_their_code() {
    let hosts = [host(None), host(None), host(None)];
    std::thread::scope(|scope| {
        for (n, host) in hosts.iter().enumerate() {
            scope.spawn(move || {
                for m in 0..3 {
                    let json = format!("{{\"n\":{}}}", 10 * n + m);
                    let component = answering(json.as_bytes()).component();
                    let version = host.admit(&component).unwrap().version;
                    host.load(version, &component).unwrap();
                    let run = host.run(&version, &case().input()).unwrap();
                    assert_eq!(run.outcome, merged(&json));
                }
            });
        }
    });
}
