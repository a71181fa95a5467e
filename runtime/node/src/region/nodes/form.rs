//! What the nodes of a region tell each other, in JSON.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use syncline_applier::{Directed, Noted};
use syncline_core::{
    CallCounters, ChangeId, ConflictId, Counting, Cut, Diverged, DivergedSide, Divergence,
    EngineName, FunctionVersion, Hlc, Link, LinkState, PartitionStanding, RegionId,
    RolloutCounters, RolloutId, RolloutText, RowKey, RowPk, SelfTest, ShortDigest, Stamp,
    TableName, VersionVector,
};

/// The version of these forms. Of two nodes with different ones, as in an update, each takes the
/// other for dark: it goes by what it was told before, and answers for its own rows.
pub(crate) const FORM: u32 = 1;

/// A value that is written as its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

pub(in crate::region) fn texts<T: Clone>(all: impl IntoIterator<Item = T>) -> Vec<Text<T>> {
    all.into_iter().map(Text).collect()
}

fn plain<T: Ord>(all: Vec<Text<T>>) -> BTreeSet<T> {
    all.into_iter().map(|Text(value)| value).collect()
}

pub(in crate::region) type VectorForm = BTreeMap<Text<RegionId>, Text<Hlc>>;

pub(in crate::region) fn vector_form(vector: &VersionVector) -> VectorForm {
    vector.iter().map(|(region, hlc)| (Text(region.clone()), Text(hlc))).collect()
}

pub(in crate::region) fn vector_of(form: VectorForm) -> VersionVector {
    VersionVector::from_iter(form.into_iter().map(|(Text(region), Text(hlc))| (region, hlc)))
}

/// A node, as it shows itself to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeForm {
    pub(crate) v: u32,
    pub(crate) region: Text<RegionId>,
    /// Its name; none where the region is one node.
    pub(crate) node: Option<String>,
    /// Of this process, since it was started.
    pub(crate) run: String,
    /// When it was started, in milliseconds since 1970.
    pub(crate) started_ms: u64,
    /// How many partitions the region has.
    pub(crate) partitions: u32,
    /// Who has which of them, as its configuration has it.
    pub(crate) claims: BTreeMap<String, BTreeSet<u32>>,
}

/// What can be read of a node of any version.
#[derive(Deserialize)]
struct AnyNode {
    v: u32,
}

/// A node that shows itself. An error is for the other side.
pub(super) fn read_node(text: &[u8]) -> Result<NodeForm, String> {
    let AnyNode { v } = read(text)?;
    same_form(v)?;
    read(text)
}

impl Report {
    /// What a node tells the lead. An error is for the node.
    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct AnyReport {
            node: AnyNode,
        }
        let AnyReport { node } = read(text)?;
        same_form(node.v)?;
        read(text)
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| format!("this is not what a node says: {error}"))
}

fn same_form(v: u32) -> Result<(), String> {
    if v == FORM {
        return Ok(());
    }
    Err(format!(
        "what nodes tell each other has form {v} there and form {FORM} here: have all nodes of the \
         region run the same release"
    ))
}

/// What a node tells the lead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) node: NodeForm,
    /// The directives that it goes by.
    pub(crate) applied: Option<String>,
    /// Its clock when its stamps had become what they are.
    pub(crate) stamped_until: Text<Hlc>,
    /// How its partitions stand, durably; nothing unless that is asked.
    pub(crate) standings: BTreeMap<u32, StandingForm>,
    /// What came of testing versions since its start.
    pub(crate) tested: BTreeMap<Text<FunctionVersion>, TestedForm>,
    /// The tables with rows that it knows and has not told.
    pub(crate) tables: Vec<Text<TableName>>,
    /// Grows with each of these that is not the one before, sent again.
    pub(crate) sequence: u64,
    pub(crate) counts: Vec<CountsForm>,
    pub(crate) divergences: Vec<NotedForm>,
}

/// What the lead answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Of the lead's process.
    pub(crate) run: String,
    /// The directives that hold.
    pub(crate) directives: String,
    /// They, unless the node goes by them.
    pub(crate) told: Option<Directives>,
    /// Tables that others have rows of, as far as the node was not told.
    pub(crate) tables: Vec<Text<TableName>>,
}

/// What the lead has the other nodes do. It is kept by each of them, for a start while the lead is
/// dark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Directives {
    pub(crate) counted: Vec<Text<RegionId>>,
    pub(crate) fenced: Vec<Text<RegionId>>,
    /// Where regions that are evicted end, by partition.
    pub(crate) cuts: BTreeMap<Text<RegionId>, Vec<CutForm>>,
    pub(crate) may_write: bool,
    pub(crate) stamps: BTreeMap<Text<TableName>, Text<Stamp>>,
    /// The partitions say how they stand.
    pub(crate) watched: bool,
    /// The regions whose logs are read.
    pub(crate) read: Vec<Text<RegionId>>,
    pub(crate) members: Vec<Text<RegionId>>,
    /// Others say that this region is gone.
    pub(crate) me_gone: bool,
    /// The determinism profiles that versions go by.
    pub(crate) profiles: BTreeMap<Text<FunctionVersion>, u32>,
    /// Versions whose components are in the region.
    pub(crate) have: Vec<Text<FunctionVersion>>,
    /// Those of them that are to be tested.
    pub(crate) test: Vec<Text<FunctionVersion>>,
    /// Versions that every region is done with, and the deletions that say so.
    pub(crate) released: Vec<(Text<FunctionVersion>, ChangeForm)>,
    /// Rollouts that are under way.
    pub(crate) watch: Vec<WatchedForm>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatchedForm {
    pub(crate) table: Text<TableName>,
    pub(crate) rollout: ChangeForm,
    pub(crate) version: Text<Stamp>,
    pub(crate) in_shadow: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeForm {
    region: Text<RegionId>,
    hlc: Text<Hlc>,
}

impl ChangeForm {
    pub(crate) fn of(id: &ChangeId) -> Self {
        Self { region: Text(id.region.clone()), hlc: Text(id.hlc) }
    }

    pub(crate) fn make(self) -> ChangeId {
        ChangeId { hlc: self.hlc.0, region: self.region.0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CutForm {
    taken: Text<Hlc>,
    heartbeat: Text<Hlc>,
}

impl CutForm {
    pub(in crate::region) fn of(cut: Cut) -> Self {
        Self { taken: Text(cut.taken), heartbeat: Text(cut.heartbeat) }
    }

    fn make(self) -> Cut {
        Cut { taken: self.taken.0, heartbeat: self.heartbeat.0 }
    }
}

impl Directives {
    /// What they have the row partitions do.
    pub(in crate::region) fn directed(&self, partitions: u32) -> Directed {
        let shared = Counting {
            counted: plain(self.counted.clone()),
            fenced: plain(self.fenced.clone()),
            cuts: BTreeMap::new(),
            may_write: self.may_write,
        };
        let of_partition = |number: u32| {
            let cut = |(region, cuts): (&Text<RegionId>, &Vec<CutForm>)| {
                let cut = cuts.get(number as usize).map(|cut| cut.make()).unwrap_or_default();
                (region.0.clone(), cut)
            };
            let cuts = self.cuts.iter().map(cut).collect();
            (number, Counting { cuts, ..shared.clone() })
        };
        let stamps = self.stamps.iter().map(|(table, stamp)| (table.0.clone(), stamp.0));
        Directed {
            stamps: stamps.collect(),
            counting: (0..partitions).map(of_partition).collect(),
            watched: self.watched,
        }
    }

    /// Takes over what the control partition says to the row partitions, of which `partitions` there
    /// are.
    pub(in crate::region) fn with(mut self, directed: Directed, partitions: u32) -> Self {
        let Directed { stamps, counting, watched } = directed;
        self.stamps = stamps.into_iter().map(|(table, stamp)| (Text(table), Text(stamp))).collect();
        self.watched = watched;
        let Some(any) = counting.get(&0) else { return self };
        self.counted = texts(any.counted.iter().cloned());
        self.fenced = texts(any.fenced.iter().cloned());
        self.may_write = any.may_write;
        let cuts_of = |region: &RegionId| {
            let cut = |number| counting.get(&number)?.cuts.get(region).copied();
            (0..partitions).map(|number| CutForm::of(cut(number).unwrap_or_default())).collect()
        };
        self.cuts = any.cuts.keys().map(|region| (Text(region.clone()), cuts_of(region))).collect();
        self
    }

    pub(in crate::region) fn read(&self) -> BTreeSet<RegionId> {
        plain(self.read.clone())
    }

    /// The versions whose components are to be had, but for those that are here. What every region is
    /// done with is not fetched: it would be dropped again.
    pub(in crate::region) fn missing(
        &self,
        here: &BTreeSet<FunctionVersion>,
    ) -> impl Iterator<Item = FunctionVersion> {
        let released: BTreeSet<FunctionVersion> = self.released.iter().map(|(v, _)| v.0).collect();
        let have = self.have.iter().map(|Text(version)| *version);
        have.filter(move |version| !here.contains(version) && !released.contains(version))
    }

    pub(in crate::region) fn members(&self) -> super::super::Members {
        super::super::Members {
            members: plain(self.members.clone()),
            counted: plain(self.counted.clone()),
            may_write: self.may_write,
            me_gone: self.me_gone,
            ..super::super::Members::default()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StandingForm {
    links: BTreeMap<Text<RegionId>, LinkForm>,
    watermarks: VectorForm,
    stable: VectorForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LinkForm {
    taken: Text<Hlc>,
    heartbeat: Text<Hlc>,
    state: LinkStateForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LinkStateForm {
    Live,
    Fenced,
    Cut(CutForm),
    Gone(CutForm),
}

impl StandingForm {
    pub(in crate::region) fn of(standing: &PartitionStanding) -> Self {
        let link = |(region, link): (&RegionId, &Link)| {
            let state = match link.state {
                LinkState::Live => LinkStateForm::Live,
                LinkState::Fenced => LinkStateForm::Fenced,
                LinkState::Cut(cut) => LinkStateForm::Cut(CutForm::of(cut)),
                LinkState::Gone(cut) => LinkStateForm::Gone(CutForm::of(cut)),
            };
            let (taken, heartbeat) = (Text(link.taken), Text(link.heartbeat));
            (Text(region.clone()), LinkForm { taken, heartbeat, state })
        };
        Self {
            links: standing.links.iter().map(link).collect(),
            watermarks: vector_form(&standing.watermarks),
            stable: vector_form(&standing.stable),
        }
    }

    /// Without the counters, which nobody agrees on.
    pub(in crate::region) fn make(self) -> PartitionStanding {
        let link = |(Text(region), form): (Text<RegionId>, LinkForm)| {
            let state = match form.state {
                LinkStateForm::Live => LinkState::Live,
                LinkStateForm::Fenced => LinkState::Fenced,
                LinkStateForm::Cut(cut) => LinkState::Cut(cut.make()),
                LinkStateForm::Gone(cut) => LinkState::Gone(cut.make()),
            };
            let (taken, heartbeat) = (form.taken.0, form.heartbeat.0);
            (region, Link { taken, heartbeat, state, ..Link::default() })
        };
        PartitionStanding {
            links: self.links.into_iter().map(link).collect(),
            watermarks: vector_of(self.watermarks),
            stable: vector_of(self.stable),
        }
    }
}

/// What came of testing a version in a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TestedForm {
    Passed { digest: String, profile: u32 },
    Failed(Text<RolloutText>),
}

impl TestedForm {
    pub(in crate::region) fn of(result: &Result<SelfTest, RolloutText>) -> Self {
        match result {
            Ok(test) => Self::Passed { digest: hex::encode(test.digest), profile: test.profile },
            Err(why) => Self::Failed(Text(why.clone())),
        }
    }

    pub(in crate::region) fn make(self) -> Result<SelfTest, RolloutText> {
        match self {
            Self::Failed(Text(why)) => Err(why),
            Self::Passed { digest: text, profile } => {
                let mut digest = [0; 32];
                hex::decode_to_slice(&text, &mut digest)
                    .map_err(|_| RolloutText::cut("the digest of a self-test is none"))?;
                Ok(SelfTest { digest, profile })
            }
        }
    }
}

/// What a node has counted of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CountsForm {
    rollout: ChangeForm,
    live: CallsForm,
    shadow: CallsForm,
    different: u64,
    dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CallsForm {
    conflicts: u64,
    faults: Vec<u64>,
    fuel: Vec<u64>,
    latency: Vec<u64>,
}

impl CallsForm {
    fn of(calls: &CallCounters) -> Self {
        Self {
            conflicts: calls.conflicts,
            faults: calls.faults.to_vec(),
            fuel: calls.fuel.to_vec(),
            latency: calls.latency.to_vec(),
        }
    }

    /// What is missing counts as nothing.
    fn make(&self) -> CallCounters {
        fn fill<const N: usize>(from: &[u64]) -> [u64; N] {
            std::array::from_fn(|at| from.get(at).copied().unwrap_or(0))
        }
        CallCounters {
            conflicts: self.conflicts,
            faults: fill(&self.faults),
            fuel: fill(&self.fuel),
            latency: fill(&self.latency),
        }
    }
}

impl CountsForm {
    pub(in crate::region) fn of(id: &RolloutId, counts: &RolloutCounters) -> Self {
        Self {
            rollout: ChangeForm::of(&id.0),
            live: CallsForm::of(&counts.live),
            shadow: CallsForm::of(&counts.shadow),
            different: counts.different,
            dropped: counts.dropped,
        }
    }

    pub(in crate::region) fn make(self) -> (RolloutId, RolloutCounters) {
        let counters = RolloutCounters {
            live: self.live.make(),
            shadow: self.shadow.make(),
            different: self.different,
            dropped: self.dropped,
        };
        (RolloutId(self.rollout.make()), counters)
    }
}

/// A divergence that a node has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotedForm {
    divergence: DivergenceForm,
    is_new: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DivergenceForm {
    partition: u32,
    what: DivergedForm,
    here: SideForm,
    there: SideForm,
    found_at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DivergedForm {
    Outcome { conflict: Text<ConflictId>, row: RowForm },
    State { tables: Vec<Text<TableName>> },
    Before { row: RowForm, change: ChangeForm },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RowForm {
    table: Text<TableName>,
    pk: Text<RowPk>,
}

impl RowForm {
    fn of(row: &RowKey) -> Self {
        Self { table: Text(row.table.clone()), pk: Text(row.pk.clone()) }
    }

    fn make(self) -> RowKey {
        RowKey { table: self.table.0, pk: self.pk.0 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SideForm {
    region: Text<RegionId>,
    digest: Text<ShortDigest>,
    stamp: Option<Text<Stamp>>,
    engine: Option<Text<EngineName>>,
}

impl SideForm {
    fn of(side: &DivergedSide) -> Self {
        Self {
            region: Text(side.region.clone()),
            digest: Text(side.digest),
            stamp: side.stamp.map(Text),
            engine: side.engine.clone().map(Text),
        }
    }

    fn make(self) -> DivergedSide {
        DivergedSide {
            region: self.region.0,
            digest: self.digest.0,
            stamp: self.stamp.map(|stamp| stamp.0),
            engine: self.engine.map(|engine| engine.0),
        }
    }
}

impl DivergenceForm {
    pub(in crate::region) fn of(divergence: &Divergence) -> Self {
        let what = match &divergence.what {
            Diverged::Outcome { conflict, row } => {
                DivergedForm::Outcome { conflict: Text(*conflict), row: RowForm::of(row) }
            }
            Diverged::State { tables } => {
                DivergedForm::State { tables: texts(tables.iter().cloned()) }
            }
            Diverged::Before { row, change } => {
                DivergedForm::Before { row: RowForm::of(row), change: ChangeForm::of(change) }
            }
        };
        Self {
            partition: divergence.partition,
            what,
            here: SideForm::of(&divergence.here),
            there: SideForm::of(&divergence.there),
            found_at_ms: divergence.found_at_ms,
        }
    }

    pub(in crate::region) fn make(self) -> Divergence {
        let what = match self.what {
            DivergedForm::Outcome { conflict, row } => {
                Diverged::Outcome { conflict: conflict.0, row: row.make() }
            }
            DivergedForm::State { tables } => {
                Diverged::State { tables: tables.into_iter().map(|Text(table)| table).collect() }
            }
            DivergedForm::Before { row, change } => {
                Diverged::Before { row: row.make(), change: change.make() }
            }
        };
        Divergence {
            partition: self.partition,
            what,
            here: self.here.make(),
            there: self.there.make(),
            found_at_ms: self.found_at_ms,
        }
    }
}

impl NotedForm {
    pub(in crate::region) fn of(noted: &Noted) -> Self {
        Self { divergence: DivergenceForm::of(&noted.divergence), is_new: noted.is_new }
    }

    pub(in crate::region) fn make(self) -> Noted {
        Noted { divergence: self.divergence.make(), is_new: self.is_new }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    /// What it is after it went from one node to another.
    fn sent<T: Serialize + for<'a> Deserialize<'a>>(form: &T) -> T {
        serde_json::from_slice(&serde_json::to_vec(form).unwrap()).unwrap()
    }

    #[test]
    fn directives_arrive_as_they_were() {
        let counting = |number: u64| Counting {
            counted: [region("a"), region("b#2")].into(),
            fenced: [region("c")].into(),
            cuts: [(region("d"), Cut { taken: hlc(number), heartbeat: hlc(number + 9) })].into(),
            may_write: true,
        };
        let version = FunctionVersion([7; 32]);
        let directed = Directed {
            stamps: [
                ("t".parse().unwrap(), Stamp::Function(version)),
                ("u".parse().unwrap(), Stamp::Lww),
            ]
            .into(),
            counting: (0..3).map(|number| (number, counting(number.into()))).collect(),
            watched: true,
        };
        let deletion = ChangeId { hlc: hlc(5), region: region("a") };
        let directives = Directives {
            read: vec![Text(region("a"))],
            me_gone: true,
            released: vec![(Text(version), ChangeForm::of(&deletion))],
            ..Directives::default()
        };
        let directives = sent(&directives.with(directed.clone(), 3));
        assert_eq!(directives.directed(3), directed);
        assert_eq!(directives.read(), BTreeSet::from([region("a")]));
        assert!(directives.members().me_gone && directives.members().may_write);
        assert_eq!(directives.released[0].1.clone().make(), deletion);
    }

    #[test]
    fn what_is_here_or_done_with_is_not_missing() {
        let version = |n| FunctionVersion([n; 32]);
        let deletion = ChangeId { hlc: hlc(5), region: region("a") };
        let directives = Directives {
            have: texts([1, 2, 3].map(version)),
            released: vec![(Text(version(2)), ChangeForm::of(&deletion))],
            ..Directives::default()
        };
        let missing = |here: &[u8]| {
            let here = here.iter().copied().map(version).collect();
            directives.missing(&here).collect::<Vec<_>>()
        };
        assert_eq!(missing(&[]), [1, 3].map(version));
        assert_eq!(missing(&[1, 3]), []);
    }

    #[test]
    fn standings_tests_and_counts_arrive_as_they_were() {
        let cut = Cut { taken: hlc(1), heartbeat: hlc(2) };
        let states =
            [LinkState::Live, LinkState::Fenced, LinkState::Cut(cut), LinkState::Gone(cut)];
        let link = |(number, state): (usize, LinkState)| {
            let link = Link { taken: hlc(3), heartbeat: hlc(4), state, ..Link::default() };
            (region(&format!("r{number}")), link)
        };
        let standing = PartitionStanding {
            links: states.into_iter().enumerate().map(link).collect(),
            watermarks: VersionVector::from_iter([(region("a"), hlc(8))]),
            stable: VersionVector::from_iter([(region("a"), hlc(7))]),
        };
        assert_eq!(sent(&StandingForm::of(&standing)).make(), standing);
        let failed = Err(RolloutText::cut("too slow"));
        for result in [Ok(SelfTest { digest: [9; 32], profile: 2 }), failed] {
            assert_eq!(sent(&TestedForm::of(&result)).make(), result);
        }
        let mut counters =
            RolloutCounters { different: 3, dropped: 4, ..RolloutCounters::default() };
        counters.live.count(Some("trap"), 500_000, 77);
        counters.shadow.count(None, 1, 1);
        let id = RolloutId(ChangeId { hlc: hlc(6), region: region("a") });
        assert_eq!(sent(&CountsForm::of(&id, &counters)).make(), (id, counters));
    }

    #[test]
    fn a_digest_that_is_none_is_a_test_that_failed() {
        let form = TestedForm::Passed { digest: "zz".into(), profile: 1 };
        assert!(form.make().is_err());
    }

    #[test]
    fn divergences_arrive_as_they_were() {
        let row = RowKey { table: "t".parse().unwrap(), pk: "é 1".parse().unwrap() };
        let side = |name: &str| DivergedSide {
            region: region(name),
            digest: ShortDigest([3; 16]),
            stamp: Some(Stamp::Lww),
            engine: "engine 1".parse().ok(),
        };
        let change = ChangeId { hlc: hlc(5), region: region("b") };
        for what in [
            Diverged::Outcome { conflict: ConflictId([1; 16]), row: row.clone() },
            Diverged::State { tables: vec!["t".parse().unwrap()] },
            Diverged::Before { row: row.clone(), change: change.clone() },
        ] {
            let divergence = Divergence {
                partition: 3,
                what,
                here: side("a"),
                there: side("b"),
                found_at_ms: 9,
            };
            let noted = Noted { divergence, is_new: true };
            assert_eq!(sent(&NotedForm::of(&noted)).make(), noted);
        }
    }

    #[test]
    fn a_node_of_another_form_is_told_so_whatever_else_it_says() {
        for text in [r#"{"v":2}"#, r#"{"v":2,"region":7}"#] {
            let why = read_node(text.as_bytes()).unwrap_err();
            assert!(why.contains("form 2 there and form 1 here"), "{why}");
            let report = format!(r#"{{"node":{text},"applied":[]}}"#);
            assert_eq!(Report::read(report.as_bytes()).unwrap_err(), why);
        }
        for text in ["{}", "<html>", r#"{"v":1}"#] {
            let why = read_node(text.as_bytes()).unwrap_err();
            assert!(why.contains("not what a node says"), "{why}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bad in [r#""no hlc""#, "1", r#""99999999999999.00000""#] {
            assert!(serde_json::from_str::<Text<Hlc>>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Text<RegionId>>(r#""a b""#).is_err());
    }
}
