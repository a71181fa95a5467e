//! Stores that a region can't go on with: they are set aside, never deleted, and what to do is said.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use syncline_core::RegionId;

use super::now_ms;
use crate::text::rfc3339;

/// The folder of a region's store.
const STORE: &str = "store";
/// Names the region whose store was set aside: it must not begin anew as if nothing had been.
const LOST: &str = "store.lost";

/// Names the region whose store was found to be corrupt while it ran, and says what was found: the
/// next start sets it aside.
const CONDEMNED: &str = "store.condemned";

/// Where a region's store is.
pub(super) fn store_of(data: &Path) -> PathBuf {
    data.join(STORE)
}

/// Sets a store aside: `store.<why>-<UTC>`. Answers where it is now.
pub(super) fn set_aside(data: &Path, why: &str) -> io::Result<PathBuf> {
    let now = rfc3339(now_ms()).replace(['-', ':'], "");
    let kept = data.join(format!("{STORE}.{why}-{now}"));
    fs::rename(store_of(data), &kept)?;
    File::open(data)?.sync_all()?;
    Ok(kept)
}

/// Notes that the region has lost its store, which was set aside.
pub(super) fn note_lost(data: &Path, region: &RegionId) -> io::Result<()> {
    let (note, new) = (data.join(LOST), data.join("store.lost.new"));
    fs::write(&new, region.as_str())?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, note)?;
    File::open(data)?.sync_all()
}

/// Has the next start set the region's store aside. Answers what is to be told, with the reason.
pub(super) fn condemn(data: &Path, region: &RegionId, reason: &str) -> String {
    let (note, new) = (data.join(CONDEMNED), data.join("store.condemned.new"));
    let noted = fs::write(&new, format!("{region}\n{reason}"))
        .and_then(|()| File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, note))
        .and_then(|()| File::open(data)?.sync_all());
    let next = match noted {
        Ok(()) => "The next start sets the store aside, and does not begin empty".to_owned(),
        Err(error) => format!(
            "That cannot be noted ({error}): move {} away before the next start",
            store_of(data).display()
        ),
    };
    let way_back = way_back(region);
    format!("{reason}. {next}. What only this store holds may be looked for in it. {way_back}")
}

/// What was found in the store of this very region, which is to be set aside.
pub(super) fn condemned(data: &Path, region: &RegionId) -> Option<String> {
    let note = fs::read_to_string(data.join(CONDEMNED)).ok()?;
    let (of, reason) = note.split_once('\n')?;
    (of == region.as_str()).then(|| reason.to_owned())
}

/// The store was set aside.
pub(super) fn pardon(data: &Path) {
    // One that stays is of a store that is not there any more.
    let _ = fs::remove_file(data.join(CONDEMNED));
}

/// True if this very region lost its store, and no other was put in its place.
pub(super) fn is_lost(data: &Path, region: &RegionId) -> bool {
    let lost = fs::read_to_string(data.join(LOST));
    lost.is_ok_and(|lost| lost.trim() == region.as_str()) && !store_of(data).exists()
}

/// How a region comes back that cannot go on under this incarnation.
pub(crate) fn way_back(me: &RegionId) -> String {
    comes_back(me, &format!("`syncline topology evict '{me}' --yes --watch` and then "))
}

/// The same, where the other regions have evicted it.
pub(crate) fn way_back_of_gone(me: &RegionId) -> String {
    comes_back(me, "")
}

fn comes_back(me: &RegionId, evict: &str) -> String {
    let next = me.incarnation().saturating_add(1);
    let joins = RegionId::with_incarnation(me.name(), next)
        .map_or_else(|_| me.to_string(), |next| next.to_string());
    format!(
        "The region comes back as another incarnation, with the data of a region that runs. There, \
         say {evict}`syncline topology join '{joins}' --watch`; here, set incarnation = {next} and join_from = \"<that region>\" in \
         [region], and start again. Of a region of several nodes all are stopped first, and one \
         process comes back in their place, without region.node and [nodes]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_kept_and_missed() {
        let data = tempfile::tempdir().unwrap();
        let (first, second): (RegionId, RegionId) = ("a".parse().unwrap(), "a#2".parse().unwrap());
        fs::create_dir(store_of(data.path())).unwrap();
        fs::write(store_of(data.path()).join("conf"), "x").unwrap();
        let kept = set_aside(data.path(), "corrupt").unwrap();
        note_lost(data.path(), &first).unwrap();
        assert!(kept.file_name().unwrap().to_str().unwrap().starts_with("store.corrupt-2"));
        assert_eq!(fs::read_to_string(kept.join("conf")).unwrap(), "x");
        assert!(is_lost(data.path(), &first) && !is_lost(data.path(), &second));
        fs::create_dir(store_of(data.path())).unwrap();
        assert!(!is_lost(data.path(), &first));
    }

    #[test]
    fn a_store_that_is_condemned_is_of_one_region_and_the_way_back_is_told() {
        let data = tempfile::tempdir().unwrap();
        let (first, second): (RegionId, RegionId) = ("a".parse().unwrap(), "a#2".parse().unwrap());
        assert_eq!(condemned(data.path(), &first), None);
        let told = condemn(data.path(), &first, "partition 3: read row x: the store is corrupt");
        for part in ["partition 3: read row x", "The next start sets", "join 'a#2'"] {
            assert!(told.contains(part), "{told}");
        }
        let found = condemned(data.path(), &first);
        assert_eq!(found.as_deref(), Some("partition 3: read row x: the store is corrupt"));
        assert_eq!(condemned(data.path(), &second), None);
        pardon(data.path());
        assert_eq!(condemned(data.path(), &first), None);
        let told = condemn(&data.path().join("gone"), &first, "it is corrupt");
        assert!(told.contains("cannot be noted") && told.contains("gone/store away"), "{told}");
    }

    #[test]
    fn the_way_back_is_said_in_commands() {
        let said = way_back(&"eu#2".parse().unwrap());
        for part in
            ["evict 'eu#2'", "join 'eu#3'", "incarnation = 3", "join_from", "without region.node"]
        {
            assert!(said.contains(part), "{said}");
        }
        let of_gone = way_back_of_gone(&"eu#2".parse().unwrap());
        assert!(of_gone.contains("say `syncline topology join 'eu#3'"), "{of_gone}");
    }
}
