//! Who reads whose log. A name is a letter, so that the places of regions that are yet to join are
//! known too.

use syncline_core::{RegionId, Routes};

/// How the regions hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Each region reads the logs of all others.
    Direct,
    /// All read the log of the first, which reads all others and passes on what it hears.
    Hub,
    /// Each region reads its neighbours by name; all but the first pass on what they hear.
    Chain,
}

/// What distinguishes the draw of the topology from that of the steps.
const SALT: u64 = 0x0070_9010_6755;

impl Topology {
    /// Of a run: drawn apart, so that a seed's steps do not depend on it.
    pub fn of(seed: u64, regions: usize) -> Self {
        match fastrand::Rng::with_seed(seed ^ SALT).u8(0..8) {
            0 | 1 if regions > 2 => Self::Hub,
            2 if regions > 2 => Self::Chain,
            _ => Self::Direct,
        }
    }

    /// The letter of the region in whose log one of these letters hears the other.
    fn heard_in(self, reader: u8, other: u8) -> u8 {
        match self {
            Self::Hub if reader != b'a' => b'a',
            Self::Chain if other > reader => reader + 1,
            Self::Chain if other < reader => reader - 1,
            Self::Direct | Self::Hub | Self::Chain => other,
        }
    }

    /// True if the region reads the log of the other one.
    pub fn reads(self, reader: &RegionId, source: &RegionId) -> bool {
        self.heard_in(letter(reader), letter(source)) == letter(source)
    }

    /// True if the log that stands for `source` in a step is that of `candidate`.
    pub fn stands_for(self, reader: &RegionId, source: &RegionId, candidate: &RegionId) -> bool {
        self.heard_in(letter(reader), letter(source)) == letter(candidate)
    }

    /// True if others hear each other through the region.
    pub fn needs(self, region: &RegionId) -> bool {
        match self {
            Self::Direct => false,
            Self::Hub => letter(region) == b'a',
            Self::Chain => true,
        }
    }

    /// As a region is configured.
    pub fn routes(self, region: &RegionId) -> Routes {
        let me = letter(region);
        let forwards = match self {
            Self::Direct => false,
            Self::Hub => me == b'a',
            Self::Chain => me != b'a',
        };
        let others = (b'a'..=b'z').filter(|other| *other != me);
        let via = others.map(|other| (other, self.heard_in(me, other)));
        let via = via.filter(|(other, source)| other != source);
        via.fold(Routes::default().forwarding(forwards), |routes, (other, source)| {
            routes.with_via(&named(other), &named(source))
        })
    }
}

fn letter(region: &RegionId) -> u8 {
    region.name().bytes().next().unwrap_or_default()
}

fn named(letter: u8) -> RegionId {
    char::from(letter).to_string().parse().unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(topology: Topology) -> String {
        let letters = || (b'a'..=b'd').map(named);
        let read_by = |reader: RegionId| {
            let sources = letters().filter(|other| *other != reader);
            let read = sources.filter(|source| topology.reads(&reader, source));
            format!("{reader}: {}", read.map(|source| source.to_string()).collect::<String>())
        };
        letters().map(read_by).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_topology_has_its_links() {
        assert_eq!(reads(Topology::Direct), "a: bcd, b: acd, c: abd, d: abc");
        assert_eq!(reads(Topology::Hub), "a: bcd, b: a, c: a, d: a");
        assert_eq!(reads(Topology::Chain), "a: b, b: ac, c: bd, d: c");
    }

    #[test]
    fn routes_say_the_same() {
        for topology in [Topology::Direct, Topology::Hub, Topology::Chain] {
            for me in (b'a'..=b'd').map(named) {
                let routes = topology.routes(&me);
                for other in (b'a'..=b'd').map(named).filter(|other| *other != me) {
                    let reads = topology.reads(&me, &other);
                    assert_eq!(routes.is_direct(&other), reads, "{topology:?} {me} {other}");
                }
            }
        }
    }
}
