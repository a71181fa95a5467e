//! The other nodes of the region: who answers, and whether they and this one agree on who has what.
//!
//! Each node asks all others, and its own address, again and again. Of two that claim one partition,
//! or that are one node, the one that was started later stops.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client::NodeClient;
use super::form::NodeForm;
use crate::config::Nodes;
use crate::region::{Shared, now_ms};

/// How often each node is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How soon it is seen that the region stops.
const LOOK: Duration = Duration::from_millis(100);
/// A node that has not answered for so long is dark.
const DARK_AFTER_MS: u64 = 3_000;

/// So many requests are passed on to one node at a time. Each holds a thread: those of 15 nodes leave
/// some of the 512 that there are to this node's own work.
const PASSED_MAX: usize = 32;
/// More wait so long for their turn.
const TURN_WAIT: Duration = Duration::from_secs(2);

/// The nodes of the region, as this one sees them.
pub(crate) struct Peers {
    nodes: Nodes,
    me: NodeForm,
    pub(crate) client: NodeClient,
    seen: Mutex<BTreeMap<String, Seen>>,
    /// What is passed on to each of the others.
    turns: BTreeMap<String, Arc<Semaphore>>,
    /// The directives that this node goes by; none before it was ever told.
    goes_by: Mutex<Option<String>>,
}

/// What is known of another node.
#[derive(Clone, Debug, Default)]
struct Seen {
    was_asked: bool,
    /// Milliseconds since 1970; since the start where it never did.
    answered_ms: u64,
    trouble: Option<String>,
}

/// A node that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DarkNode {
    /// Its name.
    pub node: String,
    /// Its partitions.
    pub partitions: BTreeSet<u32>,
    /// Why.
    pub reason: String,
    /// Since when: milliseconds since 1970.
    pub since_ms: u64,
}

impl Peers {
    /// `me` is what this node shows of itself.
    pub(in crate::region) fn new(nodes: Nodes, me: NodeForm) -> Self {
        let started_ms = me.started_ms;
        let seen = |(name, _): (&str, _)| {
            (name.to_owned(), Seen { answered_ms: started_ms, ..Seen::default() })
        };
        let seen = Mutex::new(nodes.others().map(seen).collect());
        let turn = |(name, _): (&str, _)| (name.to_owned(), Arc::new(Semaphore::new(PASSED_MAX)));
        let turns = nodes.others().map(turn).collect();
        Self { nodes, me, client: NodeClient::new(), seen, turns, goes_by: Mutex::default() }
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// What this node shows.
    pub(crate) fn me(&self) -> &NodeForm {
        &self.me
    }

    /// The directives that this node goes by; of the one that leads, those that it tells.
    pub(crate) fn goes_by(&self) -> Option<String> {
        self.goes_by.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn now_goes_by(&self, id: &str) {
        let mut goes_by = self.goes_by.lock().unwrap_or_else(PoisonError::into_inner);
        if goes_by.as_deref() != Some(id) {
            *goes_by = Some(id.to_owned());
        }
    }

    /// Where the lead is reached.
    pub(super) fn lead_url(&self) -> &str {
        self.url(self.nodes.lead()).unwrap_or_default()
    }

    /// Where a node is reached.
    pub(crate) fn url(&self, node: &str) -> Option<&str> {
        self.nodes.all().get(node).map(|node| node.url.as_str())
    }

    /// The nodes that were not asked yet whether they claim what this one has.
    pub(in crate::region) fn unasked(&self) -> BTreeSet<String> {
        let seen = self.seen();
        seen.iter().filter(|(_, seen)| !seen.was_asked).map(|(name, _)| name.clone()).collect()
    }

    /// The nodes that do not answer.
    pub(crate) fn dark(&self) -> Vec<DarkNode> {
        let now = now_ms();
        let seen = self.seen();
        let dark = seen.iter().filter(|(_, seen)| {
            seen.trouble.is_some() && now.saturating_sub(seen.answered_ms) > DARK_AFTER_MS
        });
        let of_node = |(name, seen): (&String, &Seen)| DarkNode {
            node: name.clone(),
            partitions: self
                .nodes
                .all()
                .get(name)
                .map(|n| n.partitions.clone())
                .unwrap_or_default(),
            reason: seen.trouble.clone().unwrap_or_default(),
            since_ms: seen.answered_ms,
        };
        dark.map(of_node).collect()
    }

    /// The right to pass a request on to a node, and so to wait for its answer. An error says why the
    /// node is not to be asked.
    pub(crate) async fn turn(&self, node: &str) -> Result<OwnedSemaphorePermit, String> {
        self.turn_within(node, TURN_WAIT).await
    }

    async fn turn_within(
        &self,
        node: &str,
        wait: Duration,
    ) -> Result<OwnedSemaphorePermit, String> {
        if let Some(reason) = self.why_dark(node) {
            return Err(reason);
        }
        let Some(turns) = self.turns.get(node) else {
            return Err("there is no such node".into());
        };
        match tokio::time::timeout(wait, Arc::clone(turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(format!("{PASSED_MAX} requests of this node wait for it already")),
        }
    }

    /// Waits until a node is dark: one that is asked something will not answer soon. Answers why.
    pub(crate) async fn until_dark(&self, node: &str) -> String {
        loop {
            if let Some(reason) = self.why_dark(node) {
                return reason;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn why_dark(&self, node: &str) -> Option<String> {
        self.dark().into_iter().find(|dark| dark.node == node).map(|dark| dark.reason)
    }

    fn note(&self, node: &str, trouble: Option<String>) {
        let mut all = self.seen();
        let Some(seen) = all.get_mut(node) else { return };
        seen.was_asked = true;
        if trouble.is_none() {
            seen.answered_ms = now_ms();
        }
        let before = std::mem::replace(&mut seen.trouble, trouble);
        match (&before, &seen.trouble) {
            (None, Some(reason)) => {
                tracing::warn!(region = %self.me.region.0, node, reason, "a node does not answer");
            }
            (Some(_), None) => {
                tracing::warn!(region = %self.me.region.0, node, "a node answers again");
            }
            _ => {}
        }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells this run of the process from all others.
pub(super) fn run() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

/// Why this node and one that was found at the address of `expected` cannot both go on; none if they
/// can.
pub(super) fn conflict(me: &NodeForm, expected: &str, found: &NodeForm) -> Option<String> {
    if found.run == me.run {
        let elsewhere = found.node.as_deref() != Some(expected);
        return elsewhere
            .then(|| format!("at the url of node {expected} answers this node itself"));
    }
    let name = found.node.as_deref().unwrap_or("without a name");
    if found.region != me.region {
        return Some(format!("at the url of node {expected} answers region {}", found.region.0));
    }
    if found.partitions != me.partitions {
        let (theirs, mine) = (found.partitions, me.partitions);
        return Some(format!("node {name} counts {theirs} partitions, this one {mine}"));
    }
    for partition in 0..me.partitions {
        let owner = |form: &NodeForm| {
            let mut claims = form.claims.iter();
            claims.find(|(_, has)| has.contains(&partition)).map(|(owner, _)| owner.clone())
        };
        let (theirs, mine) = (owner(found), owner(me));
        if theirs != mine {
            let whose = |owner: Option<String>| owner.unwrap_or_else(|| "nobody".into());
            return Some(format!(
                "the configuration of node {name} gives partition {partition} to {}, that of this \
                 node to {}",
                whose(theirs),
                whose(mine)
            ));
        }
    }
    if found.node == me.node {
        return Some(format!("another process is node {name} as well, at the url of {expected}"));
    }
    if found.claims != me.claims {
        return Some(format!("the configuration of node {name} names other nodes than this one's"));
    }
    if found.node.as_deref() != Some(expected) {
        return Some(format!("at the url of node {expected} answers node {name}"));
    }
    None
}

/// Of two that cannot both go on, the one that was started later stops.
pub(super) fn yields(me: &NodeForm, to: &NodeForm) -> bool {
    (me.started_ms, &me.run) > (to.started_ms, &to.run)
}

/// Asks one node, until the region stops, whether it is there and what it claims.
pub(in crate::region) fn watch(shared: &Arc<Shared>, peers: &Peers, node: &str) {
    let Some(url) = peers.url(node) else { return };
    let mut told = None;
    while !shared.is_stopping() {
        match peers.client.node(url) {
            Ok(found) => {
                let conflict = conflict(&peers.me, node, &found);
                if let Some(reason) = &conflict
                    && yields(&peers.me, &found)
                {
                    shared.fail(format!(
                        "two claim the same: {reason}. The other was started first, so this one \
                         stops; it has the same [nodes] in every node of a region"
                    ));
                    return;
                }
                if conflict != told
                    && let Some(reason) = &conflict
                    && found.run != peers.me.run
                {
                    tracing::error!(region = %peers.me.region.0, node, reason,
                        "two claim the same: the one that was started later stops");
                }
                peers.note(node, conflict.clone());
                told = conflict;
            }
            Err(unanswered) => peers.note(node, Some(unanswered.to_string())),
        }
        let rounds = ASK_EVERY.as_millis() / LOOK.as_millis();
        for _ in 0..rounds {
            if shared.is_stopping() {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::{FORM, Text};
    use super::*;
    use crate::config::Node;

    fn form(node: Option<&str>, run: &str, claims: &[(&str, &[u32])]) -> NodeForm {
        let claims =
            claims.iter().map(|(name, has)| (name.to_string(), has.iter().copied().collect()));
        NodeForm {
            v: FORM,
            region: Text("eu".parse().unwrap()),
            node: node.map(str::to_owned),
            run: run.into(),
            started_ms: 7,
            partitions: 4,
            claims: claims.collect(),
        }
    }

    const HALVES: &[(&str, &[u32])] = &[("a", &[0, 1]), ("b", &[2, 3])];

    #[test]
    fn nodes_that_share_a_region_as_configured_go_on() {
        let me = form(Some("a"), "1", HALVES);
        assert_eq!(conflict(&me, "b", &form(Some("b"), "2", HALVES)), None);
        assert_eq!(conflict(&me, "a", &me), None);
        let elsewhere = conflict(&me, "b", &me).unwrap();
        assert_eq!(elsewhere, "at the url of node b answers this node itself");
    }

    #[test]
    fn two_that_claim_the_same_are_found_out() {
        let me = form(Some("a"), "1", HALVES);
        let other_region = NodeForm { region: Text("us".parse().unwrap()), ..me.clone() };
        let others = [
            ("b", form(Some("b"), "2", &[("a", &[0]), ("b", &[1, 2, 3])]), "partition 1 to b"),
            ("a", form(None, "2", &[("", &[0, 1, 2, 3])]), "partition 0 to "),
            ("b", form(Some("b"), "2", &[("b", &[2, 3])]), "partition 0 to nobody"),
            ("a", form(Some("a"), "2", HALVES), "another process is node a"),
            ("b", NodeForm { run: "2".into(), ..other_region }, "answers region us"),
            ("b", NodeForm { partitions: 8, ..form(Some("b"), "2", HALVES) }, "8 partitions"),
        ];
        for (at, found, expected) in others {
            let reason = conflict(&me, at, &found).unwrap();
            assert!(reason.contains(expected), "{reason}");
        }
        let three = [("a", &[0, 1][..]), ("b", &[2][..]), ("c", &[3][..])];
        let at_wrong_url =
            conflict(&form(Some("a"), "1", &three), "b", &form(Some("c"), "3", &three));
        assert!(at_wrong_url.unwrap().contains("at the url of node b answers node c"));
    }

    #[test]
    fn the_later_one_yields_and_never_both() {
        let first = form(Some("a"), "1", HALVES);
        let later = NodeForm { started_ms: 8, run: "0".into(), ..first.clone() };
        assert!(yields(&later, &first) && !yields(&first, &later));
        let same_moment = NodeForm { run: "2".into(), ..first.clone() };
        assert!(yields(&same_moment, &first) && !yields(&first, &same_moment));
    }

    fn peers() -> Peers {
        let all = HALVES.iter().map(|(name, has)| {
            let partitions = has.iter().copied().collect();
            (name.to_string(), Node { url: "http://127.0.0.1:1".into(), partitions })
        });
        Peers::new(Nodes::new("a", all.collect()), form(Some("a"), "1", HALVES))
    }

    #[test]
    fn who_is_dark_is_not_asked_and_who_is_slow_not_by_too_many() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let peers = peers();
            let mut turns = Vec::new();
            for _ in 0..PASSED_MAX {
                turns.push(peers.turn("b").await.unwrap());
            }
            let next = || peers.turn_within("b", Duration::from_millis(1));
            assert!(next().await.unwrap_err().contains("32 requests"));
            turns.pop();
            turns.push(next().await.unwrap());
            // It was last heard long ago, when this node was started.
            peers.note("b", Some("it is gone".into()));
            turns.clear();
            assert_eq!(peers.turn("b").await.unwrap_err(), "it is gone");
            peers.note("b", None);
            assert!(peers.turn("b").await.is_ok());
        });
    }

    #[test]
    fn no_two_runs_are_the_same() {
        assert_ne!(run(), run());
    }
}
