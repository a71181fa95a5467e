//! The host: functions by version, loaded once and called from many threads.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use syncline_core::{FunctionVersion, GuestFault, HostFault, MergeFunctions, MergeInput, Merged};
use thiserror::Error;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::admission::{self, Refused, told};
use crate::cache::Cache;
use crate::compile::{CompileError, Compiler, Purpose, Task};
use crate::engine::{self, EngineSettings};
use crate::function::{Backstop, Function, Run};
use crate::function_log::FunctionLog;
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
    /// How the engine is set up, which no outcome depends on.
    pub engine: EngineSettings,
    /// Where components are compiled. One that is not trusted belongs into a process of its own.
    pub compiler: Compiler,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            slots: 16,
            functions: 16,
            wall_clock_limit: Duration::from_secs(10),
            engine: EngineSettings::Production,
            compiler: Compiler::InProcess,
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
    /// What code for the engine depends on.
    fingerprint: [u8; 32],
    compiler: Compiler,
    cache: Option<Cache>,
    gate: Gate,
    wall_clock_limit: Duration,
    /// What `load` made, until `remove`.
    functions: RwLock<HashMap<FunctionVersion, Arc<Function>>>,
}

impl Host {
    /// Sets up the engine, with memory reserved for all slots, and opens the cache.
    pub fn new(config: HostConfig) -> Result<Self, StartError> {
        if !(1..=SLOTS_MAX).contains(&config.slots) {
            return Err(StartError::Slots(config.slots));
        }
        let engine = engine::engine(config.slots, config.functions, config.engine)
            .map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let fingerprint = engine::fingerprint(&engine);
        let cache = match config.cache_dir {
            None => None,
            Some(dir) => {
                let cache = Cache::open(&dir, fingerprint);
                Some(cache.map_err(|source| StartError::CacheDir { dir, source })?)
            }
        };
        Ok(Self(Arc::new(Inner {
            engine,
            fingerprint,
            compiler: config.compiler,
            cache,
            gate: Gate::new(config.slots),
            wall_clock_limit: config.wall_clock_limit,
            functions: RwLock::default(),
        })))
    }

    /// Checks an uploaded component, and compiles it into the cache. It can't be called before it is
    /// loaded. Takes at most [`UPLOAD_ANSWER_SECONDS_MAX`](crate::UPLOAD_ANSWER_SECONDS_MAX) seconds,
    /// unless it compiles in this process.
    pub fn admit(&self, component: &[u8]) -> Result<Admitted, Refused> {
        let version = FunctionVersion::of(component);
        match self.0.prepare(&version, component, Purpose::Upload) {
            Ok(function) => Ok(Admitted { version, manifest: function.manifest }),
            Err(LoadError::Refused(refused)) => Err(refused),
            Err(LoadError::Engine { what, .. }) => Err(Refused::NotNow { what }),
            Err(other) => Err(Refused::NotNow { what: other.to_string() }),
        }
    }

    /// Makes a function ready to be called: from the cache, or checked and compiled, with more time
    /// and memory than an upload has, as some region has admitted it. Loading it again does nothing.
    pub fn load(&self, version: FunctionVersion, component: &[u8]) -> Result<Manifest, LoadError> {
        if let Some(manifest) = self.manifest(&version) {
            return Ok(manifest);
        }
        let found = FunctionVersion::of(component);
        if found != version {
            return Err(LoadError::Checksum { found, asked: version });
        }
        let function = self.0.prepare(&version, component, Purpose::Load)?;
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

    /// What the merges of a loaded function had to say, since it was loaded. None: it is not loaded.
    pub fn log(&self, version: &FunctionVersion) -> Option<FunctionLog> {
        self.0.function(version).map(|function| function.log.read())
    }

    /// As [`MergeFunctions::merge`] but for the function's log, and says what the call used up.
    pub fn run(&self, version: &FunctionVersion, input: &MergeInput<'_>) -> Result<Run, HostFault> {
        let function = self.0.function(version).ok_or(HostFault::NotHere(*version))?;
        self.0.call(&function, input)
    }

    /// As [`MergeFunctions::merge`], and says what the call used up.
    pub fn merge_metered(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Run, HostFault> {
        let function = self.0.function(version).ok_or(HostFault::NotHere(*version))?;
        let mut run = self.0.call(&function, input)?;
        function.log.note(input.row, std::mem::take(&mut run.log));
        Ok(run)
    }
}

impl MergeFunctions for Host {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        self.merge_metered(version, input).map(|run| run.outcome)
    }
}

impl Inner {
    fn call(&self, function: &Function, input: &MergeInput<'_>) -> Result<Run, HostFault> {
        let limit = self.wall_clock_limit;
        let backstop = Backstop { deadline: Instant::now() + limit, limit };
        let _pass = self.gate.enter(backstop.deadline).ok_or_else(|| backstop.fault())?;
        // A panic would be the engine's, and must not take down the partition's thread: all that it
        // could leave half done is the call's own store, which ends with it.
        catch_unwind(AssertUnwindSafe(|| function.call(&self.engine, input, &backstop)))
            .unwrap_or_else(|_| Err(HostFault::Engine("the engine panicked".into())))
    }

    fn function(&self, version: &FunctionVersion) -> Option<Arc<Function>> {
        self.functions.read().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    /// Admission first, with a file in the cache too: it is a matter of milliseconds, and the rules
    /// are those of this release.
    fn prepare(
        &self,
        version: &FunctionVersion,
        bytes: &[u8],
        purpose: Purpose,
    ) -> Result<Function, LoadError> {
        let task = Task::new(purpose);
        let checked = admission::check(bytes)?;
        let component = match self.cached(version) {
            Some(component) => component,
            None => self.compiled(version, &checked.metered(bytes)?, &task)?,
        };
        Ok(Function::new(&component, checked.manifest)?)
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

    fn compiled(
        &self,
        version: &FunctionVersion,
        bytes: &[u8],
        task: &Task,
    ) -> Result<Component, LoadError> {
        let failed = |error| not_compiled(version, task.purpose, error);
        let turn = task.turn().map_err(failed)?;
        // The one before may have compiled the same.
        if let Some(component) = self.cached(version) {
            return Ok(component);
        }
        let code = self.compiler.compile(&self.engine, &self.fingerprint, bytes, task);
        drop(turn);
        let code = code.map_err(failed)?;
        // SAFETY: the compiler, which is of this release, made it for an engine in these settings.
        let component = unsafe { Component::deserialize(&self.engine, &code) };
        let component = component.map_err(|error| {
            failed(CompileError::Unavailable(format!("the code is not taken: {error:#}")))
        })?;
        if let Some(cache) = &self.cache {
            // Without the file the next start compiles again, and nothing else is lost.
            if let Err(error) = cache.put(version, &code) {
                tracing::warn!(%version, %error, "compiled code is not kept");
            }
        }
        Ok(component)
    }
}

/// A refusal, where it is the component's own fault. One that was admitted elsewhere is only refused
/// for what the compiler says of it.
fn not_compiled(version: &FunctionVersion, purpose: Purpose, error: CompileError) -> LoadError {
    let refused = match (error, purpose) {
        (CompileError::Refused(what), _) => Refused::Compile { what: told(&what) },
        (error @ CompileError::Crashed(_), Purpose::Upload) => {
            Refused::Compile { what: told(&error.to_string()) }
        }
        (CompileError::TooExpensive(what), Purpose::Upload) => {
            Refused::TooExpensive { what: told(&what) }
        }
        (error, _) => {
            return LoadError::Engine { version: *version, what: told(&error.to_string()) };
        }
    };
    LoadError::Refused(refused)
}
