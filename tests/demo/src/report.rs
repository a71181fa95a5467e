//! What is printed at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitStatus;

use serde::Serialize;
use syncline_harness::Digests;

use crate::check::{Checked, ConflictsSummary};
use crate::ledger::Counts;
use crate::rollouts::Rollouts;
use crate::story::Story;

/// All that happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// No addition was lost, and all regions hold the same.
    pub(crate) ok: bool,
    /// What is wrong, if anything is.
    pub(crate) failures: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) regions: Vec<String>,
    pub(crate) merge_function: String,
    pub(crate) writes: Writes,
    pub(crate) cut: Cut,
    pub(crate) conflicts: ConflictsSummary,
    pub(crate) rollouts: Rollouts,
    /// The largest lag seen between any two regions, by phase.
    pub(crate) lag_ms_max: BTreeMap<&'static str, u64>,
    pub(crate) checked: Checked,
    pub(crate) story: Option<Story>,
    pub(crate) digests: Vec<RegionDigest>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Writes {
    pub(crate) acknowledged: usize,
    #[serde(flatten)]
    pub(crate) of: Counts,
    pub(crate) seconds: f64,
}

/// The time in which one region was cut off.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Cut {
    pub(crate) region: String,
    /// Acknowledged writes before it began.
    pub(crate) from_write: usize,
    /// Acknowledged writes when it ended.
    pub(crate) to_write: usize,
    pub(crate) seconds: f64,
    /// From the last write until all regions had applied everything.
    pub(crate) quiet_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct RegionDigest {
    pub(crate) region: String,
    pub(crate) rows: u64,
    pub(crate) digest: String,
}

impl From<Digests> for RegionDigest {
    /// The demo writes one table; the digests of several stand side by side.
    fn from(digests: Digests) -> Self {
        let tables: Vec<&str> = digests.tables.values().map(|t| t.digest.as_str()).collect();
        Self {
            region: digests.region,
            rows: digests.tables.values().map(|table| table.rows).sum(),
            digest: tables.join(" "),
        }
    }
}

impl Report {
    /// Adds how the process with the regions ended.
    pub(crate) fn with_end(mut self, ended: ExitStatus) -> Self {
        if !ended.success() {
            self.ok = false;
            self.failures.push(format!("the regions were asked to stop and ended with {ended}"));
        }
        self
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Writes { acknowledged, of, seconds } = &self.writes;
        writeln!(text, "\nWrites")?;
        writeln!(
            text,
            "  {acknowledged} acknowledged in {seconds:.1} s, in {} regions: {} additions, {} products \
             taken out, {} carts deleted",
            self.regions.len(),
            of.additions,
            of.removals,
            of.deletions
        )?;
        writeln!(
            text,
            "  {} met a newer cart and were made again upon it; {} with an unclear outcome",
            of.retries, of.unclear
        )?;
        self.write_cut(text)?;
        self.write_conflicts(text)?;
        self.write_rollouts(text)?;
        if let Some(story) = &self.story {
            story.write(text)?;
        }
        self.write_checks(text)
    }

    fn write_cut(&self, text: &mut String) -> std::fmt::Result {
        let Cut { region, from_write, to_write, seconds, quiet_ms } = &self.cut;
        let lag = |phase| self.lag_ms_max.get(phase).copied().unwrap_or_default();
        writeln!(text, "\nThe cut, and the lag")?;
        writeln!(
            text,
            "  {region} was cut off for {seconds:.1} s, from write {from_write} to write {to_write}"
        )?;
        writeln!(
            text,
            "  largest lag between two regions: {} ms before the cut, {} ms during it, {} ms after \
             it, {} ms at the end",
            lag("together"),
            lag("cut_off"),
            lag("healed"),
            lag("quiet")
        )?;
        writeln!(text, "  {quiet_ms} ms after the last write all regions had applied everything")
    }

    fn write_conflicts(&self, text: &mut String) -> std::fmt::Result {
        let conflicts = &self.conflicts;
        let list = |counts: &BTreeMap<String, usize>| {
            let parts: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
            parts.join(", ")
        };
        writeln!(text, "\nConflicts")?;
        writeln!(
            text,
            "  {} different ones, of up to {} changes each; {} were met in several regions, with the \
             same outcome in each",
            conflicts.distinct, conflicts.heads_max, conflicts.met_in_several_regions
        )?;
        writeln!(
            text,
            "  outcome: {}; resolved by: {}",
            list(&conflicts.by_outcome),
            list(&conflicts.by_strategy)
        )?;
        writeln!(text, "  met: {}", list(&conflicts.by_region))?;
        writeln!(text, "  merge function: {}", self.merge_function)
    }

    fn write_rollouts(&self, text: &mut String) -> std::fmt::Result {
        let Rollouts { second, third } = &self.rollouts;
        let stages: Vec<String> = second.stages.iter().map(|stage| stage.join(", ")).collect();
        writeln!(text, "\nRollouts, while clients wrote")?;
        writeln!(text, "  second version  {}", second.version)?;
        writeln!(text, "    in stages: {}; {}", stages.join("; then "), second.state)?;
        writeln!(
            text,
            "    of changes made in its first stage, {} conflicts were resolved by the first version \
             and {} by it",
            second.in_first_stage.former, second.in_first_stage.new
        )?;
        writeln!(text, "  third version   {}", third.version)?;
        writeln!(
            text,
            "    {} after it was tried on {} conflicts in the shadow: {}",
            third.state, third.tried_on, third.reason
        )?;
        if let Some(sample) = &third.sample {
            writeln!(text, "    what it said of one of them: {sample}")?;
        }
        writeln!(text, "    it resolved {} conflicts", third.resolved)
    }

    fn write_checks(&self, text: &mut String) -> std::fmt::Result {
        let Checked { carts, products, quantity, taken_out, deleted_carts, unclear } =
            &self.checked;
        writeln!(text, "\nDigests")?;
        let width = self.digests.iter().map(|of| of.region.len()).max().unwrap_or_default();
        for RegionDigest { region, rows, digest } in &self.digests {
            writeln!(text, "  {region:<width$}  {rows} rows  {digest}")?;
        }
        writeln!(text, "\nChecked against what the clients were told, in each region")?;
        writeln!(
            text,
            "  {products} products in {carts} carts, {quantity} pieces added in all; not checked: \
             {deleted_carts} deleted carts, {taken_out} products taken out, {unclear} unclear"
        )?;
        if self.ok {
            return writeln!(
                text,
                "\nOK: no addition was lost, and all regions hold the same bytes."
            );
        }
        writeln!(text, "\nWRONG:")?;
        self.failures.iter().try_for_each(|failure| writeln!(text, "  {failure}"))
    }
}

impl Story {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { conflict_id, cart, product, ancestor, sides, merged } = self;
        writeln!(text, "\nOne cart's story: {cart}, conflict {conflict_id}")?;
        let names = sides.iter().map(|side| side.region.len());
        let width = names.chain(["both had seen".len()]).max().unwrap_or_default();
        writeln!(text, "  {:<width$}  {ancestor}", "both had seen")?;
        for side in sides {
            writeln!(text, "  {:<width$}  {}", side.region, side.cart)?;
        }
        writeln!(text, "  {:<width$}  {merged}", "merged")?;
        let before = ancestor.quantity(product);
        let added: Vec<String> =
            sides.iter().map(|side| (side.cart.quantity(product) - before).to_string()).collect();
        writeln!(
            text,
            "  {product}: {before} + {} = {}",
            added.join(" + "),
            merged.quantity(product)
        )
    }
}
