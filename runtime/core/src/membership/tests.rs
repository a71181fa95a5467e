//! Each rule in a plain scenario.

use std::collections::BTreeSet;

use super::*;
use crate::{Hlc, Malformed, VersionVector};

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn set(names: &[&str]) -> BTreeSet<RegionId> {
    names.iter().map(|name| region(name)).collect()
}

fn hlc(n: u64) -> Hlc {
    Hlc::from_bits(n).unwrap()
}

fn id(n: u64, name: &str) -> ChangeId {
    ChangeId { hlc: hlc(n), region: region(name) }
}

fn change(n: u64, name: &str) -> MembershipId {
    MembershipId(id(n, name))
}

fn join(name: &str) -> MembershipChange {
    MembershipChange::Join { region: region(name) }
}

fn evict(names: &[&str]) -> MembershipChange {
    MembershipChange::Evict { gone: set(names) }
}

fn propose(previous: Option<MembershipId>, change: MembershipChange) -> MembershipRecord {
    MembershipRecord::Propose { previous, change }
}

fn counted(change: MembershipId, stable: &[u64]) -> MembershipRecord {
    let vector = |n: &u64| -> VersionVector { [(region("a"), hlc(*n))].into_iter().collect() };
    let stable = stable.iter().map(vector).collect();
    MembershipRecord::Accept { change, answer: MembershipAnswer::Counted { stable } }
}

fn cut(taken: u64, heartbeat: u64) -> Cut {
    Cut { taken: hlc(taken), heartbeat: hlc(heartbeat) }
}

fn fenced(change: MembershipId, last: &[(&str, &[Cut])]) -> MembershipRecord {
    let last = last.iter().map(|(name, cuts)| (region(name), cuts.to_vec())).collect();
    MembershipRecord::Accept { change, answer: MembershipAnswer::Fenced { last } }
}

fn refuse(change: MembershipId, bound_to: MembershipId) -> MembershipRecord {
    MembershipRecord::Refuse { change, bound_to }
}

fn done(change: MembershipId) -> MembershipRecord {
    MembershipRecord::Done { change }
}

/// What `me`, one of a, b and c, makes of records that are given as (HLC, region, record).
fn seen_by(me: &str, records: &[(u64, &str, MembershipRecord)]) -> Membership {
    let mut view = Membership::new(region(me), set(&["a", "b", "c"]));
    for (n, name, record) in records {
        assert_eq!(record.check(), Ok(()));
        view.insert(id(*n, name), record.clone());
    }
    view
}

fn state(view: &Membership, change: &MembershipId) -> MembershipState {
    view.get(change).unwrap().state
}

fn joined(
    previous: Option<MembershipId>,
    name: &str,
) -> Vec<(u64, &'static str, MembershipRecord)> {
    let at = change(10, "a");
    vec![
        (10, "a", propose(previous, join(name))),
        (11, "a", counted(at.clone(), &[5, 1])),
        (11, "b", counted(at.clone(), &[4, 7])),
        (11, "c", counted(at, &[3])),
    ]
}

#[test]
fn a_join_is_agreed_on_when_all_count_and_complete_when_the_new_one_says_so() {
    let mut records = joined(None, "d");
    let at = change(10, "a");
    let b = seen_by("b", &records[..2]);
    assert_eq!(b.duty(), Some(Duty::Count { change: at.clone(), region: region("d") }));
    assert_eq!((b.counted(), b.members()), (set(&["a", "b", "c"]), set(&["a", "b", "c"])));
    let b = seen_by("b", &records[..3]);
    assert_eq!(b.counted(), set(&["a", "b", "c", "d"]));
    assert_eq!((state(&b, &at), b.duty()), (MembershipState::Open, None));
    assert_eq!(b.missing(), set(&["c"]));

    let d = seen_by("d", &records);
    let stable = [5, 7].map(|n| [(region("a"), hlc(n))].into_iter().collect()).to_vec();
    assert_eq!(d.duty(), Some(Duty::Admit { change: at.clone(), stable }));
    assert_eq!((state(&d, &at), d.may_write()), (MembershipState::Agreed, false));
    records.push((12, "d", done(at.clone())));
    let d = seen_by("d", &records);
    assert_eq!((state(&d, &at), d.may_write(), d.duty()), (MembershipState::Complete, true, None));
    assert_eq!((d.members(), d.counted()), (set(&["a", "b", "c", "d"]), d.members()));
    assert!(matches!(d.propose(evict(&["a"])), Ok(MembershipRecord::Propose { .. })));
}

#[test]
fn the_cut_is_the_most_that_anyone_had() {
    let at = change(1, "a");
    let mut records = vec![
        (1, "a", propose(None, evict(&["c"]))),
        (2, "a", fenced(at.clone(), &[("c", &[cut(5, 1), cut(2, 2)])])),
    ];
    let b = seen_by("b", &records);
    assert_eq!(b.duty(), Some(Duty::Fence { change: at.clone(), gone: set(&["c"]) }));
    assert_eq!((b.fenced(), b.is_evicted(&region("c"))), (set(&[]), false));
    // One that says too little of the partitions, and something of one who is not gone.
    records.push((3, "b", fenced(at.clone(), &[("c", &[cut(4, 9)]), ("a", &[cut(9, 9)])])));
    let b = seen_by("b", &records);
    let cuts = BTreeMap::from([(region("c"), vec![cut(5, 9), cut(2, 2)])]);
    assert_eq!(cuts[&region("c")][0].reached(), hlc(9));
    assert_eq!(b.duty(), Some(Duty::Cut { change: at.clone(), cuts }));
    assert_eq!((b.fenced(), b.is_evicted(&region("c"))), (set(&["c"]), true));
    assert_eq!((b.members(), b.counted()), (set(&["a", "b"]), set(&["a", "b", "c"])));
    records.push((4, "b", done(at.clone())));
    let b = seen_by("b", &records);
    assert_eq!(
        (state(&b, &at), b.counted(), b.duty()),
        (MembershipState::Agreed, b.members(), None)
    );
    records.push((5, "a", done(at.clone())));
    assert_eq!(state(&seen_by("b", &records), &at), MembershipState::Complete);

    let c = seen_by("c", &records);
    assert!(c.me_gone() && !c.may_write() && c.duty().is_none());
    assert_eq!(c.propose(evict(&["a"])), Err(ProposeRefused::MeGone));
}

#[test]
fn of_two_made_apart_the_earlier_wins_unless_the_later_is_agreed_on() {
    let (first, second) = (change(1, "a"), change(2, "b"));
    let mut records = vec![(2, "b", propose(None, join("e"))), (1, "a", propose(None, join("d")))];
    let b = seen_by("b", &records);
    assert_eq!(b.duty(), Some(Duty::Count { change: first.clone(), region: region("d") }));
    let with = |record| {
        let mut records = records.clone();
        records.push((3, "b", record));
        seen_by("b", &records)
    };
    // It has accepted the earlier one.
    let b = with(counted(first.clone(), &[]));
    assert_eq!(b.duty(), Some(Duty::Say(refuse(second.clone(), first.clone()))));
    // It has accepted the later one, before it knew of the earlier: it waits.
    let b = with(counted(second.clone(), &[]));
    assert_eq!((b.duty(), b.counted()), (None, set(&["a", "b", "c", "e"])));
    records.push((3, "b", counted(second.clone(), &[])));
    // The later one dies, or is agreed on.
    records.push((4, "c", refuse(second.clone(), first.clone())));
    let b = seen_by("b", &records);
    assert_eq!((state(&b, &second), b.counted()), (MembershipState::Dead, b.members()));
    assert_eq!(b.duty(), Some(Duty::Count { change: first.clone(), region: region("d") }));
    records.pop();
    records.push((4, "c", counted(second.clone(), &[])));
    records.push((4, "a", counted(second.clone(), &[])));
    let b = seen_by("b", &records);
    assert_eq!(
        (state(&b, &first), state(&b, &second)),
        (MembershipState::Dead, MembershipState::Agreed)
    );
    assert_eq!(b.duty(), Some(Duty::Say(refuse(first, second))));
}

#[test]
fn only_the_first_answer_of_a_participant_counts() {
    let at = change(10, "a");
    let mut records = joined(None, "d");
    records.insert(3, (10, "c", fenced(at.clone(), &[])));
    records.push((12, "c", refuse(at.clone(), change(1, "b"))));
    records.push((12, "x", refuse(at.clone(), change(1, "b"))));
    let mut a = seen_by("a", &records);
    assert_eq!(state(&a, &at), MembershipState::Agreed);
    assert!(a.get(&at).unwrap().refused.is_empty());
    let before: Vec<MembershipView> = a.iter().cloned().collect();
    for (n, name, record) in records {
        a.insert(id(n, name), record);
    }
    assert_eq!(a.iter().cloned().collect::<Vec<_>>(), before);
}

#[test]
fn an_eviction_may_stand_on_a_join_that_a_dead_region_does_not_answer() {
    let (below, above) = (change(10, "a"), change(12, "b"));
    let mut records = joined(None, "d")[..3].to_vec();
    let b = seen_by("b", &records);
    let under_way = |must: &[&str]| {
        let (id, state, must) = (below.clone(), MembershipState::Open, set(must));
        Err(ProposeRefused::UnderWay { id, state, must })
    };
    assert_eq!(b.propose(evict(&["c"])), under_way(&["d"]));
    assert_eq!(b.propose(join("e")), under_way(&["d"]));
    // All that it waits for is there.
    assert_eq!(b.propose(evict(&["a", "d"])), under_way(&["d"]));
    let record = b.propose(evict(&["c", "d"])).unwrap();
    assert_eq!(record, propose(Some(below.clone()), evict(&["c", "d"])));
    records.push((12, "b", record));
    let a = seen_by("a", &records);
    assert_eq!(a.duty(), Some(Duty::Fence { change: above.clone(), gone: set(&["c", "d"]) }));
    records.push((13, "a", fenced(above.clone(), &[])));
    records.push((13, "b", fenced(above.clone(), &[])));
    let a = seen_by("a", &records);
    assert_eq!(
        (state(&a, &below), state(&a, &above)),
        (MembershipState::Dead, MembershipState::Agreed)
    );
    assert_eq!((a.members(), a.counted()), (set(&["a", "b"]), set(&["a", "b", "c", "d"])));
    // What it had answered may be found out when the cut is reached.
    records.push((11, "c", counted(below.clone(), &[])));
    records.push((14, "a", done(above.clone())));
    let a = seen_by("a", &records);
    assert_eq!((state(&a, &below), a.members()), (MembershipState::Agreed, set(&["a", "b"])));
    assert_eq!(a.counted(), a.members());
}

#[test]
fn a_cut_stands_still_while_a_later_eviction_asks_again() {
    let (below, above) = (change(1, "a"), change(5, "a"));
    let mut view = Membership::new(region("a"), set(&["a", "b", "c", "d"]));
    let mut insert = |n, name: &str, record| {
        view.insert(id(n, name), record);
        view.duty()
    };
    insert(1, "a", propose(None, evict(&["d"])));
    insert(2, "b", fenced(below.clone(), &[("d", &[cut(9, 9)])]));
    insert(2, "c", fenced(below.clone(), &[]));
    let duty = insert(3, "a", fenced(below.clone(), &[]));
    assert!(matches!(duty, Some(Duty::Cut { .. })));
    let duty = insert(5, "a", propose(Some(below), evict(&["b", "d"])));
    assert!(matches!(duty, Some(Duty::Fence { .. })));
    assert_eq!(insert(6, "a", fenced(above.clone(), &[("d", &[cut(4, 4)])])), None);
    // The region that had more is gone as well.
    let duty = insert(6, "c", fenced(above.clone(), &[]));
    let cuts = BTreeMap::from([(region("b"), vec![]), (region("d"), vec![cut(4, 4)])]);
    assert_eq!(duty, Some(Duty::Cut { change: above, cuts }));
}

#[test]
fn who_is_gone_need_not_be_done() {
    let (below, above) = (change(1, "a"), change(5, "a"));
    let mut records = vec![
        (1, "a", propose(None, evict(&["c"]))),
        (2, "a", fenced(below.clone(), &[])),
        (2, "b", fenced(below.clone(), &[])),
        (3, "a", done(below.clone())),
        (5, "a", propose(Some(below.clone()), evict(&["b"]))),
    ];
    assert_eq!(state(&seen_by("a", &records), &below), MembershipState::Agreed);
    records.push((6, "a", fenced(above, &[])));
    assert_eq!(state(&seen_by("a", &records), &below), MembershipState::Complete);
}

#[test]
fn proposals_that_break_the_rules_are_dead_at_once() {
    let known = change(10, "a");
    let mut complete = joined(None, "d");
    complete.push((12, "d", done(known.clone())));
    for (n, name, previous, what) in [
        (20, "x", Some(known.clone()), join("e")),
        (20, "b", Some(known.clone()), join("d")),
        (20, "b", Some(known.clone()), evict(&[])),
        (20, "b", Some(known.clone()), evict(&["b"])),
        (20, "b", Some(known.clone()), evict(&["e"])),
        (20, "b", Some(change(20, "b")), evict(&["a"])),
        (9, "b", Some(known.clone()), evict(&["a"])),
        (20, "b", None, join("e")),
    ] {
        let mut records = complete.clone();
        records.push((n, name, propose(previous, what.clone())));
        let c = seen_by("c", &records);
        assert_eq!(state(&c, &change(n, name)), MembershipState::Dead, "{what:?}");
        assert!(c.current().unwrap().id == known && !c.me_gone());
    }
}

#[test]
fn a_proposal_that_stands_on_nothing_known_waits() {
    let (unknown, at) = (change(1, "b"), change(2, "a"));
    let records = vec![(2, "a", propose(Some(unknown.clone()), evict(&["b"])))];
    let c = seen_by("c", &records);
    assert_eq!((state(&c, &at), c.duty(), c.missing()), (MembershipState::Open, None, set(&["b"])));
    let refused = Err(ProposeRefused::NotHereYet { id: unknown });
    assert_eq!(c.propose(join("e")), refused);
    assert_eq!(c.propose(evict(&["b"])), refused);
    assert!(seen_by("b", &records).me_gone());
    // Nobody who has it would be left.
    assert!(c.propose(evict(&["a", "b"])).is_ok());
}

#[test]
fn what_cannot_be_read_any_more_is_refused() {
    let (unread, held) = (change(1, "c"), change(2, "a"));
    let mut records = vec![
        (2, "a", propose(None, evict(&["c"]))),
        (3, "a", fenced(held.clone(), &[])),
        (3, "b", counted(unread.clone(), &[])),
    ];
    let a = seen_by("a", &records);
    assert_eq!(a.duty(), Some(Duty::Say(refuse(unread.clone(), held.clone()))));
    records.push((4, "a", refuse(unread.clone(), held)));
    assert_eq!(seen_by("a", &records).duty(), None);
}

#[test]
fn of_two_that_evict_each_other_the_later_gives_way() {
    let (first, second) = (change(1, "a"), change(2, "b"));
    let records =
        vec![(1, "a", propose(None, evict(&["b"]))), (2, "b", propose(None, evict(&["a"])))];
    let b = seen_by("b", &records);
    assert_eq!(b.duty(), Some(Duty::Say(refuse(second.clone(), first.clone()))));
    let a = seen_by("a", &records);
    assert_eq!(a.duty(), Some(Duty::Fence { change: first, gone: set(&["b"]) }));
    assert!(a.me_gone() && !a.may_write());
}

#[test]
fn what_makes_no_sense_is_not_proposed() {
    let view = seen_by("a", &[]);
    let full: BTreeSet<RegionId> = (0..REGIONS_MAX).map(|n| region(&format!("r{n}"))).collect();
    let full = Membership::new(region("r0"), full);
    assert_eq!(full.propose(join("d")), Err(ProposeRefused::Full));
    assert_eq!(seen_by("x", &[]).propose(join("d")), Err(ProposeRefused::MeNotMember));
    assert_eq!(view.propose(evict(&[])), Err(ProposeRefused::Nobody));
    assert_eq!(view.propose(evict(&["a", "b", "c"])), Err(ProposeRefused::Myself));
    let refused = Err(ProposeRefused::NotMember { region: region("d") });
    assert_eq!(view.propose(evict(&["d"])), refused);
    let refused = Err(ProposeRefused::OldIncarnation { region: region("b#2"), old: region("b") });
    assert_eq!(view.propose(join("b#2")), refused);
    let refused = Err(ProposeRefused::Used { region: region("b"), next: region("b#2") });
    assert_eq!(view.propose(join("b")), refused);

    let at = change(1, "a");
    let mut records = vec![(1, "a", propose(None, evict(&["b"])))];
    for name in ["a", "c"] {
        records.push((2, name, fenced(at.clone(), &[])));
        records.push((3, name, done(at.clone())));
    }
    let view = seen_by("a", &records);
    let refused = ProposeRefused::Used { region: region("b"), next: region("b#2") };
    assert!(refused.to_string().contains("e.g. b#2"));
    assert_eq!(view.propose(join("b")), Err(refused));
    assert_eq!(view.propose(join("b#2")), Ok(propose(Some(at), join("b#2"))));
}

#[test]
fn lists_that_nobody_needs_are_malformed() {
    let at = change(1, "a");
    let many: BTreeSet<RegionId> = (0..65).map(|n| region(&format!("r{n}"))).collect();
    let wide: VersionVector = (1..258).map(|n| (region(&format!("r{n}")), hlc(n))).collect();
    let answer = |stable| MembershipAnswer::Counted { stable };
    let accept = |answer| MembershipRecord::Accept { change: at.clone(), answer };
    for (bad, max) in [
        (propose(None, MembershipChange::Evict { gone: many }), 64),
        (fenced(at.clone(), &[("c", &[Cut::default(); 1026])]), 1025),
        (counted(at.clone(), &[1; 1025]), 1024),
    ] {
        let found = bad.check();
        assert!(
            matches!(found, Err(Malformed::Membership { max: m, .. }) if m == max),
            "{found:?}"
        );
    }
    let found = accept(answer(vec![wide])).check();
    assert_eq!(found, Err(Malformed::VectorTooLarge { entries: 257 }));
    assert_eq!(fenced(at.clone(), &[("c", &[Cut::default(); 1025])]).check(), Ok(()));
}
