//! One process a data folder.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::Context as _;
use syncline_harness::{Dev, If, PATIENCE, Serve, wait_for};

#[test]
fn a_second_process_on_the_same_data_is_refused_and_harms_nothing() {
    let mut dev = Dev::start(&["a"]).unwrap();
    let region = dev.regions()[0].clone();
    region.put("t", "k", r#"{"n":1}"#, If::Always).unwrap().success().unwrap();
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut second = dev.command(&dev.data(), free).unwrap().spawn().unwrap();
    let ended = wait_for("the second process to give up", PATIENCE, || {
        second.try_wait()?.context("it still runs")
    });
    if ended.is_err() {
        second.kill().unwrap();
    }
    assert_eq!(ended.unwrap().code(), Some(1), "{}", dev.log());
    let log = dev.log();
    let message = log.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    let says = |word: &str| message.contains(word);
    assert!(says("in use") || says("another process") || says("locked"), "{log}");
    assert!(!log.contains("panicked"), "{log}");

    region.put("t", "k", r#"{"n":2}"#, If::Always).unwrap().success().unwrap();
    assert!(dev.stop().unwrap().success());
    dev.restart().unwrap();
    assert_eq!(region.get("t", "k").unwrap().unwrap().image, br#"{"n":2}"#);
}

#[test]
fn a_port_in_use_is_said_before_anything_is_made() {
    let dev = Dev::start(&["a"]).unwrap();
    let elsewhere = dev.data().with_file_name("elsewhere");
    let mut second = dev.command(&elsewhere, dev.port()).unwrap().spawn().unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(1));
    let log = dev.log();
    assert!(log.contains("listen on") && log.contains("--port"), "{log}");
}

#[test]
fn a_process_that_is_told_twice_waits_for_nothing_and_has_lost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rest = "[bus]\nkind = \"embedded\"\ndir = \"../bus\"\npartitions = 1\n[regions.a]\n";
    let mut a = Serve::new("a", &folder.path().join("a"), rest).unwrap();
    a.start().unwrap();
    a.region.put("t", "k", r#"{"n":1}"#, If::Always).unwrap().success().unwrap();
    // A request that is under way, and for which a process that is told once would wait.
    let mut stream = TcpStream::connect(a.region.url.strip_prefix("http://").unwrap()).unwrap();
    let head = "PUT /v1/tables/t/rows/late HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\
                content-length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    let ended = wait_for("the process to end", PATIENCE, || {
        let _ = a.process.ask_to_stop();
        a.process.ended()?.context("it still runs")
    });
    assert_eq!(ended.unwrap().code(), Some(1), "{}", a.process.log());
    assert!(a.process.log().contains("told to stop while it stops"), "{}", a.process.log());
    a.start().unwrap();
    assert_eq!(a.region.get("t", "k").unwrap().unwrap().image, br#"{"n":1}"#);
}
