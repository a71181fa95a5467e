//! The region's side: starts the child, hands it the component, takes its answer, and ends it.
//!
//! Nothing here waits for the child beyond its time, neither to write to it nor to read from it nor
//! for its end, and whatever happens it is killed, by its own number, and reaped.

use std::ffi::OsString;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::Signal;

use super::wire::{Answer, Garbled, RequestHead, take_answer};
use super::{CompileError, Limits};
use crate::fault::shown;

/// What is kept of what the child says on stderr: its end, where the cause is.
const STDERR_BYTES_MAX: usize = 256;
/// What is told of it, escaped.
const STDERR_SHOWN_BYTES_MAX: usize = 400;
/// A pipe rarely holds more.
const CHUNK_BYTES: usize = 64 << 10;
/// A child that has closed its pipes ends soon.
const LOOK_FOR_END_EVERY: Duration = Duration::from_millis(2);

/// Compiles in a child, which is ended at the deadline.
pub(super) fn compile(
    program: &Path,
    args: &[OsString],
    head: &RequestHead,
    component: &[u8],
    deadline: Instant,
) -> Answer {
    let mut running = Running::start(program, args)
        .map_err(|error| unavailable(format!("the compiler can't be started: {error}")))?;
    let said = running.converse(head.encode().as_slice().chain(component), deadline);
    let ended = match said {
        Ok(Said::Answer(answer)) => return answer,
        Ok(Said::Nothing) => running.end(deadline),
        Ok(Said::TooLate) => Ok(None),
        Ok(Said::Garbled) => {
            return Err(unavailable("what the compiler answers is garbled".into()));
        }
        Err(error) => Err(error),
    };
    let stderr = shown(String::from_utf8_lossy(&running.heard).trim(), STDERR_SHOWN_BYTES_MAX);
    match ended {
        Ok(Some(status)) => Err(of_end(status, &stderr, &head.limits)),
        // Its own time it has not used up, or it would have been ended by that.
        Ok(None) => Err(unavailable("the machine is too busy to compile in time".into())),
        Err(error) => Err(unavailable(format!("the compiler can't be talked to: {error}"))),
    }
}

/// Why a child that has not answered is no more.
fn of_end(status: ExitStatus, stderr: &str, limits: &Limits) -> CompileError {
    let told = if stderr.is_empty() { String::new() } else { format!(": {stderr}") };
    let Some(signal) = status.signal().and_then(Signal::from_named_raw) else {
        return unavailable(format!("the compiler ended, {status}{told}"));
    };
    match signal {
        Signal::XCPU => CompileError::TooExpensive(format!(
            "over {} seconds of processor time",
            limits.processor_seconds
        )),
        // The word of the standard library for an allocation that failed.
        Signal::ABORT if stderr.contains("memory allocation of ") => {
            let mebibytes = limits.address_bytes >> 20;
            CompileError::TooExpensive(format!("over {mebibytes} MiB of memory"))
        }
        Signal::ABORT | Signal::SEGV | Signal::BUS | Signal::ILL | Signal::FPE | Signal::TRAP => {
            CompileError::Crashed(format!("crashed, {status}{told}"))
        }
        // Killed by someone: by the system, where memory is short, or by whoever stops the region.
        _ => unavailable(format!("the compiler was stopped, {status}{told}")),
    }
}

fn unavailable(what: String) -> CompileError {
    CompileError::Unavailable(what)
}

/// A child that was not reaped yet. Dropped, it is killed and reaped.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// The end of what it said on stderr.
    heard: Vec<u8>,
}

enum Said {
    Answer(Answer),
    /// It closed its pipes without an answer.
    Nothing,
    Garbled,
    TooLate,
}

impl Running {
    /// Starts it, on the thread that stays until it ends: where that is gone, it is killed.
    fn start(program: &Path, args: &[OsString]) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let running = Self { child, stdin, stdout, stderr, heard: Vec::new() };
        let pipes = [
            running.stdin.as_ref().map(AsFd::as_fd),
            running.stdout.as_ref().map(AsFd::as_fd),
            running.stderr.as_ref().map(AsFd::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            ioctl_fionbio(pipe, true)?;
        }
        Ok(running)
    }

    /// Writes the request and reads the answer, both as fast as the child does.
    fn converse(&mut self, mut request: impl BufRead, deadline: Instant) -> io::Result<Said> {
        let mut arrived = Vec::new();
        while self.stdout.is_some() || self.stderr.is_some() {
            if !self.wait(deadline)? {
                return Ok(Said::TooLate);
            }
            self.send(&mut request)?;
            receive(&mut self.stderr, &mut self.heard)?;
            let excess = self.heard.len().saturating_sub(STDERR_BYTES_MAX);
            self.heard.drain(..excess);
            receive(&mut self.stdout, &mut arrived)?;
            match take_answer(&mut arrived) {
                Ok(Some(answer)) => return Ok(Said::Answer(answer)),
                Ok(None) => {}
                Err(Garbled) => return Ok(Said::Garbled),
            }
        }
        Ok(Said::Nothing)
    }

    /// Until one of the pipes can be used. False: the deadline came first.
    fn wait(&self, deadline: Instant) -> io::Result<bool> {
        let mut pipes = Vec::with_capacity(3);
        pipes.extend(self.stdin.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        pipes.extend(self.stdout.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        pipes.extend(self.stderr.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut pipes, Some(&timeout)) {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) if error == Errno::INTR => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn send(&mut self, request: &mut impl BufRead) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        let next = request.fill_buf()?;
        if next.is_empty() {
            self.stdin = None;
            return Ok(());
        }
        match stdin.write(next) {
            Ok(sent) => request.consume(sent),
            Err(error) if is_transient(&error) => {}
            // It says why it reads no more, or its end does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.stdin = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// How it ended. None: it had not when the deadline came.
    fn end(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(LOOK_FOR_END_EVERY);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it was reaped before, both do nothing.
        let _ = self.child.kill();
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "the compiler's process is not reaped");
        }
    }
}

/// Takes what is there, and drops the pipe when nothing more will come.
fn receive(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(from) = pipe else { return Ok(()) };
    let before = into.len();
    into.resize(before + CHUNK_BYTES, 0);
    let received = from.read(&mut into[before..]);
    into.truncate(before + received.as_ref().copied().unwrap_or(0));
    match received {
        Ok(0) => *pipe = None,
        Ok(_) => {}
        Err(error) if is_transient(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { processor_seconds: 8, address_bytes: 512 << 20 };

    /// What comes of a child that is this shell script.
    fn of_script(script: &str, wall_clock: Duration) -> CompileError {
        let component = vec![7; 1 << 20];
        let head = RequestHead::new(LIMITS, [0; 32], &component);
        let args = ["-c".into(), script.into()];
        let deadline = Instant::now() + wall_clock;
        compile(Path::new("/bin/sh"), &args, &head, &component, deadline).unwrap_err()
    }

    const AMPLE: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn a_child_that_can_not_be_started_is_no_fault_of_the_component() {
        let head = RequestHead::new(LIMITS, [0; 32], b"");
        let error =
            compile(Path::new("no/such/program"), &[], &head, b"", Instant::now()).unwrap_err();
        assert!(matches!(&error, CompileError::Unavailable(what) if what.contains("started")));
    }

    #[test]
    fn a_child_that_does_not_answer_is_ended() {
        for script in [
            // It reads nothing, so that the request fills the pipe.
            "exec sleep 1000",
            "cat > /dev/null; exec sleep 1000",
            // It closes all pipes and stays.
            "exec <&- >&- 2>&-; while true; do :; done",
            // One that lives on holds the pipes.
            "sleep 5 & exit 0",
            "while true; do echo more >&2; done",
        ] {
            let error = of_script(script, SHORT);
            let slow = "the machine is too busy to compile in time";
            assert_eq!(error, CompileError::Unavailable(slow.into()), "{script}");
        }
    }

    #[test]
    fn what_is_no_answer_is_not_waited_for() {
        let garbled = CompileError::Unavailable("what the compiler answers is garbled".into());
        for script in ["yes", "echo; exec sleep 1000", "cat"] {
            assert_eq!(of_script(script, AMPLE), garbled, "{script}");
        }
    }

    #[test]
    fn how_it_ended_says_whose_fault_it_was() {
        let crashed = |error: &CompileError| matches!(error, CompileError::Crashed(_));
        let expensive = |error: &CompileError| matches!(error, CompileError::TooExpensive(_));
        let unavailable = |error: &CompileError| matches!(error, CompileError::Unavailable(_));
        type Is<'a> = &'a dyn Fn(&CompileError) -> bool;
        let cases: [(&str, Is, &str); 9] = [
            ("kill -XCPU $$", &expensive, "over 8 seconds of processor time"),
            (
                "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$",
                &expensive,
                "over 512 MiB of memory",
            ),
            ("printf 'a\\033[2Jb' >&2; kill -ABRT $$", &crashed, "\\u{1b}[2Jb"),
            ("kill -SEGV $$", &crashed, "SIGSEGV"),
            ("kill -KILL $$", &unavailable, "SIGKILL"),
            ("kill -TERM $$", &unavailable, "SIGTERM"),
            ("exit 0", &unavailable, "exit status: 0"),
            ("echo why >&2; exit 3", &unavailable, "exit status: 3: why"),
            ("yes | head -c 1000000 >&2; echo the end >&2; exit 1", &unavailable, "the end"),
        ];
        for (script, is, text) in cases {
            let error = of_script(script, AMPLE);
            assert!(is(&error) && error.to_string().contains(text), "{script}: {error:?}");
            assert!(error.to_string().len() < 2 * STDERR_SHOWN_BYTES_MAX, "{script}: {error}");
        }
    }

    #[test]
    fn it_gets_no_environment() {
        let error = of_script("env >&2; exit 1", AMPLE).to_string();
        assert!(!error.contains("CARGO") && !error.contains("HOME"), "{error}");
    }
}
