//! `cargo xtask kafka`.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use syncline_broker::{Broker, Jars};

use crate::cargo::root;
use crate::report::say;

/// The broker where no name is given.
pub(crate) const NAME: &str = "kafka";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Start { name: String, port: Option<u16> },
    Stop { name: String },
}

impl Task {
    /// The error is what is wrong with the arguments.
    pub(crate) fn of(arguments: &[OsString]) -> Result<Self, String> {
        let words = arguments.iter().map(|argument| argument.to_str()).collect::<Option<Vec<_>>>();
        let words = words.ok_or("kafka takes words that are Unicode")?;
        let named = |name: &str| (!name.starts_with('-')).then(|| name.to_owned());
        let wrong = || "kafka takes start [NAME] [--port P], or stop [NAME]".to_owned();
        let port = |text: &str| match text.parse() {
            Ok(0) | Err(_) => Err(format!("{text:?} is no port")),
            Ok(port) => Ok(Some(port)),
        };
        match *words.as_slice() {
            ["start"] => Ok(Self::Start { name: NAME.into(), port: None }),
            ["start", "--port", text] => Ok(Self::Start { name: NAME.into(), port: port(text)? }),
            ["start", name, "--port", text] | ["start", "--port", text, name] => {
                Ok(Self::Start { name: named(name).ok_or_else(wrong)?, port: port(text)? })
            }
            ["start", name] => Ok(Self::Start { name: named(name).ok_or_else(wrong)?, port: None }),
            ["stop"] => Ok(Self::Stop { name: NAME.into() }),
            ["stop", name] => Ok(Self::Stop { name: named(name).ok_or_else(wrong)? }),
            _ => Err(wrong()),
        }
    }
}

pub(crate) fn run(task: &Task) -> Result<ExitCode> {
    match task {
        Task::Start { name, port } => {
            let jars = jars()?;
            let broker = named(name)?;
            say(&format!("starting the broker {name}"));
            let address = broker.start(&jars, *port)?;
            say(&format!(
                "it keeps its log in {}; on stdout is its address",
                broker.log().display()
            ));
            println!("{address}");
        }
        Task::Stop { name } => {
            let ran = named(name)?.stop()?;
            say(&format!("the broker {name} {}", if ran { "is stopped" } else { "did not run" }));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A broker for the tests, that starts with nothing and ends with this.
pub(crate) struct ForTests {
    broker: Broker,
    pub(crate) address: String,
}

impl ForTests {
    pub(crate) fn start() -> Result<Self> {
        let jars = jars()?;
        let broker = named("tests")?;
        // One that a run left behind that was killed.
        broker.stop()?;
        broker.clear()?;
        let address = broker.start(&jars, None)?;
        Ok(Self { broker, address })
    }
}

impl Drop for ForTests {
    fn drop(&mut self) {
        if let Err(error) = self.broker.kill() {
            say(&format!("the broker of the tests still runs: {error:#}"));
        }
    }
}

fn named(name: &str) -> Result<Broker> {
    Broker::named(name, &folder().join("run"))
}

/// The jars, fetched if need be.
fn jars() -> Result<Jars> {
    say("looking for Apache Kafka; fetching it the first time takes a minute");
    Jars::fetch(&folder()).context("get Apache Kafka")
}

/// Where jars and brokers lie: in the target folder.
pub(crate) fn folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.map_or_else(|| root().join("target"), |target| root().join(target)).join("kafka")
}
