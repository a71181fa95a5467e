//! `syncline function verify`.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use syncline_verifier::{Effort, Report, Subject, verify};

use super::args::VerifyArgs;
use super::{engines, failed};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, note};

pub(super) fn run(args: &VerifyArgs, out: &Output) -> Result<(), Failure> {
    let cases = args.cases.read(&args.source)?;
    let loaded = args.source.load()?;
    let mut components = Vec::new();
    for (settings, name) in engines::ALL {
        components.push(engines::engine(&loaded, settings, name)?);
    }
    let Some((production, others)) = components.split_first() else {
        return Err(Failure::Failed("there is no engine".into()));
    };
    let others: Vec<&dyn Subject> = others.iter().map(|other| other as &dyn Subject).collect();
    let effort = Effort { seed: args.seed, generated: args.generated as usize };
    let mut progress = Progress::new();
    let report = verify(production, &others, &cases, &[], effort, &mut |n, of| progress.at(n, of))
        .map_err(|failure| failed(&failure))?;
    progress.end();
    if let Some(folder) = &args.witnesses {
        write_witnesses(&report, folder)?;
    }
    if out.is_json() {
        out.json(&report)?
    } else {
        out.text(&report.to_string())?
    }
    if report.blocking.is_empty() { Ok(()) } else { Err(Failure::Difference) }
}

fn write_witnesses(report: &Report, folder: &Path) -> Result<(), Failure> {
    let cannot = |path: &Path, error: &io::Error| {
        Failure::Failed(format!("write {}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
    for finding in &report.findings {
        let Some(witness) = &finding.witness else { continue };
        let file = folder.join(format!("{}.json", finding.law));
        fs::write(&file, witness.to_json() + "\n").map_err(|error| cannot(&file, &error))?;
        note(&format!("wrote {}", file.display()));
    }
    Ok(())
}

/// How far it is, on a line that is written over, where somebody looks at it.
struct Progress {
    shown: bool,
    percent: usize,
}

impl Progress {
    fn new() -> Self {
        Self { shown: io::stderr().is_terminal(), percent: 0 }
    }

    fn at(&mut self, n: usize, of: usize) {
        let percent = n * 100 / of.max(1);
        if self.shown && percent != self.percent {
            self.percent = percent;
            // Where it can't be shown nobody misses it.
            let _ = write!(io::stderr(), "\r{n} of {of} conflicts");
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
