//! Who reads whose log.

use std::fmt::Write as _;

/// How the regions of a scenario hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Three regions, each of which reads the logs of the two others.
    Direct,
    /// Three regions, of which the first passes on what the others say.
    Hub,
    /// Four regions in a row. The two in the middle pass on what they hear; the last shares the
    /// cluster of the first, which neither reads for the other's sake.
    Chain,
}

impl Topology {
    /// How many regions there are.
    pub(crate) fn regions(self) -> usize {
        match self {
            Self::Direct | Self::Hub => 3,
            Self::Chain => 4,
        }
    }

    /// True if the region passes on what it hears.
    pub(crate) fn forwards(self, region: usize) -> bool {
        match self {
            Self::Direct => false,
            Self::Hub => region == 0,
            Self::Chain => region == 1 || region == 2,
        }
    }

    /// The region in whose log one hears another.
    fn heard_in(self, reader: usize, other: usize) -> usize {
        match self {
            Self::Hub if reader != 0 => 0,
            Self::Chain if other > reader => reader + 1,
            Self::Chain if other < reader => reader - 1,
            Self::Direct | Self::Hub | Self::Chain => other,
        }
    }

    /// The sections of the regions in the configuration of one. Of those that are heard through
    /// another one it needs no address.
    pub(crate) fn sections(self, reader: usize, names: &[String], addresses: &[String]) -> String {
        let mut sections = String::new();
        for (number, name) in names.iter().enumerate() {
            let said = match self.heard_in(reader, number) {
                via if via != number && number != reader => format!("via = \"{}\"", names[via]),
                _ => format!("bootstrap_servers = \"{}\"", addresses[number % addresses.len()]),
            };
            // Writing into memory cannot fail.
            let _ = writeln!(sections, "[regions.{name}]\n{said}");
        }
        sections
    }
}
