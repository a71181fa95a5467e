//! The ways to merge, ready to be called, over the same conflicts.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use cosmwasm_std::Checksum;
use syncline_core::{FunctionVersion, Image, MergeFunctions};
use syncline_guest_build::example;
use syncline_host::{Host, HostConfig};
use syncline_sdk::{Conflict, MergeError, resolve};

use crate::cart::CartConflict;
use crate::reused::{Instance, Reused};
use crate::vm::{Chain, Vm};
use crate::{contract, frame};

/// How a conflict is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The function as it is, compiled for this machine.
    Native,
    /// As a component in Syncline's host.
    Syncline,
    /// As a contract in cosmwasm-vm.
    Cosmwasm,
    /// As a component whose instance serves many calls.
    Reused,
}

impl Contender {
    /// In the order of the tables.
    pub const ALL: [Self; 4] = [Self::Native, Self::Syncline, Self::Cosmwasm, Self::Reused];
}

/// What a thread keeps from call to call.
pub struct Kept {
    chain: Chain,
    instance: Option<Instance>,
}

impl Kept {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { chain: Chain::new(), instance: None }
    }
}

type Native = fn(Conflict<&[u8]>) -> Result<Option<Vec<u8>>, MergeError>;

/// One function over one conflict.
pub struct Case {
    /// For the tables.
    pub name: &'static str,
    conflict: CartConflict,
    native: Native,
    component: FunctionVersion,
    contract: Checksum,
    reused: Arc<Reused>,
}

/// All engines, with the functions loaded.
pub struct Rig {
    host: Host,
    vm: Vm,
    /// In the order of the tables.
    pub cases: Vec<Case>,
}

impl Rig {
    /// Builds and loads the functions, and sees that all contenders answer alike.
    pub fn new() -> Result<Self> {
        let host = Host::new(HostConfig::default()).context("start the host")?;
        let vm = Vm::new()?;
        let load = |name: &str| {
            let component = fs::read(example(name)?.path).context("read the component")?;
            let version = FunctionVersion::of(&component);
            host.load(version, &component).context("load the component")?;
            let contract = contract::built(name)?;
            eprintln!("{name}: component {}, contract {} bytes", component.len(), contract.len());
            anyhow::Ok((version, vm.store(&contract)?, Arc::new(Reused::new(&component)?)))
        };
        let (first_word, cart) = (load("first-word")?, load("cart")?);
        let case = |name, bytes, native, (component, contract, reused)| Case {
            name,
            conflict: CartConflict::new(bytes),
            native,
            component,
            contract,
            reused,
        };
        let cases = vec![
            case("first-word", 60, (|c| resolve(first_word::merge, c)) as Native, first_word),
            case("cart 1 KB", 1_000, (|c| resolve(cart::merge, c)) as Native, cart.clone()),
            case("cart 16 KB", 16_000, (|c| resolve(cart::merge, c)) as Native, cart),
        ];
        let rig = Self { host, vm, cases };
        rig.check_answers()?;
        Ok(rig)
    }

    fn check_answers(&self) -> Result<()> {
        for case in &self.cases {
            let mut kept = Kept::new();
            let native = self.merge(Contender::Native, case, &mut kept)?;
            for contender in Contender::ALL {
                let answer = self.merge(contender, case, &mut kept)?;
                ensure!(answer == native, "{contender:?} answers otherwise for {}", case.name);
            }
        }
        Ok(())
    }

    /// One merge, from the conflict as the region holds it to the row in canonical form. All that
    /// is between is part of it: for the contract, that the message is written.
    pub fn merge(&self, contender: Contender, case: &Case, kept: &mut Kept) -> Result<Image> {
        let Case { conflict, native, component, contract, reused, .. } = case;
        let row = match contender {
            Contender::Native => native(conflict.native())
                .map_err(|error| anyhow!("the function answers {error}"))?
                .context("the function deletes the row")?,
            // The host brings the answer into canonical form itself.
            Contender::Syncline => {
                return match self.host.merge(component, &conflict.input())? {
                    Ok(Some(row)) => Ok(row),
                    other => Err(anyhow!("the component answers {other:?}")),
                };
            }
            Contender::Cosmwasm => {
                let message = frame::message(&conflict.native());
                frame::row(self.vm.query(contract, &message, &mut kept.chain)?)?
            }
            Contender::Reused => reused.call(&mut kept.instance, &conflict.native())?,
        };
        Image::canonicalize(&row).context("bring the answer into canonical form")
    }
}
