//! The host: functions by version, loaded once and called from many threads.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use syncline_core::{FunctionVersion, GuestFault, HostFault, MergeFunctions, MergeInput, Merged};
use thiserror::Error;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::admission::{self, Refused};
use crate::cache::Cache;
use crate::compile::{CompileError, compile};
use crate::engine;
use crate::function::{Backstop, Function, Run};
use crate::gate::Gate;
use crate::manifest::Manifest;

/// Each slot reserves some gigabytes of addresses, of which a process has 128 TiB.
const SLOTS_MAX: u32 = 512;

/// How a [`Host`] is set up.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where compiled code is kept over restarts. None: nowhere. No two processes may share it.
    pub cache_dir: Option<PathBuf>,
    /// How many merges run at a time, 1 to 512. More of them wait for one another.
    pub slots: u32,
    /// How many distinct functions are in use at a time. With more, each call first has to bring its
    /// memory into the function's state.
    pub functions: u32,
    /// After so long a call is given up, as [`HostFault::Backstop`]. It is for a machine that hardly
    /// moves, not for guests, whose limit is their fuel.
    pub wall_clock_limit: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            slots: 16,
            functions: 16,
            wall_clock_limit: Duration::from_secs(10),
        }
    }
}

/// Why a host can't be set up.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error("slots is {0}, it can be 1 to {SLOTS_MAX}")]
    Slots(u32),
    /// The engine does not take its settings on this machine.
    #[error("set up the engine: {0}")]
    Engine(String),
    /// The folder for compiled code can't be used.
    #[error("open the folder for compiled code, {dir}")]
    CacheDir {
        /// The folder.
        dir: PathBuf,
        /// What failed there.
        #[source]
        source: std::io::Error,
    },
}

/// Why a function is not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The bytes are not those that the version stands for.
    #[error("the component's checksum is {found}, not {asked}")]
    Checksum {
        /// Of the bytes.
        found: FunctionVersion,
        /// What should be loaded.
        asked: FunctionVersion,
    },
    /// It is not one that may be loaded.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nothing is wrong with it, but it can't be loaded here and now.
    #[error("load the function {version}: {what}")]
    Engine {
        /// The function.
        version: FunctionVersion,
        /// What failed.
        what: String,
    },
}

/// What was checked, compiled, and may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The checksum of the component's bytes.
    pub version: FunctionVersion,
    /// What the component says of itself.
    pub manifest: Manifest,
}

/// Runs merge functions. Cheap to clone; all clones are one host.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    engine: Engine,
    cache: Option<Cache>,
    gate: Gate,
    wall_clock_limit: Duration,
    /// What `load` made, until `remove`.
    functions: RwLock<HashMap<FunctionVersion, Arc<Function>>>,
    /// Held while a component is compiled: two at a time would take the processors from the merges,
    /// and the second of two that are the same finds it in the cache.
    compiling: Mutex<()>,
}

impl Host {
    /// Sets up the engine, with memory reserved for all slots, and opens the cache.
    pub fn new(config: HostConfig) -> Result<Self, StartError> {
        if !(1..=SLOTS_MAX).contains(&config.slots) {
            return Err(StartError::Slots(config.slots));
        }
        let engine = engine::engine(config.slots, config.functions)
            .map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let cache = match config.cache_dir {
            None => None,
            Some(dir) => {
                let cache = Cache::open(&dir, engine::fingerprint(&engine));
                Some(cache.map_err(|source| StartError::CacheDir { dir, source })?)
            }
        };
        Ok(Self(Arc::new(Inner {
            engine,
            cache,
            gate: Gate::new(config.slots),
            wall_clock_limit: config.wall_clock_limit,
            functions: RwLock::default(),
            compiling: Mutex::default(),
        })))
    }

    /// Checks an uploaded component, and compiles it into the cache. It can't be called before it is
    /// loaded.
    pub fn admit(&self, component: &[u8]) -> Result<Admitted, Refused> {
        let version = FunctionVersion::of(component);
        match self.0.prepare(&version, component) {
            Ok(function) => Ok(Admitted { version, manifest: function.manifest }),
            Err(LoadError::Refused(refused)) => Err(refused),
            Err(other) => Err(Refused::NotNow { what: other.to_string() }),
        }
    }

    /// Makes a function ready to be called: from the cache, or checked and compiled. Loading it again
    /// does nothing.
    pub fn load(&self, version: FunctionVersion, component: &[u8]) -> Result<Manifest, LoadError> {
        if let Some(manifest) = self.manifest(&version) {
            return Ok(manifest);
        }
        let found = FunctionVersion::of(component);
        if found != version {
            return Err(LoadError::Checksum { found, asked: version });
        }
        let function = self.0.prepare(&version, component)?;
        let manifest = function.manifest.clone();
        let mut functions = self.0.functions.write().unwrap_or_else(PoisonError::into_inner);
        functions.insert(version, Arc::new(function));
        Ok(manifest)
    }

    /// What a loaded function says of itself. None: it is not loaded.
    pub fn manifest(&self, version: &FunctionVersion) -> Option<Manifest> {
        self.0.function(version).map(|function| function.manifest.clone())
    }

    /// Forgets a function, in memory and on disk. Calls that run end first, by themselves.
    pub fn remove(&self, version: &FunctionVersion) {
        self.0.functions.write().unwrap_or_else(PoisonError::into_inner).remove(version);
        if let Some(cache) = &self.0.cache {
            cache.remove(version);
        }
    }

    /// As [`MergeFunctions::merge`], and says what the call used up.
    pub fn run(&self, version: &FunctionVersion, input: &MergeInput<'_>) -> Result<Run, HostFault> {
        let inner = &*self.0;
        let function = inner.function(version).ok_or(HostFault::NotHere(*version))?;
        let limit = inner.wall_clock_limit;
        let backstop = Backstop { deadline: Instant::now() + limit, limit };
        let _pass = inner.gate.enter(backstop.deadline).ok_or_else(|| backstop.fault())?;
        // A panic would be the engine's, and must not take down the partition's thread: all that it
        // could leave half done is the call's own store, which ends with it.
        catch_unwind(AssertUnwindSafe(|| function.call(&inner.engine, input, &backstop)))
            .unwrap_or_else(|_| Err(HostFault::Engine("the engine panicked".into())))
    }
}

impl MergeFunctions for Host {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        self.run(version, input).map(|run| run.outcome)
    }
}

impl Inner {
    fn function(&self, version: &FunctionVersion) -> Option<Arc<Function>> {
        self.functions.read().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    /// Admission first, with a file in the cache too: it is a matter of milliseconds, and the rules
    /// are those of this release.
    fn prepare(&self, version: &FunctionVersion, bytes: &[u8]) -> Result<Function, LoadError> {
        let manifest = admission::check(bytes)?;
        let component = {
            let _one = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
            match self.cached(version) {
                Some(component) => component,
                None => self.compile(version, bytes)?,
            }
        };
        Ok(Function::new(&component, manifest)?)
    }

    fn cached(&self, version: &FunctionVersion) -> Option<Component> {
        let cache = self.cache.as_ref()?;
        let code = cache.get(version)?;
        // SAFETY: the cache hands out only what this region's engine, in these settings, compiled
        // from this very component.
        match unsafe { Component::deserialize(&self.engine, &code) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(%version, %error, "compiled code is thrown away");
                cache.remove(version);
                None
            }
        }
    }

    fn compile(&self, version: &FunctionVersion, bytes: &[u8]) -> Result<Component, LoadError> {
        let here = |what: String| LoadError::Engine { version: *version, what };
        let component = compile(&self.engine, bytes).map_err(|error| match error {
            CompileError::Engine(_) | CompileError::Panic => {
                let what = admission::told(&error.to_string());
                LoadError::Refused(Refused::Compile { what })
            }
            CompileError::Thread(_) => here(error.to_string()),
        })?;
        if let Some(cache) = &self.cache {
            // Without the file the next start compiles again, and nothing else is lost.
            let code = component.serialize().map_err(|error| here(format!("{error:#}")))?;
            if let Err(error) = cache.put(version, &code) {
                tracing::warn!(%version, %error, "compiled code is not kept");
            }
        }
        Ok(component)
    }
}
