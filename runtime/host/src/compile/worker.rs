//! The child's side: a process that compiles one component, and limits itself before it does.

use std::io::{self, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, nice, setrlimit};

use super::wire::{Answer, RequestHead, write_answer};
use super::{CompileError, Limits, on_a_thread};
use crate::engine::{self, EngineSettings};

/// How much less claim than merges compiling has to the processors: about a fourth of one that both
/// want. With less, a busy region would not compile in time.
const NICER: i32 = 5;

/// What a program does that [`Compiler::Process`](crate::Compiler::Process) names: it reads a request
/// from stdin, puts itself under the limits that stand there, compiles, and answers on stdout. Returns
/// what the process ends with.
#[must_use = "the process ends with it"]
pub fn compile_worker() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a reader it is all the same.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    let head = RequestHead::read(&mut stdin)?;
    limit_self(&head.limits)?;
    let component = head.read_component(&mut stdin)?;
    write_answer(&compile(&head, &component), &mut io::stdout().lock())
}

/// What is over a limit is ended by the system: by a signal, or by an allocation that fails.
fn limit_self(limits: &Limits) -> io::Result<()> {
    // Or, without a region to hear the answer, it would go on until its time is over.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let both = |max: u64| Rlimit { current: Some(max), maximum: Some(max) };
    let seconds = limits.processor_seconds;
    // At the first a signal that says what it is for, at the second one that can't be ignored.
    let processor = Rlimit { current: Some(seconds), maximum: Some(seconds + 1) };
    setrlimit(Resource::Cpu, processor)?;
    setrlimit(Resource::As, both(limits.address_bytes))?;
    setrlimit(Resource::Core, both(0))?;
    // Pipes are no files: it may answer.
    setrlimit(Resource::Fsize, both(0))?;
    nice(NICER)?;
    Ok(())
}

fn compile(head: &RequestHead, component: &[u8]) -> Answer {
    for settings in EngineSettings::ALL {
        let engine = engine::compiling(settings).map_err(|error| {
            CompileError::Unavailable(format!("the compiler does not start: {error:#}"))
        })?;
        if engine::fingerprint(&engine) == head.fingerprint {
            return on_a_thread(&engine, component);
        }
    }
    Err(CompileError::Unavailable("the compiler is not of the region's release".into()))
}
