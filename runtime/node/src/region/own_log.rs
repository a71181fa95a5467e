//! Whether the region's own log can be written, as those find who read it at the start and who
//! append to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use syncline_bus::Lane;

use super::{Region, Shared, now_ms};

/// Why the own log cannot be written now, and since when: milliseconds since 1970.
#[derive(Default)]
pub(crate) struct OwnLog(Mutex<Option<(String, u64)>>);

impl Shared {
    /// Notes why the own log cannot be written; none: it can. It is logged where that is news.
    pub(super) fn set_own_log(&self, reason: Option<String>) {
        let region = &self.site.region;
        let mut known = self.own_log.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = match (known.take(), reason) {
            (None, None) => None,
            (Some(_), None) => {
                tracing::warn!(%region, "the region's own log can be written again");
                None
            }
            (Some((before, since_ms)), Some(reason)) if before == reason => {
                Some((reason, since_ms))
            }
            (before, Some(reason)) => {
                tracing::warn!(%region, reason,
                    "the region's own log cannot be written: what is written here waits in its \
                     outbox");
                Some((reason, before.map_or_else(now_ms, |(_, since_ms)| since_ms)))
            }
        };
    }

    pub(super) fn own_log(&self) -> Option<(String, u64)> {
        self.own_log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Region {
    /// Why this region's own log cannot be written now, and since when: milliseconds since 1970.
    /// None: it can. The region takes writes all the same; nobody hears of them.
    pub fn own_log(&self) -> Option<(String, u64)> {
        self.shared.own_log()
    }
}

/// So many are said of one log, though each of its lanes may have one of its own.
const REASONS_MAX: usize = 3;

/// The lanes of the own log that the bus took nothing for when it was last tried, and why.
#[derive(Default)]
pub(super) struct Refused(BTreeMap<Lane, String>);

impl Refused {
    /// These were tried together; `why` is none if all was taken. Answers what is wrong by now.
    pub(super) fn note(&mut self, tried: &[Lane], why: Option<&str>) -> Option<String> {
        for lane in tried {
            match why {
                Some(why) => drop(self.0.insert(*lane, why.to_owned())),
                None => drop(self.0.remove(lane)),
            }
        }
        let all: BTreeSet<&str> = self.0.values().map(String::as_str).collect();
        let some: Vec<&str> = all.into_iter().take(REASONS_MAX).collect();
        (!some.is_empty()).then(|| some.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_until_every_lane_is_taken() {
        let mut refused = Refused::default();
        let (a, b) = (Lane::Changes(0), Lane::Control);
        assert_eq!(refused.note(&[a, b], None), None);
        assert_eq!(refused.note(&[a, b], Some("dark")).as_deref(), Some("dark"));
        assert_eq!(refused.note(&[a], None).as_deref(), Some("dark"));
        assert_eq!(refused.note(&[b], Some("no right")).as_deref(), Some("no right"));
        assert_eq!(refused.note(&[a], Some("dark")).as_deref(), Some("dark; no right"));
        assert_eq!(refused.note(&[a, b], None), None);
        // As many as people read.
        let lanes: Vec<Lane> = Lane::all(9).collect();
        for lane in &lanes {
            refused.note(&[*lane], Some(&format!("no right to write {lane}")));
        }
        let said = refused.note(&[], None).unwrap();
        assert_eq!(said.matches("no right").count(), REASONS_MAX);
        assert_eq!(refused.note(&lanes, None), None);
    }
}
