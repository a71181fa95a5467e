//! What the lead hears of the other nodes, and tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use syncline_applier::Site;
use syncline_core::{FunctionVersion, Rollout, RolloutText, SelfTest, TableName};
use syncline_store::DiskStore;
use thiserror::Error;
use tokio::sync::oneshot;

use super::form::{Answer, ChangeForm, Directives, NodeForm, Report, Text, WatchedForm, texts};
use super::peers::{Peers, conflict};
use crate::region::controller::Controller;
use crate::region::observe::{Observer, is_in_shadow};
use crate::region::readers::wanted;
use crate::region::syncer::Reply;
use crate::region::{Members, Shared};

/// A node that was not heard for so long is not spoken for. It is to be heard four times a second.
const HEARD_FOR: Duration = Duration::from_secs(3);

/// Why a node is not told anything.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ExchangeRefused {
    /// It asks the wrong node.
    #[error("this node does not lead: it has not partition 0")]
    NotTheLead,
    /// It claims what it does not have by the lead's configuration.
    #[error("{0}")]
    Conflict(String),
    /// Another process is that node.
    #[error("another process is node {node}, and was heard a moment ago")]
    OtherRun {
        /// The node.
        node: String,
    },
    /// The lead does not know yet that its own disk is not an old one.
    #[error("the node that leads starts, and has not read the end of its own log yet")]
    Starting,
    /// The region stops.
    #[error("the node is stopping")]
    Stopping,
}

/// The other nodes, of the node that leads.
pub(in crate::region) struct Led {
    peers: Arc<Peers>,
    heard: BTreeMap<String, Heard>,
    /// What holds, as of the last commit.
    id: String,
    directives: Arc<Directives>,
    /// What came of testing versions in this node.
    tested: BTreeMap<FunctionVersion, Result<SelfTest, RolloutText>>,
}

struct Heard {
    run: String,
    started_ms: u64,
    at: Instant,
    sequence: u64,
    tested: BTreeMap<FunctionVersion, Result<SelfTest, RolloutText>>,
    /// Tables that the node knows.
    tables: BTreeSet<TableName>,
}

impl Led {
    pub(in crate::region) fn new(peers: Arc<Peers>) -> Self {
        Self {
            peers,
            heard: BTreeMap::new(),
            id: String::new(),
            directives: Arc::default(),
            tested: BTreeMap::new(),
        }
    }

    /// What holds from now on. It is told with the next sync.
    pub(in crate::region) fn tell(&mut self, directives: Directives) {
        if self.id.is_empty() || *self.directives != directives {
            let bytes = serde_json::to_vec(&directives).unwrap_or_default();
            self.id = hex::encode(Sha256::digest(bytes));
            self.directives = Arc::new(directives);
            self.peers.now_goes_by(&self.id);
        }
    }

    /// Takes in what a node reports, and answers it. What it is told is to be sent once all that was
    /// committed before is durable.
    pub(in crate::region) fn take(
        &mut self,
        report: Report,
        site: &Site<DiskStore>,
        observer: &Observer,
        now: Instant,
    ) -> Result<Answer, ExchangeRefused> {
        let name = self.admit(&report.node, now)?;
        let partitions = self.peers.nodes().all().get(&name).map(|node| node.partitions.clone());
        let partitions = partitions.unwrap_or_default();
        let node = &report.node;
        let heard = self.heard.entry(name).or_insert_with(|| Heard::of(node, now));
        if heard.run != node.run {
            *heard = Heard::of(node, now);
        }
        heard.at = now;
        let tested = report.tested.into_iter();
        heard.tested = tested.map(|(Text(version), form)| (version, form.make())).collect();
        let is_current = report.applied.as_ref() == Some(&self.id);
        if is_current {
            let of_node = report.standings.into_iter().filter(|(n, _)| partitions.contains(n));
            let standings = of_node.map(|(number, form)| (number, form.make())).collect();
            site.note_elsewhere(standings, report.stamped_until.0);
        }
        if report.sequence > heard.sequence {
            heard.sequence = report.sequence;
            for counts in report.counts {
                let (rollout, counters) = counts.make();
                observer.put_back(&rollout, &counters);
            }
            let noted = report.divergences.into_iter().map(super::form::NotedForm::make);
            for noted in noted.filter(|n| partitions.contains(&n.divergence.partition)) {
                site.note_divergence(&noted.divergence, noted.is_new);
            }
            for Text(table) in report.tables {
                site.note_table(&table);
                heard.tables.insert(table);
            }
        }
        let news: Vec<TableName> = site.tables().difference(&heard.tables).cloned().collect();
        heard.tables.extend(news.iter().cloned());
        Ok(Answer {
            run: self.peers.me().run.clone(),
            directives: self.id.clone(),
            told: (!is_current).then(|| (*self.directives).clone()),
            tables: texts(news),
        })
    }

    fn admit(&self, node: &NodeForm, now: Instant) -> Result<String, ExchangeRefused> {
        let name = node.node.clone().unwrap_or_default();
        if let Some(reason) = conflict(self.peers.me(), &name, node) {
            return Err(ExchangeRefused::Conflict(reason));
        }
        match self.heard.get(&name) {
            // Of two that run, the one that was started first goes on.
            Some(heard) if heard.is_recent(now) && heard.goes_before(node) => {
                Err(ExchangeRefused::OtherRun { node: name })
            }
            _ => Ok(name),
        }
    }

    /// Nothing is said on behalf of nodes that are not heard.
    pub(in crate::region) fn forget_silent(&self, site: &Site<DiskStore>, now: Instant) {
        for (name, node) in self.peers.nodes().others() {
            if !self.heard.get(name).is_some_and(|heard| heard.is_recent(now)) {
                site.forget_standings(&node.partitions);
            }
        }
    }

    /// A version was tested in this node.
    pub(in crate::region) fn tested(
        &mut self,
        version: FunctionVersion,
        result: Result<SelfTest, RolloutText>,
    ) {
        self.tested.insert(version, result);
    }

    /// What testing a version came to in the whole region; none while a node has not said.
    pub(in crate::region) fn agreed(
        &self,
        version: &FunctionVersion,
        now: Instant,
    ) -> Option<Result<SelfTest, RolloutText>> {
        let own = self.tested.get(version)?;
        let others = self.peers.nodes().others().map(|(name, _)| {
            let heard = self.heard.get(name).filter(|heard| heard.is_recent(now));
            (name, heard.and_then(|heard| heard.tested.get(version)))
        });
        agree((self.peers.nodes().me(), own), others)
    }
}

impl Heard {
    fn of(node: &NodeForm, at: Instant) -> Self {
        Self {
            run: node.run.clone(),
            started_ms: node.started_ms,
            at,
            sequence: 0,
            tested: BTreeMap::new(),
            tables: BTreeSet::new(),
        }
    }

    fn goes_before(&self, node: &NodeForm) -> bool {
        (self.started_ms, &self.run) < (node.started_ms, &node.run)
    }

    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < HEARD_FOR
    }
}

impl Controller {
    /// Takes in what another node tells. What it is told in return is durable first: it is gone by
    /// before anything else that is durable tells of it. And what it tells but once has paused what
    /// it is to pause, durably, before it counts as told.
    pub(in crate::region) fn exchange(
        &mut self,
        report: Report,
        reply: oneshot::Sender<Result<Answer, ExchangeRefused>>,
        replies: &mut Vec<Reply>,
    ) {
        let Shared { site, observer, startup, .. } = &*self.shared;
        let tells_once = !report.divergences.is_empty();
        let answer = match &mut self.led {
            // What an old disk says would undo what the others have.
            Some(_) if !startup.is_over(&self.shared) => Err(ExchangeRefused::Starting),
            Some(led) => led.take(report, site, observer, Instant::now()),
            None => Err(ExchangeRefused::NotTheLead),
        };
        match answer {
            Ok(answer) if answer.told.is_some() || tells_once => {
                replies.push(Box::new(move |synced| {
                    let _ =
                        reply.send(synced.map(|()| answer).map_err(|_| ExchangeRefused::Stopping));
                }))
            }
            answer => drop(reply.send(answer)),
        }
    }

    /// A version counts as tested once every node has said the same of it.
    pub(in crate::region) fn conclude_tests(&mut self, beats: bool) {
        let Some(led) = &mut self.led else { return };
        let now = Instant::now();
        if beats {
            led.forget_silent(&self.shared.site, now);
        }
        for version in self.applier.control().to_test() {
            if let Some(result) = led.agreed(&version, now) {
                self.applier.self_tested(version, result);
            }
        }
    }

    /// Tells the other nodes what follows from the last commit.
    pub(in crate::region) fn tell_nodes(&mut self) {
        let Some(led) = &mut self.led else { return };
        let (site, control) = (&self.shared.site, self.applier.control());
        let (membership, rollouts) = (control.membership(), control.rollouts());
        let members = Members::of(membership);
        let watched = |rollout: &Rollout| WatchedForm {
            table: Text(rollout.table.clone()),
            rollout: ChangeForm::of(&rollout.id.0),
            version: Text(rollout.version),
            in_shadow: is_in_shadow(rollout),
        };
        let released = control.released_by_all().into_iter();
        let profiles = rollouts.profiles().into_iter();
        let directives = Directives {
            read: texts(wanted(&site.region, membership)),
            members: texts(members.members),
            me_gone: members.me_gone,
            profiles: profiles.map(|(version, profile)| (Text(version), profile)).collect(),
            have: texts(control.here().copied()),
            test: texts(control.to_test()),
            released: released.map(|(v, by)| (Text(v), ChangeForm::of(&by))).collect(),
            watch: rollouts.open().map(watched).collect(),
            ..Directives::default()
        };
        led.tell(directives.with(self.applier.directed(site), site.partitions.get()));
    }
}

/// A region has a version when each of its nodes has it, and all have tested it to the same end.
fn agree<'a>(
    (me, own): (&str, &Result<SelfTest, RolloutText>),
    others: impl Iterator<Item = (&'a str, Option<&'a Result<SelfTest, RolloutText>>)>,
) -> Option<Result<SelfTest, RolloutText>> {
    let mut complete = true;
    for (name, result) in others {
        let why = match (result, own) {
            (Some(Err(why)), _) => format!("in node {name}: {why}"),
            (Some(Ok(theirs)), Ok(own)) if theirs != own => format!(
                "the self-test comes to {} in node {me} and to {} in node {name}",
                hex::encode(own.digest),
                hex::encode(theirs.digest)
            ),
            (Some(Ok(_)), _) => continue,
            (None, _) => {
                complete = false;
                continue;
            }
        };
        return Some(Err(RolloutText::cut(&why)));
    }
    (complete || own.is_err()).then(|| own.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Node, Nodes};
    use syncline_core::PartitionCount;

    #[test]
    fn a_region_has_what_all_its_nodes_have_and_test_alike() {
        let passed = |digest: u8| Ok(SelfTest { digest: [digest; 32], profile: 1 });
        let failed = || Err(RolloutText::cut("out of memory"));
        let said = |own: &_, others: &[(&'static str, Option<Result<SelfTest, RolloutText>>)]| {
            let others = others.iter().map(|(name, result)| (*name, result.as_ref()));
            agree(("a", own), others.collect::<Vec<_>>().into_iter())
        };
        assert_eq!(said(&passed(1), &[]), Some(passed(1)));
        assert_eq!(said(&passed(1), &[("b", Some(passed(1)))]), Some(passed(1)));
        assert_eq!(said(&passed(1), &[("b", Some(passed(1))), ("c", None)]), None);
        assert_eq!(said(&failed(), &[("b", None)]), Some(failed()));
        let why = said(&passed(1), &[("b", Some(failed())), ("c", None)]).unwrap().unwrap_err();
        assert_eq!(why.as_str(), "in node b: out of memory");
        let why = said(&passed(1), &[("b", Some(passed(2)))]).unwrap().unwrap_err();
        assert!(why.as_str().contains("in node a and to 0202"), "{why}");
    }

    #[test]
    fn of_two_that_are_one_node_the_one_that_was_started_first_is_heard() {
        let nodes = |me: &str| {
            let node = |port: u16, partitions: [u32; 2]| Node {
                url: format!("http://127.0.0.1:{port}"),
                partitions: partitions.into(),
            };
            let all = [("a".to_owned(), node(1, [0, 1])), ("b".to_owned(), node(2, [2, 3]))];
            Nodes::new(me, all.into())
        };
        let (region, partitions) = ("eu".parse().unwrap(), PartitionCount::new(4).unwrap());
        let shown = |me: &str| super::super::shown(Some(&nodes(me)), &region, partitions);
        let mut led = Led::new(Arc::new(Peers::new(nodes("a"), shown("a"))));
        let first = NodeForm { started_ms: 7, ..shown("b") };
        let later = NodeForm { started_ms: 8, run: "0".into(), ..first.clone() };
        let now = Instant::now();
        led.heard.insert("b".into(), Heard::of(&first, now));
        assert_eq!(led.admit(&first, now), Ok("b".into()));
        let refused = led.admit(&later, now).unwrap_err();
        assert!(matches!(refused, ExchangeRefused::OtherRun { .. }), "{refused}");
        assert_eq!(led.admit(&later, now + HEARD_FOR), Ok("b".into()));
        led.heard.insert("b".into(), Heard::of(&later, now));
        assert_eq!(led.admit(&first, now), Ok("b".into()));
    }
}
