//! What people should look after, from how a region stands. Nothing is kept of it: an alert is there
//! as long as what it says is true.

use std::collections::{BTreeMap, BTreeSet};

use syncline_bus::Lane;
use syncline_core::{Divergence, FunctionVersion, MembershipChange, RegionId};
use syncline_store::kv::quarantine::QuarantineCount;

use crate::config::{LimitsConfig, ranges};
use crate::region::{
    ClockView, DarkNode, LinkView, Members, MovedView, PartitionView, clock_ahead, waits_for,
    way_back_of_gone,
};
use crate::text::rfc3339;

/// The kinds of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "parts() says what each is")]
pub enum AlertCode {
    RegionStopped,
    RegionEvicted,
    DiskFull,
    LogUnwritable,
    WritesRefused,
    ClockAhead,
    Divergence,
    LinkStopped,
    LinkUnreadable,
    LinkFull,
    LinkGap,
    ProfileMissing,
    NodeDark,
    RegionSilent,
    RecordsQuarantined,
    MembershipWaits,
}

/// A change of the regions that has waited for so long waits for a region that is not there: those
/// that are answer within some heartbeats, and a snapshot takes its time anyway.
const MEMBERSHIP_WAITS_MS: u64 = 60_000;

/// How soon somebody should look.
pub const CRITICAL: &str = "critical";
/// As [`CRITICAL`].
pub const WARNING: &str = "warning";

impl AlertCode {
    /// Every kind, the most pressing first.
    pub const ALL: [Self; 16] = [
        Self::RegionStopped,
        Self::RegionEvicted,
        Self::DiskFull,
        Self::LogUnwritable,
        Self::WritesRefused,
        Self::ClockAhead,
        Self::Divergence,
        Self::LinkStopped,
        Self::LinkUnreadable,
        Self::LinkFull,
        Self::LinkGap,
        Self::ProfileMissing,
        Self::NodeDark,
        Self::RegionSilent,
        Self::RecordsQuarantined,
        Self::MembershipWaits,
    ];

    /// The stable word, how pressing it is, and what it means.
    pub fn parts(self) -> (&'static str, &'static str, &'static str) {
        let (word, meaning) = self.words();
        (word, self.severity(), meaning)
    }

    const fn severity(self) -> &'static str {
        match self {
            Self::RegionStopped
            | Self::RegionEvicted
            | Self::DiskFull
            | Self::LogUnwritable
            | Self::WritesRefused
            | Self::ClockAhead
            | Self::Divergence
            | Self::LinkStopped
            | Self::LinkGap
            | Self::ProfileMissing
            | Self::NodeDark => CRITICAL,
            Self::LinkUnreadable
            | Self::LinkFull
            | Self::RegionSilent
            | Self::RecordsQuarantined
            | Self::MembershipWaits => WARNING,
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::RegionStopped => {
                ("region-stopped", "this region cannot go on, and has to be started again")
            }
            Self::RegionEvicted => (
                "region-evicted",
                "the other regions say that this one is gone: it takes no writes, and is not read",
            ),
            Self::DiskFull => (
                "disk-full",
                "there is no space on this region's disk: nothing is taken until there is",
            ),
            Self::LogUnwritable => (
                "log-unwritable",
                "this region's own log cannot be written: no other region gets its changes",
            ),
            Self::WritesRefused => (
                "writes-refused",
                "local writes are refused until the named region confirms what it was sent; \
                 if that is this one, until its own log can be written",
            ),
            Self::ClockAhead => (
                "clock-ahead",
                "local writes are refused, as this region's wall clock is ahead of the others'",
            ),
            Self::Divergence => {
                ("divergence", "this region and the named one hold what cannot be both right")
            }
            Self::LinkStopped => ("link-stopped", "the named region's log is read no more"),
            Self::LinkUnreadable => {
                ("link-unreadable", "the named region's log cannot be read for now")
            }
            Self::LinkFull => (
                "link-full",
                "so many changes of the named region wait that its log is not read for now",
            ),
            Self::LinkGap => (
                "link-gap",
                "changes of the named region are missing, and do not come: those behind them are \
                 not taken",
            ),
            Self::ProfileMissing => (
                "profile-missing",
                "what the named merge function is to decide waits: this build may not run it",
            ),
            Self::NodeDark => (
                "node-dark",
                "the named node of this region does not answer: its rows can be neither read nor \
                 written here",
            ),
            Self::RegionSilent => ("region-silent", "the named region is not heard"),
            Self::RecordsQuarantined => (
                "records-quarantined",
                "records of the named region could not be read, and are kept",
            ),
            Self::MembershipWaits => (
                "membership-waits",
                "a change of the regions has waited for the named region for more than a minute",
            ),
        }
    }
}

/// Something that people should look after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What.
    pub code: AlertCode,
    /// The region, or the version, that it is about.
    pub subject: String,
    /// What in particular.
    pub detail: String,
    /// Since when, where that is known: milliseconds since 1970.
    pub since_ms: Option<u64>,
}

/// How a region stands.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// Which region.
    pub region: &'a RegionId,
    /// Why it cannot go on, and since when.
    pub fatal: Option<(String, u64)>,
    /// Why its disk takes nothing, and since when.
    pub disk_full: Option<(String, u64)>,
    /// Why its own log cannot be written, and since when.
    pub own_log: Option<(String, u64)>,
    /// Which regions there are.
    pub members: &'a Members,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// Its partitions.
    pub views: &'a [PartitionView],
    /// Its links.
    pub links: &'a [LinkView],
    /// What it keeps in quarantine.
    pub quarantine: &'a [QuarantineCount],
    /// The number of its determinism profile.
    pub profile: u32,
    /// Versions that go by another one, and by which.
    pub other_profiles: &'a BTreeMap<FunctionVersion, u32>,
    /// Other nodes of it that do not answer.
    pub dark: &'a [DarkNode],
    /// Its limits.
    pub limits: &'a LimitsConfig,
    /// Its wall clock.
    pub clock: ClockView,
}

/// All that somebody should look after, the most pressing first.
pub fn alerts(standing: &Standing<'_>) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for (code, what) in [
        (AlertCode::RegionStopped, &standing.fatal),
        (AlertCode::DiskFull, &standing.disk_full),
        (AlertCode::LogUnwritable, &standing.own_log),
    ] {
        alerts.extend(what.iter().map(|(reason, since_ms)| Alert {
            code,
            subject: standing.region.to_string(),
            detail: reason.clone(),
            since_ms: Some(*since_ms),
        }));
    }
    of_members(standing, &mut alerts);
    writes_refused(standing, &mut alerts);
    clock_is_ahead(standing, &mut alerts);
    for link in standing.links.iter().filter(|link| !link.own) {
        of_link(standing, link, &mut alerts);
    }
    quarantined(standing, &mut alerts);
    alerts.extend(standing.dark.iter().map(|dark| Alert {
        code: AlertCode::NodeDark,
        subject: dark.node.clone(),
        detail: format!("partitions {}: {}", ranges(&dark.partitions), dark.reason),
        since_ms: Some(dark.since_ms),
    }));
    profile_missing(standing, &mut alerts);
    diverged(standing, &mut alerts);
    alerts.sort_by(|a, b| (a.code, &a.subject).cmp(&(b.code, &b.subject)));
    alerts
}

fn clock_is_ahead(standing: &Standing<'_>, alerts: &mut Vec<Alert>) {
    let ClockView { ahead_ms, refused_since_ms: Some(since_ms) } = standing.clock else { return };
    alerts.push(Alert {
        code: AlertCode::ClockAhead,
        subject: standing.region.to_string(),
        detail: clock_ahead(ahead_ms.unwrap_or_default()),
        since_ms: Some(since_ms),
    });
}

fn profile_missing(standing: &Standing<'_>, alerts: &mut Vec<Alert>) {
    alerts.extend(standing.other_profiles.iter().map(|(version, needs)| Alert {
        code: AlertCode::ProfileMissing,
        subject: version.to_string(),
        detail: format!(
            "it went live under determinism profile {needs}, and this build has {}: run one that has \
             profile {needs}",
            standing.profile
        ),
        since_ms: None,
    }));
}

fn of_members(standing: &Standing<'_>, alerts: &mut Vec<Alert>) {
    let Standing { region, members, now_ms, .. } = standing;
    if members.me_gone {
        let evictions = members.changes.iter().filter(|view| match &view.change {
            MembershipChange::Evict { gone } => gone.contains(*region),
            MembershipChange::Join { .. } => false,
        });
        alerts.push(Alert {
            code: AlertCode::RegionEvicted,
            subject: region.to_string(),
            detail: no_writes(region, members),
            since_ms: evictions.map(|view| view.id.0.hlc.millis()).next_back(),
        });
    }
    for view in members.under_way() {
        let since_ms = view.id.0.hlc.millis();
        if now_ms.saturating_sub(since_ms) < MEMBERSHIP_WAITS_MS {
            continue;
        }
        alerts.extend(waits_for(view).into_iter().map(|waited_for| Alert {
            code: AlertCode::MembershipWaits,
            subject: waited_for.to_string(),
            detail: format!("membership change {} is {}", view.id, view.state.as_str()),
            since_ms: Some(since_ms),
        }));
    }
}

/// Why a region takes no writes, and what to do.
pub fn no_writes(me: &RegionId, members: &Members) -> String {
    if members.me_gone {
        return format!(
            "the other regions say that {me} is gone: it takes no writes, and its log is not read. \
             What it had not passed on by then is lost with it. {}",
            way_back_of_gone(me)
        );
    }
    format!(
        "{me} is joining: it takes writes once it has applied all that the members had when they \
         began to count it"
    )
}

fn writes_refused(standing: &Standing<'_>, alerts: &mut Vec<Alert>) {
    let limit = standing.limits.unconfirmed_changes;
    let refusing = || standing.views.iter().filter(|view| view.outstanding >= limit);
    let of = standing.views.len();
    if let (Some((_, since_ms)), count @ 1..) = (&standing.own_log, refusing().count()) {
        // Nobody can confirm what does not get there, however the others are.
        alerts.push(Alert {
            code: AlertCode::WritesRefused,
            subject: standing.region.to_string(),
            detail: format!(
                "{limit} changes, the limit unconfirmed_changes, are not confirmed in {count} of {of} \
                 partitions, and cannot be while this region's own log cannot be written"
            ),
            since_ms: Some(*since_ms),
        });
        return;
    }
    let mut behind: BTreeMap<&RegionId, (usize, u64)> = BTreeMap::new();
    for view in refusing() {
        for region in &view.behind {
            let since = region.since.bits() >> 16;
            let (partitions, first) = behind.entry(&region.region).or_insert((0, since));
            *partitions += 1;
            *first = since.min(*first);
        }
    }
    alerts.extend(behind.into_iter().map(|(region, (partitions, since))| Alert {
        code: AlertCode::WritesRefused,
        subject: region.to_string(),
        detail: format!(
            "{limit} changes, the limit unconfirmed_changes, are not confirmed in {partitions} of {of} \
             partitions"
        ),
        since_ms: Some(since),
    }));
}

fn of_link(standing: &Standing<'_>, link: &LinkView, alerts: &mut Vec<Alert>) {
    let mut add = |code, detail, since_ms| {
        alerts.push(Alert { code, subject: link.region.to_string(), detail, since_ms });
    };
    match link.state {
        "stopped" => {
            let reason = link.reason.clone().unwrap_or_default();
            add(AlertCode::LinkStopped, reason, link.since_ms);
        }
        "unreadable" => {
            let reason = link.reason.clone().unwrap_or_default();
            add(AlertCode::LinkUnreadable, reason, link.since_ms);
        }
        "silent" => {
            let mut detail = "none of its heartbeats came for more than five seconds".to_owned();
            if let Some(reason) = &link.reason {
                detail = format!("{detail}: {reason}");
            }
            add(AlertCode::RegionSilent, detail, link.since_ms);
        }
        _ if !link.silent_in.is_empty() => {
            let detail = format!(
                "none of its heartbeats came in the partitions {} for a while: one of its nodes may \
                 be dark",
                ranges(&link.silent_in)
            );
            add(AlertCode::RegionSilent, detail, None);
        }
        _ => {}
    }
    let limit = standing.limits.waiting_changes;
    let waiting = |view: &&PartitionView| view.waiting.get(&link.region).copied().unwrap_or(0);
    let full = standing.views.iter().filter(|view| waiting(view) >= limit).count();
    if full > 0 {
        let detail = format!(
            "{limit} of its changes, the limit waiting_changes, wait in {full} of {} partitions",
            standing.views.len()
        );
        add(AlertCode::LinkFull, detail, link.full_since_ms);
    }
    // Of a link that is full later changes are left out: they are sent again once it is not.
    let is_full = |lane: &Lane| {
        let of = |view: &&PartitionView| *lane == Lane::Changes(view.partition);
        standing.views.iter().find(of).is_some_and(|view| waiting(&view) >= limit)
    };
    let lacks_in: Vec<&Lane> = link.lacks_in.iter().filter(|lane| !is_full(lane)).collect();
    if !lacks_in.is_empty() {
        add(AlertCode::LinkGap, gap(&lacks_in, link), link.lacks_since_ms);
    }
}

/// Where something is missing, and what may have to do with it.
fn gap(lanes: &[&Lane], link: &LinkView) -> String {
    let partitions: BTreeSet<u32> = lanes
        .iter()
        .filter_map(|lane| match lane {
            Lane::Changes(partition) => Some(*partition),
            Lane::Control => None,
        })
        .collect();
    let control = lanes.contains(&&Lane::Control).then(|| "control records".to_owned());
    let rows = (!partitions.is_empty())
        .then(|| format!("changes in the partitions {}", ranges(&partitions)));
    let what: Vec<String> = rows.into_iter().chain(control).collect();
    let mut detail = format!(
        "{} are missing, and were not sent again for more than a minute",
        what.join(" and ")
    );
    if let Some(MovedView { lane, reason, at_ms }) = &link.moved {
        detail += &format!(". Of its log, in {lane}, at {}: {reason}", rfc3339(*at_ms));
    }
    detail
}

/// One for each other region, with the first that was found.
fn diverged(standing: &Standing<'_>, alerts: &mut Vec<Alert>) {
    let mut found: BTreeMap<&RegionId, Vec<&Divergence>> = BTreeMap::new();
    for divergence in standing.views.iter().flat_map(|view| &view.divergences) {
        found.entry(&divergence.there.region).or_default().push(divergence);
    }
    alerts.extend(found.into_iter().filter_map(|(region, found)| {
        let first = found.iter().min_by_key(|divergence| divergence.found_at_ms)?;
        let more = match found.len() {
            1 => String::new(),
            count => format!("; {} more", count - 1),
        };
        Some(Alert {
            code: AlertCode::Divergence,
            subject: region.to_string(),
            detail: format!("{first}{more}"),
            since_ms: Some(first.found_at_ms),
        })
    }));
}

fn quarantined(standing: &Standing<'_>, alerts: &mut Vec<Alert>) {
    let mut kept: BTreeMap<&RegionId, (usize, u64)> = BTreeMap::new();
    for count in standing.quarantine {
        let (sum, since) = kept.entry(&count.source).or_insert((0, count.since_ms));
        *sum += count.kept;
        *since = count.since_ms.min(*since);
    }
    alerts.extend(kept.into_iter().map(|(source, (kept, since))| Alert {
        code: AlertCode::RecordsQuarantined,
        subject: source.to_string(),
        detail: format!("{kept} records of its log are kept in quarantine"),
        since_ms: Some(since),
    }));
}
