//! Turns an admitted component into code, apart from everything else.
//!
//! Admission bounds what a component is made of, but not by much what a compiler makes of it: time
//! and memory grow with products of things that are each few. So a region compiles in a child
//! process, which limits itself, has less claim to the processors than merges have, and may be
//! killed; a thread may not. One component is compiled at a time in a process, however many hosts it
//! has, so that what compiling takes does not add up.

mod child;
mod wire;
mod worker;

use std::any::Any;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use thiserror::Error;
use wasmtime::{Engine, OutOfMemory};

use crate::gate::{Gate, Pass};

pub use worker::compile_worker;

/// The processor time in seconds for compiling an upload: more than 2 MiB of Rust's code take, with
/// a compiler that is itself hardly optimised, and short enough to wait for.
pub const COMPILE_UPLOAD_SECONDS_MAX: u64 = 10;
/// The address space in bytes for compiling an upload. Some 180 MiB of it are only reserved; 2 MiB of
/// Rust's code take 80 MiB more.
pub const COMPILE_UPLOAD_BYTES_MAX: u64 = 512 << 20;
/// The processor time in seconds for compiling what another region has admitted. Were it no more
/// than for an upload, a slower machine would lack a function that all the others have.
pub const COMPILE_LOAD_SECONDS_MAX: u64 = 40;
/// The address space in bytes for the same. A region and its child stay below 1.5 GiB.
pub const COMPILE_LOAD_BYTES_MAX: u64 = 768 << 20;
/// The seconds after which an upload is answered, whatever comes of it: it is checked, waits for the
/// compiler, and is compiled in them.
pub const UPLOAD_ANSWER_SECONDS_MAX: u64 = 19;

/// So long it is waited for the compiler to be free, where nobody waits for an answer: for three
/// regions in one process that load one after the other.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(150);
/// The compiler recurses over what it compiles, on a stack that is large enough for what admission
/// lets through.
const STACK_BYTES: usize = 32 << 20;
/// What one component becomes. Two of these, the one that arrives and the one that is mapped, are
/// what a region itself takes for compiling.
const ANSWER_CODE_BYTES_MAX: u64 = 128 << 20;

/// Who compiles, one component at a time in each process.
static COMPILER: Gate = Gate::new(1);

/// Where components are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compiler {
    /// On a thread of this process. Nothing ends it, and nothing limits its memory: it is for those
    /// who trust what they load, and for tests.
    #[default]
    InProcess,
    /// In a child, which this program, started with these arguments and no environment, becomes by
    /// calling [`compile_worker`]. It must be of the same release as this one.
    Process {
        /// The program, as for [`std::process::Command`].
        program: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
}

/// What it is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somebody waits for the answer, and a refusal is one.
    Upload,
    /// Another region has admitted it, or this one has, and it must be had here too.
    Load,
}

/// What a component is compiled for, and since when.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) purpose: Purpose,
    started: Instant,
}

/// What the child may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    processor_seconds: u64,
    address_bytes: u64,
}

/// Why an admitted component did not become code.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CompileError {
    /// The compiler's own word.
    #[error("{0}")]
    Refused(String),
    #[error("the compiler {0}")]
    Crashed(String),
    /// What it took too much of.
    #[error("{0}")]
    TooExpensive(String),
    /// Nothing that can be laid to the component.
    #[error("{0}")]
    Unavailable(String),
}

impl Task {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self { purpose, started: Instant::now() }
    }

    fn limits(&self) -> Limits {
        let (processor_seconds, address_bytes) = match self.purpose {
            Purpose::Upload => (COMPILE_UPLOAD_SECONDS_MAX, COMPILE_UPLOAD_BYTES_MAX),
            Purpose::Load => (COMPILE_LOAD_SECONDS_MAX, COMPILE_LOAD_BYTES_MAX),
        };
        Limits { processor_seconds, address_bytes }
    }

    /// When an upload must have been answered. A load is not waited for.
    fn answered_until(&self) -> Instant {
        self.started + Duration::from_secs(UPLOAD_ANSWER_SECONDS_MAX)
    }

    /// When it is too late to begin: a machine that does other things too must be able to end.
    fn begins_until(&self) -> Instant {
        match self.purpose {
            Purpose::Upload => self.answered_until() - self.processor_time() * 7 / 5,
            Purpose::Load => self.started + LOAD_WAIT_MAX,
        }
    }

    /// When what begins now is ended. Then the machine and not the component takes too long, as the
    /// processor's time is not over.
    fn ends_until(&self) -> Instant {
        match self.purpose {
            Purpose::Upload => self.answered_until(),
            Purpose::Load => Instant::now() + self.processor_time() * 2,
        }
    }

    fn processor_time(&self) -> Duration {
        Duration::from_secs(self.limits().processor_seconds)
    }

    /// Waits for the compiler; it is free again when the pass is dropped.
    pub(crate) fn turn(&self) -> Result<Pass<'static>, CompileError> {
        COMPILER.enter(self.begins_until()).ok_or_else(|| {
            CompileError::Unavailable("the compiler is busy with other components".into())
        })
    }
}

impl Compiler {
    /// Compiles, for an engine of this fingerprint. The caller has had its turn.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        fingerprint: &[u8; 32],
        component: &[u8],
        task: &Task,
    ) -> Result<Vec<u8>, CompileError> {
        match self {
            Self::InProcess => on_a_thread(engine, component),
            Self::Process { program, args } => {
                let head = wire::RequestHead::new(task.limits(), *fingerprint, component);
                child::compile(program, args, &head, component, task.ends_until())
            }
        }
    }
}

/// Compiles on a thread of its own: a panic of the compiler ends there, and its stack is known.
fn on_a_thread(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, CompileError> {
    let compiled = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("compile".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || engine.precompile_component(component));
        let no_thread = |error| CompileError::Unavailable(format!("no thread: {error}"));
        let panicked = |panic| CompileError::Crashed(format!("panicked{}", message(panic)));
        thread.map_err(no_thread)?.join().map_err(panicked)
    })?;
    compiled.map_err(|error| {
        if error.is::<OutOfMemory>() {
            CompileError::TooExpensive("more memory than there is".into())
        } else {
            CompileError::Refused(format!("{error:#}"))
        }
    })
}

/// What a panic says, where it says anything.
fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_has_time_to_wait_and_to_compile_before_it_is_answered() {
        let upload = Task::new(Purpose::Upload);
        assert!(upload.begins_until() > upload.started + Duration::from_secs(4));
        assert!(upload.begins_until() + upload.processor_time() < upload.ends_until());
        assert!(upload.ends_until() < upload.started + Duration::from_secs(20));
    }

    #[test]
    fn what_was_admitted_with_difficulty_can_be_loaded_with_ease() {
        let (upload, load) = (Task::new(Purpose::Upload), Task::new(Purpose::Load));
        assert!(load.processor_time() >= 4 * upload.processor_time());
        assert!(2 * load.limits().address_bytes >= 3 * upload.limits().address_bytes);
        assert!(load.ends_until() >= load.started + 2 * load.processor_time());
    }
}
