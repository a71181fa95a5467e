//! The control partition's effects onto the disk, and back.

use syncline_core::{CONTROL_PARTITION, ControlCommit, ControlRecord, ControlSnapshot};

use crate::kv::{component, membership, meta, outbox, rollout, version};
use crate::{Batch, Store, StoreError};

/// As [`crate::write_commit`], for the control partition. A component that is complete is written
/// apart, with [`component::put_whole`], once it is verified.
pub fn write_control_commit(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    commit: &ControlCommit,
    encode: impl Fn(&ControlRecord) -> Vec<u8>,
) -> Result<(), StoreError> {
    for (id, record) in &commit.rollouts {
        rollout::put(batch, id, record);
    }
    for (id, record) in &commit.membership {
        membership::put(batch, id, record);
    }
    for (id, record) in &commit.versions {
        version::put(batch, id, record);
    }
    if let Some(founders) = &commit.founders {
        membership::put_founders(batch, founders);
    }
    for chunk in &commit.chunks {
        component::put_chunk(batch, chunk);
    }
    for version in &commit.dropped {
        component::drop_whole(batch, store, version)?;
    }
    for record in &commit.outbox {
        outbox::put(batch, CONTROL_PARTITION, record.id.hlc, &encode(record));
    }
    if let Some(upto) = commit.confirmed {
        outbox::delete_upto(batch, store, CONTROL_PARTITION, upto)?;
    }
    meta::put(batch, CONTROL_PARTITION, &commit.meta);
    Ok(())
}

/// The control partition as it was last committed; an empty one if it never was.
pub fn load_control(store: &(impl Store + ?Sized)) -> Result<ControlSnapshot, StoreError> {
    Ok(ControlSnapshot {
        meta: meta::get(store, CONTROL_PARTITION)?.unwrap_or_default(),
        outbox: outbox::hlcs(store, CONTROL_PARTITION)?,
        rollouts: rollout::all(store)?,
        membership: membership::all(store)?,
        versions: version::all(store)?,
        founders: membership::founders(store)?,
        parts: component::chunks(store)?,
        here: component::all(store)?.into_iter().map(|(version, _)| version).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use syncline_core::{
        ComponentChunk, ControlBody, ControlPartition, FunctionVersion, Hlc, MembershipChange,
        MembershipId, NewRollout, RegionId, RolloutPlan, RolloutText,
    };

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    #[test]
    fn a_control_partition_comes_back_as_it_was() {
        let store = MemoryStore::new();
        let regions: Vec<RegionId> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let restore = || {
            let kept = load_control(&store).unwrap();
            ControlPartition::restore(regions[0].clone(), regions.clone(), kept)
        };
        let component = vec![5; 700_000];
        let version = FunctionVersion::of(&component);
        let mut control = restore();
        control.component_is_here(version);
        let chunks = ComponentChunk::split(&component);
        control.say(hlc(1), ControlBody::Component(chunks[0].clone()));
        let new = NewRollout {
            table: "t".parse().unwrap(),
            version: version.into(),
            plan: RolloutPlan::default(),
            actor: RolloutText::default(),
            why: RolloutText::default(),
        };
        let create = control.rollouts().create(new).unwrap();
        control.say(hlc(2), ControlBody::Rollout(create));
        let join = MembershipChange::Join { region: "c".parse().unwrap() };
        let propose = control.membership().propose(join).unwrap();
        let change = control.say(hlc(3), ControlBody::Membership(propose));
        control.read_to(&regions[1], 4096);
        let commit = control.finish(Some(hlc(4)));
        let mut batch = Batch::new();
        write_control_commit(&mut batch, &store, &commit, |_| b"record".to_vec()).unwrap();
        let facts = component::ComponentFacts {
            bytes: component.len() as u64,
            name: String::new(),
            uploaded_by: String::new(),
            uploaded_at_ms: 0,
        };
        component::put_whole(&mut batch, &store, &version, &component, &facts).unwrap();
        store.commit(batch).unwrap();
        let again = restore();
        assert_eq!(again.own_change(), hlc(3));
        assert_eq!((again.highest_hlc(), again.outstanding()), (hlc(4), 3));
        assert_eq!(again.position(&regions[1]), Some(4096));
        assert!(again.is_here(&version));
        assert_eq!(again.rollouts().iter().count(), 1);
        let kept = load_control(&store).unwrap();
        assert_eq!(kept.founders, regions);
        assert_eq!(kept.membership, commit.membership);
        assert!(again.membership().get(&MembershipId(change)).is_some());
    }
}
