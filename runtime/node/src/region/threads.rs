//! The threads of a region: one that panics stops the region, which would only seem to run without
//! it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::Shared;

/// The threads of a region that its end waits for. They may start others.
#[derive(Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts a thread.
    pub(super) fn start(
        &self,
        shared: &Arc<Shared>,
        name: impl Into<String>,
        body: impl FnOnce() + Send + 'static,
    ) {
        self.start_with(Builder::new(), shared, name.into(), body);
    }

    /// Starts a thread with a stack of so many bytes.
    pub(super) fn start_with_stack(
        &self,
        bytes: usize,
        shared: &Arc<Shared>,
        name: impl Into<String>,
        body: impl FnOnce() + Send + 'static,
    ) {
        self.start_with(Builder::new().stack_size(bytes), shared, name.into(), body);
    }

    fn start_with(
        &self,
        thread: Builder,
        shared: &Arc<Shared>,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) {
        if let Some(thread) = start(thread, shared, name, body) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
    }

    /// Waits for all, those included that a thread starts before it ends. Answers false if one of
    /// them panicked.
    pub(super) fn join(&self) -> bool {
        let next = || self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut sound = true;
        while let Some(thread) = next() {
            sound &= thread.join().is_ok();
        }
        sound
    }
}

/// Starts a thread that nobody waits for.
pub(super) fn aside(
    shared: &Arc<Shared>,
    name: impl Into<String>,
    body: impl FnOnce() + Send + 'static,
) {
    drop(start(Builder::new(), shared, name.into(), body));
}

/// None: there is no such thread, and the region stops.
fn start(
    thread: Builder,
    shared: &Arc<Shared>,
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> Option<JoinHandle<()>> {
    let (failing, named) = (Arc::clone(shared), name.clone());
    let guarded = move || guarded(&named, body, |reason| failing.fail(reason));
    match thread.name(name.clone()).spawn(guarded) {
        Ok(thread) => Some(thread),
        Err(error) => {
            shared.fail(format!("start the thread {name}: {error}"));
            None
        }
    }
}

/// What panics is told, and goes on panicking.
fn guarded(name: &str, body: impl FnOnce(), fail: impl FnOnce(String)) {
    // What the body has left half done is looked at by nobody: the region ends.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
        let what = panic_text(&*panic);
        fail(format!(
            "a thread panicked: {name}: {what}; this is a bug of Syncline: keep the log and report \
             it, and start the region again"
        ));
        resume_unwind(panic);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_told_by_its_name() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let run = |name: &'static str, body: fn()| {
            let told = Arc::clone(&told);
            let fail = move |reason| told.lock().unwrap().push(reason);
            std::thread::spawn(move || guarded(name, body, fail)).join()
        };
        assert!(run("sound", || {}).is_ok());
        assert!(run("syncer", || panic!("no {}", "way")).is_err());
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("a thread panicked: syncer: no way; "), "{told:?}");
    }
}
