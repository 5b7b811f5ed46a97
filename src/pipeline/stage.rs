//! Joins stages: each thread has its stage's name; the first error stops all stages and is the one reported.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope};

use super::AnnotateError;

/// The stages of one run.
pub(super) struct Stages {
    stop: Arc<AtomicBool>,
    first_error: Mutex<Option<AnnotateError>>,
}

impl Stages {
    /// `stop` is set when a stage fails; stages that wait for input from outside must poll it.
    pub(super) fn new(stop: Arc<AtomicBool>) -> Self {
        Self { stop, first_error: Mutex::new(None) }
    }

    /// Runs `stage` in a thread of `scope`. A stage ends when its input closes or its output is no longer wanted. Both
    /// are normal: an error in one stage ends its neighbours because it drops their channels.
    pub(super) fn spawn<'scope, 'env>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        name: &'static str,
        stage: impl FnOnce() -> Result<(), AnnotateError> + Send + 'scope,
    ) {
        let run = move || self.run(name, stage);
        if let Err(error) = Builder::new().name(name.into()).spawn_scoped(scope, run) {
            self.fail(AnnotateError::Thread { stage: name, source: error });
        }
    }

    /// Runs `stage` in this thread.
    pub(super) fn run(&self, name: &'static str, stage: impl FnOnce() -> Result<(), AnnotateError>) {
        let result = catch_unwind(AssertUnwindSafe(stage)).unwrap_or(Err(AnnotateError::Panicked { stage: name }));
        if let Err(error) = result {
            self.fail(error);
        }
    }

    fn fail(&self, error: AnnotateError) {
        self.stop.store(true, Ordering::Relaxed);
        self.first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// The first error, if there was one.
    pub(super) fn finish(self) -> Result<(), AnnotateError> {
        match self.first_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
