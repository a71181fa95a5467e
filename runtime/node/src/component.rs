//! A component as something that the verifier can call.

use syncline_core::{
    ConflictRecord, ConflictSide, FunctionVersion, GuestFault, Hlc, MergeInput, MergeSide,
    Operation, RegionId, RowKey,
};
use syncline_host::Host;
use syncline_sdk::Side;
use syncline_verifier::{Answer, Case, Conflict, Failure, Outcome, Subject, Usage};

/// A function that a host has loaded.
pub(crate) struct Component {
    pub(crate) host: Host,
    pub(crate) version: FunctionVersion,
    /// How the host is set up.
    pub(crate) name: &'static str,
}

impl Subject for Component {
    fn call(&self, conflict: &Conflict) -> Result<Answer, Failure> {
        let ids = Ids::of(conflict)?;
        let run = self.host.run(&self.version, &ids.input(conflict));
        let run = run.map_err(|fault| Failure::NotCalled(fault.to_string()))?;
        let usage = run.usage.map(|usage| Usage {
            fuel: usage.fuel,
            stack_bytes: usage.stack_bytes,
            memory_bytes: run.memory_bytes,
        });
        let outcome = match run.outcome {
            Ok(image) => Outcome::Merged(image),
            Err(GuestFault::Error(text)) => Outcome::Error(text),
            Err(fault) => {
                // Where it was when it failed says more than the engine's word for it; the log begins
                // with the code.
                let log = run.log.trim_start_matches(fault.code()).trim();
                let text = if log.is_empty() { fault.to_string() } else { log.to_owned() };
                Outcome::Fault { code: fault.code().to_owned(), text }
            }
        };
        Ok(Answer { outcome, usage })
    }

    fn name(&self) -> &str {
        self.name
    }
}

/// What a conflict names, as the core's types.
struct Ids {
    row: RowKey,
    regions: [RegionId; 2],
    hlcs: [Hlc; 2],
}

impl Ids {
    fn of(conflict: &Conflict) -> Result<Self, Failure> {
        let wrong = |what: &str, error: &dyn std::fmt::Display| {
            Failure::NotCalled(format!("{what}: {error}"))
        };
        let region = |name: &str| -> Result<RegionId, Failure> {
            name.parse().map_err(|error| wrong("region", &error))
        };
        let hlc = |bits: u64| Hlc::from_bits(bits).map_err(|error| wrong("hlc", &error));
        Ok(Self {
            row: RowKey {
                table: conflict.table.parse().map_err(|error| wrong("table", &error))?,
                pk: conflict.row_pk.parse().map_err(|error| wrong("row_pk", &error))?,
            },
            regions: [region(&conflict.older.region)?, region(&conflict.newer.region)?],
            hlcs: [hlc(conflict.older.hlc)?, hlc(conflict.newer.hlc)?],
        })
    }

    fn input<'a>(&'a self, conflict: &'a Conflict) -> MergeInput<'a> {
        let sides = [&conflict.older, &conflict.newer];
        let side = |n: usize| MergeSide {
            region: &self.regions[n],
            hlc: self.hlcs[n],
            operation: match sides[n].operation {
                syncline_sdk::Operation::Insert => Operation::Insert,
                syncline_sdk::Operation::Update => Operation::Update,
                syncline_sdk::Operation::Delete => Operation::Delete,
            },
            image: sides[n].image.as_ref(),
        };
        MergeInput {
            row: &self.row,
            ancestor: conflict.ancestor.as_ref(),
            older: side(0),
            newer: side(1),
        }
    }
}

/// The first merge of a conflict, that of its two oldest heads; none where its images are gone.
pub(crate) fn case_of(record: &ConflictRecord) -> Option<Case> {
    let [older, newer, ..] = record.sides.as_slice() else { return None };
    if !record.has_images {
        return None;
    }
    let side = |side: &ConflictSide| Side {
        region: side.change.region.to_string(),
        hlc: side.change.hlc.bits(),
        operation: match side.operation {
            Operation::Insert => syncline_sdk::Operation::Insert,
            Operation::Update => syncline_sdk::Operation::Update,
            Operation::Delete => syncline_sdk::Operation::Delete,
        },
        image: side.image.clone(),
    };
    Some(Case {
        name: format!("conflict {}", record.id),
        conflict: Conflict {
            table: record.row.table.as_str().to_owned(),
            row_pk: record.row.pk.as_str().to_owned(),
            ancestor: newer.ancestor.image().cloned(),
            older: side(older),
            newer: side(newer),
        },
        third: None,
        law: None,
        expected: None,
    })
}
