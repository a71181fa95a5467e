//! `cargo xtask test`: everything that must hold before a change goes in, cheapest first.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, bail};
use syncline_broker::Jars;

use crate::cargo::{binary, build_command, cargo, output, root, run as run_command};
use crate::kafka::ForTests;
use crate::other::BENCHES;
use crate::report::{Kind, Report};
use crate::setup::{self, GUEST_TARGET, NPM};
use crate::sim::{SIMULATOR, WITH_BUGS, build_with_bugs};

/// What a clean run with `--ci` may take on 2 cores.
const BUDGET: Duration = Duration::from_secs(30 * 60);

/// Each seed twice: so many are about a quarter of a minute on 2 cores.
const SEEDS: &str = "1000";
/// Most bugs are found after some ten seeds, the hardest after some thousand.
const SEEDS_FOR_BUGS: &str = "20000";

const GUESTS: [&str; 2] = ["--manifest-path", "guest-examples/Cargo.toml"];
/// Versions of the cart that the demo and the tests roll out.
const TEST_GUESTS: [&str; 2] = ["--manifest-path", "tests/guests/Cargo.toml"];
/// Hostile ones that the tests build by plain cargo.
const PLAIN_GUESTS: [&str; 2] = ["--manifest-path", "tests/hostile/guests/std/Cargo.toml"];
const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

/// Tells tests the address of a Kafka broker.
const TEST_KAFKA: &str = "SYNCLINE_TEST_KAFKA";

/// How the tests are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Everything on.
    pub(crate) ci: bool,
}

pub(crate) fn run(options: Options) -> Result<ExitCode> {
    let mut run = Run { ci: options.ci, report: Report::default() };
    let ended = run.all();
    println!("{}", run.report.table(options.ci.then_some(BUDGET)));
    ended.map(|()| ExitCode::SUCCESS)
}

struct Run {
    ci: bool,
    report: Report,
}

impl Run {
    fn all(&mut self) -> Result<()> {
        let changed_before = changed_files();
        self.report.step(Kind::SetUp, "looking for what the toolchain lacks", || {
            setup::lint_tools()?;
            setup::node()?;
            setup::guest_targets()
        })?;
        self.format_and_lints()?;
        self.tests()?;
        self.simulation()?;
        self.docs()?;
        if !self.ci {
            let why = "only with --ci";
            self.report.skip("that the simulation finds planted bugs", why);
            self.report.skip("each benchmark once", why);
            self.report.skip("that lock files and the checkout stay as they are", why);
            return Ok(());
        }
        self.planted_bugs()?;
        self.benches_once()?;
        self.nothing_was_changed(changed_before)
    }

    fn format_and_lints(&mut self) -> Result<()> {
        let fmt = ["fmt", "--all", "--check"];
        self.step(Kind::Format, "format", &mut cargo(&fmt))?;
        self.step(Kind::Format, "format of the guests", cargo(&fmt).args(GUESTS))?;
        let what = "format of the guests of the tests";
        self.step(Kind::Format, what, cargo(&fmt).args(TEST_GUESTS))?;
        let what = "format of the guests of plain cargo";
        self.step(Kind::Format, what, cargo(&fmt).args(PLAIN_GUESTS))?;

        let every = ["--workspace", "--all-targets"];
        let mut all = self.cargo("clippy");
        self.step(Kind::Lint, "lints", all.args(every).args(DENY_WARNINGS))?;
        // The half of the SDK that stands in a guest is compiled for no other target.
        let mut sdk = self.cargo("clippy");
        sdk.args(["--package", "syncline-sdk", "--target", GUEST_TARGET]).args(DENY_WARNINGS);
        self.step(Kind::Lint, "lints of the SDK as guests use it", &mut sdk)?;
        let mut guests = self.cargo("clippy");
        guests.args(GUESTS).args(every).args(DENY_WARNINGS);
        self.step(Kind::Lint, "lints of the guests", &mut guests)?;
        let mut guests = self.cargo("clippy");
        guests.args(TEST_GUESTS).args(["--workspace", "--target", GUEST_TARGET]);
        let what = "lints of the guests of the tests";
        self.step(Kind::Lint, what, guests.args(DENY_WARNINGS))
    }

    fn tests(&mut self) -> Result<()> {
        let mut build =
            build_command(&["syncline", "syncline-demo", "syncline-vectors", SIMULATOR]);
        build.args(self.lock());
        self.step(Kind::Build, "build of the programs", &mut build)?;
        let mut build = self.cargo("test");
        build.args(["--workspace", "--no-run"]);
        self.step(Kind::Build, "build of the tests", &mut build)?;
        // One failing test must not hide the others.
        let mut tests = self.cargo("test");
        tests.args(["--workspace", "--no-fail-fast"]);
        let kafka = self.kafka()?;
        if let Some(kafka) = &kafka {
            tests.env(TEST_KAFKA, &kafka.address);
        }
        self.step(Kind::Tests, "tests, with those in documentation", &mut tests)?;
        drop(kafka);
        let mut guests = self.cargo("test");
        guests.args(GUESTS).args(["--workspace", "--no-fail-fast"]);
        self.step(Kind::Guests, "the guests' native tests", &mut guests)?;
        let sdk = root().join("sdk/assemblyscript");
        let mut install = Command::new(NPM);
        install.args(["ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]);
        let what = "packages of the AssemblyScript SDK";
        self.step(Kind::SetUp, what, install.current_dir(&sdk))?;
        let mut test = Command::new(NPM);
        test.args(["test", "--silent"]).current_dir(&sdk);
        self.step(Kind::Guests, "the AssemblyScript SDK's own tests", &mut test)
    }

    /// Real Apache Kafka, which some tests want; without Java and Maven they are left out.
    fn kafka(&mut self) -> Result<Option<ForTests>> {
        if !self.ci
            && let Err(why) = Jars::can_be_had()
        {
            self.report.skip("the tests that run against Apache Kafka", format!("{why:#}"));
            return Ok(None);
        }
        let mut started = None;
        self.report.step(Kind::SetUp, "starting Apache Kafka for the tests", || {
            started = Some(ForTests::start()?);
            Ok(())
        })?;
        Ok(started)
    }

    fn simulation(&mut self) -> Result<()> {
        // In the root, where the logs of failing seeds go into the target folder.
        let mut seeds = Command::new(binary(SIMULATOR)?);
        seeds.args(["run", "--seeds", SEEDS, "--twice"]).current_dir(root());
        self.step(Kind::Tests, "simulated regions, each seed twice", &mut seeds)
    }

    fn planted_bugs(&mut self) -> Result<()> {
        let mut build = build_with_bugs();
        build.args(self.lock());
        self.step(Kind::Build, "build of the simulation with planted bugs", &mut build)?;
        let mut bugs = Command::new(binary(WITH_BUGS)?);
        bugs.args(["bugs", "--seeds", SEEDS_FOR_BUGS, "--fail-fast"]).current_dir(root());
        self.step(Kind::PlantedBugs, "that the simulation finds planted bugs", &mut bugs)
    }

    fn docs(&mut self) -> Result<()> {
        let mut docs = self.cargo("doc");
        docs.args(["--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings");
        self.step(Kind::Docs, "documentation of the code", &mut docs)?;
        if output("mdbook", &["--version"]).is_some() {
            let mut book = Command::new("mdbook");
            self.step(Kind::Docs, "the book", book.arg("build").arg(root().join("docs")))?;
        } else {
            let why = "mdbook is not installed; the book's links were checked all the same";
            self.report.skip("rendering the book", why);
        }
        Ok(())
    }

    fn benches_once(&mut self) -> Result<()> {
        if !root().join("tests/bench/benches").is_dir() {
            self.report.skip("each benchmark once", "there is no folder tests/bench/benches");
            return Ok(());
        }
        let mut benches = self.cargo("test");
        self.step(Kind::Benches, "each benchmark once, not measured", benches.args(BENCHES))
    }

    fn nothing_was_changed(&mut self, before: Option<String>) -> Result<()> {
        let what = "that nothing in the checkout was changed";
        match before.as_deref() {
            None => self.report.skip(what, "this is no git checkout"),
            Some("") => self.report.step(Kind::Tests, what, || match changed_files() {
                Some(changed) if !changed.is_empty() => bail!("but these files were:\n{changed}"),
                _ => Ok(()),
            })?,
            Some(_) => self.report.skip(what, "it had changes of its own before the run"),
        }
        Ok(())
    }

    fn cargo(&self, subcommand: &str) -> Command {
        let mut command = cargo(&[subcommand]);
        command.args(self.lock());
        command
    }

    fn lock(&self) -> Option<&'static str> {
        self.ci.then_some("--locked")
    }

    fn step(&mut self, kind: Kind, what: &str, command: &mut Command) -> Result<()> {
        self.report.step(kind, what, || run_command(command))
    }
}

/// None where there is no git.
fn changed_files() -> Option<String> {
    output("git", &["status", "--porcelain"])
}
