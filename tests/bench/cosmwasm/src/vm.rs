//! cosmwasm-vm, used as a chain's node uses it: contracts are checked when they are stored and
//! pinned in the cache, and each call has an instance of its own, with gas metered.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use cosmwasm_std::Checksum;
use cosmwasm_vm::testing::{MockApi, MockQuerier, MockStorage, mock_backend};
use cosmwasm_vm::{Backend, Cache, CacheOptions, InstanceOptions, Size, call_query_raw};
use tempfile::TempDir;

/// What wasmd gives an instance at most.
const INSTANCE_MEMORY: Size = Size::mebi(32);
/// What wasmd keeps of compiled contracts, beside those that are pinned.
const MODULES_IN_MEMORY: Size = Size::mebi(100);

/// More than any of the calls needs. It is counted all the same.
const GAS_LIMIT: u64 = 1_000_000_000_000_000;

/// What the contract is told of its chain. It does not look.
const ENV: &[u8] = b"{}";

/// The chain as a contract sees it. These contracts never look, so that one is made for a thread
/// and handed from call to call.
pub struct Chain(Option<Backend<MockApi, MockStorage, MockQuerier>>);

impl Chain {
    /// An empty one.
    pub fn new() -> Self {
        Self(Some(mock_backend(&[])))
    }
}

/// The cache of contracts.
pub struct Vm {
    cache: Cache<MockApi, MockStorage, MockQuerier>,
    _folder: TempDir,
}

impl Vm {
    /// An empty cache in a temporary folder.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for contracts")?;
        let options =
            CacheOptions::new(folder.path(), HashSet::new(), MODULES_IN_MEMORY, INSTANCE_MEMORY);
        // SAFETY: the folder is new, and nobody else writes there.
        let cache = unsafe { Cache::new(options) }.context("open the cache of contracts")?;
        Ok(Self { cache, _folder: folder })
    }

    /// Checks a contract as at an upload, compiles it and pins it.
    pub fn store(&self, contract: &[u8]) -> Result<Checksum> {
        let checksum = self.cache.store_code(contract, true, true).context("store the contract")?;
        self.cache.pin(&checksum).context("pin the contract")?;
        Ok(checksum)
    }

    /// Calls the contract's `query`, in a fresh instance.
    pub fn query(&self, contract: &Checksum, message: &[u8], chain: &mut Chain) -> Result<Vec<u8>> {
        let backend = chain.0.take().unwrap_or_else(|| mock_backend(&[]));
        let options = InstanceOptions { gas_limit: GAS_LIMIT };
        let mut instance = self.cache.get_instance(contract, backend, options)?;
        let answer = call_query_raw(&mut instance, ENV, message)?;
        chain.0 = instance.recycle();
        Ok(answer)
    }
}

/// wasmer 5 puts this function's address among those that compiled code may call. Rust's library
/// no longer has it, and Singlepass makes no code that calls it.
// SAFETY: nothing else goes by this name, or the program would not link.
#[unsafe(no_mangle)]
extern "C" fn __rust_probestack() -> ! {
    std::process::abort()
}
