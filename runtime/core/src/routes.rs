//! Through whose log a region hears each of the others, and whether it passes on what it hears.

use std::collections::{BTreeMap, BTreeSet};

use crate::RegionId;

/// The way that the other regions' records take to this one. Regions are meant by their names: a
/// region that comes back as another incarnation is heard in the same place.
///
/// Without a word about it, each region is heard in its own log, and nothing is passed on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Routes {
    /// Who is heard in another one's log, and in whose.
    via: BTreeMap<String, String>,
    /// Regions that pass on what they hear: all that others are heard through are among them.
    forwarders: BTreeSet<String>,
    forwards: bool,
}

impl Routes {
    /// This region passes on what it takes of the others, or not.
    #[must_use]
    pub fn forwarding(mut self, forwards: bool) -> Self {
        self.forwards = forwards;
        self
    }

    /// The region is heard in the log of another one, which passes its records on.
    #[must_use]
    pub fn with_via(mut self, region: &RegionId, via: &RegionId) -> Self {
        self.forwarders.insert(via.name().to_owned());
        self.via.insert(region.name().to_owned(), via.name().to_owned());
        self
    }

    /// The region passes on what it hears, though this one may hear nobody through it: what stands
    /// in its log of others is no mistake.
    #[must_use]
    pub fn with_forwarder(mut self, region: &RegionId) -> Self {
        self.forwarders.insert(region.name().to_owned());
        self
    }

    /// True if this region passes on what it takes of the others.
    pub fn forwards(&self) -> bool {
        self.forwards
    }

    /// The name of the region in whose log another one is heard; none where that is its own.
    pub fn via(&self, region: &RegionId) -> Option<&str> {
        self.via.get(region.name()).map(String::as_str)
    }

    /// True if the region is heard in its own log.
    pub fn is_direct(&self, region: &RegionId) -> bool {
        self.via(region).is_none()
    }

    /// True if the records of `region` are to be taken from the log of `source`.
    pub fn hears(&self, source: &RegionId, region: &RegionId) -> bool {
        match self.via(region) {
            None => source == region,
            Some(via) => via == source.name(),
        }
    }

    /// True if the log of `source` may hold records of others.
    pub fn is_forwarder(&self, source: &RegionId) -> bool {
        self.forwarders.contains(source.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    #[test]
    fn a_region_is_heard_in_one_log_in_whatever_incarnation() {
        let (hub, spoke, other) = (region("hub#2"), region("spoke#3"), region("other"));
        let routes = Routes::default().with_via(&region("spoke"), &region("hub"));
        assert!(routes.hears(&hub, &spoke) && !routes.hears(&spoke, &spoke));
        assert!(routes.hears(&hub, &hub) && routes.hears(&other, &other));
        assert!(!routes.hears(&other, &spoke) && !routes.hears(&region("hub-1"), &spoke));
        assert!(routes.is_forwarder(&hub) && !routes.is_forwarder(&other));
        assert!(routes.is_direct(&hub) && !routes.is_direct(&spoke));
        assert_eq!(routes.via(&spoke), Some("hub"));
        assert!(!routes.forwards() && Routes::default().forwarding(true).forwards());
        assert!(routes.with_forwarder(&other).is_forwarder(&other));
    }
}
