//! Randomness that a conflict fixes: a part of the determinism profile.
//!
//! The seed is SHA-256 of [`TAG`] and the id of the conflict between the two sides, the core's
//! [`ConflictId`] of the sides' newest changes. Of a conflict of two heads that is the id under which
//! it stands in the conflict log; of a fold over more heads each call has that of its own two sides.
//! A function that is fixed thus is no secret to whoever knows the row: there is nothing in here to
//! make keys of.
//!
//! Each of the interfaces reads a stream of its own: SHA-256 of the seed, the stream's number in one
//! byte, and the block's number in eight, the highest first; one block after the other, from block
//! zero. Numbers are eight bytes of it, the lowest first.

use sha2::{Digest as _, Sha256};
use syncline_core::{ChangeId, ConflictId, MergeInput, MergeSide};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::Wasi;
use super::meter::Stop;
use crate::profile::{WASI_RANDOM_BYTE_FUEL, WASI_RANDOM_BYTES_MAX};

const TAG: &[u8] = b"syncline:wasi:random:1";
const BLOCK_BYTES: usize = 32;

/// The streams' numbers.
const SECURE: u8 = 0;
const INSECURE: u8 = 1;
const INSECURE_SEED: u8 = 2;

pub(super) struct Random {
    seed: [u8; BLOCK_BYTES],
    secure: Stream,
    insecure: Stream,
}

impl Random {
    pub(super) fn of(input: &MergeInput<'_>) -> Self {
        let change = |side: &MergeSide<'_>| ChangeId { hlc: side.hlc, region: side.region.clone() };
        let id = ConflictId::of(input.row, &[change(&input.older), change(&input.newer)]);
        let seed = Sha256::new().chain_update(TAG).chain_update(id.0).finalize().into();
        Self::from_seed(seed)
    }

    pub(super) fn none() -> Self {
        Self::from_seed([0; BLOCK_BYTES])
    }

    fn from_seed(seed: [u8; BLOCK_BYTES]) -> Self {
        Self { seed, secure: Stream::new(SECURE), insecure: Stream::new(INSECURE) }
    }

    /// Two numbers, the same at each call.
    fn insecure_seed(&self) -> (u64, u64) {
        let mut stream = Stream::new(INSECURE_SEED);
        (stream.number(&self.seed), stream.number(&self.seed))
    }
}

/// One of the streams, and how far it has been read.
struct Stream {
    number: u8,
    next_block: u64,
    block: [u8; BLOCK_BYTES],
    used: usize,
}

impl Stream {
    fn new(number: u8) -> Self {
        Self { number, next_block: 0, block: [0; BLOCK_BYTES], used: BLOCK_BYTES }
    }

    fn fill(&mut self, seed: &[u8; BLOCK_BYTES], out: &mut [u8]) {
        let mut rest = out;
        while !rest.is_empty() {
            if self.used == BLOCK_BYTES {
                self.block = Sha256::new()
                    .chain_update(seed)
                    .chain_update([self.number])
                    .chain_update(self.next_block.to_be_bytes())
                    .finalize()
                    .into();
                self.next_block += 1;
                self.used = 0;
            }
            let unused = &self.block[self.used..];
            let length = unused.len().min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(&unused[..length]);
            self.used += length;
            rest = later;
        }
    }

    fn number(&mut self, seed: &[u8; BLOCK_BYTES]) -> u64 {
        let mut bytes = [0; 8];
        self.fill(seed, &mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl Wasi {
    /// Pays for random bytes, and makes room for them.
    fn room(&mut self, length: u64) -> Result<Vec<u8>, Stop> {
        self.meter.call_with(length, WASI_RANDOM_BYTE_FUEL)?;
        if length > WASI_RANDOM_BYTES_MAX {
            return Err(Stop::NotGiven("it asked for too many random bytes at once"));
        }
        Ok(vec![0; length as usize])
    }
}

impl random::Host for Wasi {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        let mut bytes = self.room(length)?;
        self.random.secure.fill(&self.random.seed, &mut bytes);
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.meter.call_with(8, WASI_RANDOM_BYTE_FUEL)?;
        Ok(self.random.secure.number(&self.random.seed))
    }
}

impl insecure::Host for Wasi {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        let mut bytes = self.room(length)?;
        self.random.insecure.fill(&self.random.seed, &mut bytes);
        Ok(bytes)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.meter.call_with(8, WASI_RANDOM_BYTE_FUEL)?;
        Ok(self.random.insecure.number(&self.random.seed))
    }
}

impl insecure_seed::Host for Wasi {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.meter.call_with(16, WASI_RANDOM_BYTE_FUEL)?;
        Ok(self.random.insecure_seed())
    }
}

#[cfg(test)]
mod tests {
    use syncline_core::{Hlc, Operation, RegionId, RowKey};

    use super::*;

    fn random(pk: &str, regions: [&str; 2], hlcs: [u64; 2]) -> Random {
        let row = RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() };
        let regions: [RegionId; 2] = regions.map(|region| region.parse().unwrap());
        let side = |at: usize| MergeSide {
            region: &regions[at],
            hlc: Hlc::from_bits(hlcs[at]).unwrap(),
            operation: Operation::Delete,
            image: None,
        };
        Random::of(&MergeInput { row: &row, ancestor: None, older: side(0), newer: side(1) })
    }

    fn golden() -> Random {
        random(
            "c-17",
            ["eu-west-1", "us-east-1#2"],
            [117_650_437_764_218_881, 117_650_437_764_218_882],
        )
    }

    fn hex(stream: &mut Stream, seed: &[u8; 32], length: usize) -> String {
        let mut bytes = vec![0; length];
        stream.fill(seed, &mut bytes);
        hex::encode(bytes)
    }

    /// Another value is another answer of a function that has been admitted: a new profile.
    #[test]
    fn the_streams_never_change() {
        let mut random = golden();
        let seed = random.seed;
        assert_eq!(
            hex::encode(seed),
            "7f2367215b5400057f80928d029f8c78e7292db85097f3b66aced59846ae1b07"
        );
        assert_eq!(
            hex(&mut random.secure, &seed, 40),
            "059c1138e47da124e62294b98e96d2f3cd6a4f41e9d9b8ac82064ae978826b30a620bb5cdb355b7a"
        );
        assert_eq!(
            hex(&mut random.insecure, &seed, 40),
            "706e360c82e5855917142e5976d7b0d806363d906fda2808de1e7c12c87b8841836c6101c7e165ac"
        );
        assert_eq!(random.insecure_seed(), (0x294f2b2ceb7bf7ee, 0x6c57ef2277643ffa));
        assert_eq!(random.insecure_seed(), random.insecure_seed());
    }

    #[test]
    fn a_stream_is_the_same_in_whatever_pieces_it_is_read() {
        let (mut whole, mut pieces) = (golden(), golden());
        let seed = whole.seed;
        let parts = [0, 1, 31, 32, 33, 64, 3];
        let joined: String = parts.map(|length| hex(&mut pieces.secure, &seed, length)).concat();
        assert_eq!(hex(&mut whole.secure, &seed, parts.iter().sum()), joined);
        assert_eq!(
            golden().secure.number(&seed).to_le_bytes()[..],
            hex::decode(&joined[..16]).unwrap()
        );
    }

    #[test]
    fn everything_that_tells_conflicts_apart_counts() {
        let here = ["eu-west-1", "us-east-1#2"];
        let others = [
            random("c-17", here, [1, 2]),
            random("c-18", here, [1, 2]),
            random("c-17", ["eu-west-2", "us-east-1#2"], [1, 2]),
            random("c-17", ["eu-west-1", "us-east-1#3"], [1, 2]),
            random("c-17", here, [0, 2]),
            random("c-17", here, [1, 3]),
        ];
        for (at, one) in others.iter().enumerate() {
            assert!(others[..at].iter().all(|other| other.seed != one.seed), "{at}");
        }
    }
}
