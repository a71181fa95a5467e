//! In whose logs the regions are heard.

use std::collections::BTreeMap;

use syncline_core::{RegionId, Routes};

use super::bus::{PeerSection, Wrong};

/// What the sections of the regions come to for `me`, which passes on what it hears or not.
pub(super) fn routes(
    me: &RegionId,
    forwards: bool,
    regions: &BTreeMap<String, PeerSection>,
) -> Result<Routes, Wrong> {
    let mut routes = Routes::default().forwarding(forwards);
    for (name, peer) in regions {
        let wrong = |key, reason: String| Err((format!("regions.{name}"), key, reason));
        let region: RegionId = match name.parse() {
            Ok(region) => region,
            Err(error) => return wrong("", format!("{error}")),
        };
        if region.name() == me.name() && (peer.forwards || peer.via.is_some()) {
            let reason = format!(
                "{name} is this region: that it passes on what it hears is said by forwards = true \
                 in [region], and its own log it always reads itself"
            );
            return wrong(if peer.forwards { "forwards" } else { "via" }, reason);
        }
        if peer.forwards {
            routes = routes.with_forwarder(&region);
        }
        let Some(via) = &peer.via else { continue };
        let Some(through) = regions.get(via) else {
            return wrong("via", format!("there is no section [regions.{via}]"));
        };
        let via: RegionId = match via.parse() {
            Ok(via) => via,
            Err(error) => return wrong("via", format!("{error}")),
        };
        if via.name() == me.name() || via.name() == name {
            let reason = format!("{name} is heard through another region than itself and this one");
            return wrong("via", reason);
        }
        if let Some(next) = &through.via {
            let reason = format!(
                "{via} is itself heard through {next}: via names the region whose log is read, \
                 the first on the way"
            );
            return wrong("via", reason);
        }
        routes = routes.with_via(&region, &via);
    }
    Ok(routes)
}
