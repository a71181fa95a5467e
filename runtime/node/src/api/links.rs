//! Cutting regions from each other, in development.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use syncline_core::RegionId;

use super::params::{self, PathOf};
use super::{Api, blocking};
use crate::problem::{Code, Problem};
use crate::region::Cuts;

/// The links between the regions of this process, kept in a file so that a cut outlives a restart.
#[derive(Clone)]
pub struct DevLinks {
    regions: Arc<[RegionId]>,
    cuts: Cuts,
    file: Arc<Mutex<PathBuf>>,
}

impl DevLinks {
    /// As they were when the file was last written; none is cut where there is none.
    pub fn open(regions: &[RegionId], file: PathBuf) -> anyhow::Result<Self> {
        let cuts = match std::fs::read(&file) {
            Ok(bytes) => {
                let pairs: Vec<(String, String)> = serde_json::from_slice(&bytes)
                    .map_err(|e| anyhow::anyhow!("read {}: {e}; delete it", file.display()))?;
                let known = |name: &str| regions.iter().find(|r| r.as_str() == name).cloned();
                Cuts::of(pairs.iter().filter_map(|(a, b)| known(a).zip(known(b))))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Cuts::default(),
            Err(error) => anyhow::bail!("read {}: {error}", file.display()),
        };
        Ok(Self { regions: regions.into(), cuts, file: Arc::new(Mutex::new(file)) })
    }

    /// What is cut.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    fn set(&self, a: &RegionId, b: &RegionId, cut: bool) -> std::io::Result<()> {
        // One at a time, so that the file tells the last.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        self.cuts.set(a, b, cut);
        let pairs: Vec<(String, String)> =
            self.cuts.pairs().iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&pairs)?)?;
        std::fs::rename(&new, &*file)
    }

    fn region(&self, name: &str) -> Result<RegionId, Problem> {
        self.regions.iter().find(|region| region.as_str() == name).cloned().ok_or_else(|| {
            let names: Vec<&str> = self.regions.iter().map(RegionId::as_str).collect();
            let detail =
                format!("there is no region {name:?} here; there are: {}", names.join(", "));
            Problem::new(Code::RegionNotFound, detail)
        })
    }
}

/// `POST /v1/dev/links/{a}/{b}/{cut|heal}`
pub(super) async fn set(
    State(api): State<Api>,
    parts: PathOf<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    let (a, b, verb) = params::path(parts)?;
    let not_here = || Problem::new(Code::RouteNotFound, "a link is cut or healed");
    let links = api.dev.ok_or_else(not_here)?;
    let cut = match verb.as_str() {
        "cut" => true,
        "heal" => false,
        _ => return Err(not_here()),
    };
    let (a, b) = (links.region(&a)?, links.region(&b)?);
    if a == b {
        return Err(Problem::new(Code::InvalidRequest, "a region has no link to itself"));
    }
    let cuts = links.cuts.clone();
    let set = move || {
        links
            .set(&a, &b, cut)
            .map_err(|error| Problem::new(Code::StoreUnavailable, format!("keep the cut: {error}")))
    };
    blocking(set).await?;
    let shown =
        |(a, b): (RegionId, RegionId)| json!({"a": a.as_str(), "b": b.as_str(), "state": "cut"});
    Ok(Json(json!({"links": cuts.pairs().into_iter().map(shown).collect::<Vec<_>>()})))
}
