//! What is found out about a function between its upload and its rollout: the laws of merging, over
//! the cases that came with it and the conflicts that this region has met in its table.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use syncline_core::TableName;
use syncline_host::Admitted;
use syncline_store::StoreError;
use syncline_store::kv::conflict::{ConflictFilter, query};
use syncline_verifier::{
    Answer, Case, Conflict, Effort, Failure, Report, Subject, verify as verify_function,
};
use thiserror::Error;

use super::Region;
use crate::component::{Component, case_of};

/// So long a function is verified at an upload. Its author has more time: `syncline function verify`.
pub const VERIFY_MS_MAX: u64 = 2_000;
/// So many of the table's newest conflicts are tried.
const RECORDED_MAX: usize = 100;
/// And of rows of so many bytes in all.
const RECORDED_BYTES_MAX: usize = 8 << 20;
/// So many conflicts are made of those and of the cases.
const GENERATED: usize = 300;

/// Functions are verified one at a time in a process, as merges of rows come first.
static TURN: Mutex<()> = Mutex::new(());

/// Why a function could not be verified. It says nothing about the function.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// It is not loaded, and can't be.
    #[error("load the function: {0}")]
    Load(#[from] syncline_host::LoadError),
    /// The conflicts of the table could not be read.
    #[error("read the table's conflicts")]
    Store(#[from] StoreError),
    /// It could not be called.
    #[error(transparent)]
    Call(#[from] Failure),
}

impl Region {
    /// Verifies a function that was just admitted, until `deadline` at the latest. Without a case and
    /// without a conflict of the table there is nothing to go by, and all laws are inconclusive.
    ///
    /// The function is loaded by this, if it was not.
    pub fn verify(
        &self,
        table: &TableName,
        admitted: &Admitted,
        component: &[u8],
        given: &[Case],
        deadline: Instant,
    ) -> Result<Report, VerifyError> {
        let version = admitted.version;
        self.shared.host.load(version, component)?;
        let recorded = self.recorded(table)?;
        let nothing = given.is_empty() && recorded.is_empty();
        let effort = Effort { seed: 1, generated: if nothing { 0 } else { GENERATED } };
        let host = self.shared.host.clone();
        let component = Component { host, version, name: "production" };
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = deadline.min(Instant::now() + Duration::from_millis(VERIFY_MS_MAX));
        let subject = Until { component, deadline };
        Ok(verify_function(&subject, &[], given, &recorded, effort, &mut |_, _| {})?)
    }

    /// Forgets a function that is not to go live.
    pub fn forget(&self, admitted: &Admitted) {
        self.shared.host.remove(&admitted.version);
    }

    /// The newest conflicts of a table, as cases without an expectation.
    fn recorded(&self, table: &TableName) -> Result<Vec<Case>, StoreError> {
        let filter = ConflictFilter { table: Some(table.clone()), ..ConflictFilter::default() };
        let page = query(self.store(), self.partitions(), &filter, None, RECORDED_MAX)?;
        let mut bytes = 0;
        let cases = page.conflicts.iter().filter_map(case_of).take_while(|case| {
            let Conflict { ancestor, older, newer, .. } = &case.conflict;
            let images = [ancestor, &older.image, &newer.image];
            bytes +=
                images.into_iter().flatten().map(|image| image.as_bytes().len()).sum::<usize>();
            bytes <= RECORDED_BYTES_MAX
        });
        Ok(cases.collect())
    }
}

/// A function that is called until a time.
struct Until {
    component: Component,
    deadline: Instant,
}

impl Subject for Until {
    fn call(&self, conflict: &Conflict) -> Result<Answer, Failure> {
        if Instant::now() >= self.deadline {
            return Err(Failure::Stopped);
        }
        self.component.call(conflict)
    }

    fn name(&self) -> &str {
        self.component.name()
    }
}
