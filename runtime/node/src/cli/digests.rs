//! `syncline digests`: do regions hold the same bytes?

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::args::{DigestsArgs, Shared};
use super::client::Client;
use super::failure::Failure;
use super::output::{self, Output, printable};

/// What a region holds.
#[derive(Debug, Deserialize)]
struct Digests {
    region: String,
    /// For each region, by partition, the HLC of its last change that was taken here.
    applied: BTreeMap<String, Vec<String>>,
    waiting: u64,
    tables: BTreeMap<String, TableDigest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct TableDigest {
    rows: u64,
    digest: String,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Equal,
    Different,
    /// One region has not applied what another has, so that a difference would mean nothing.
    NotComparable,
}

pub(super) fn run(args: &DigestsArgs, shared: &Shared, out: &Output) -> Result<(), Failure> {
    let urls: Vec<&String> = [&shared.url].into_iter().chain(&args.compare).collect();
    let mut regions = Vec::new();
    let mut bodies: Vec<Box<RawValue>> = Vec::new();
    for url in urls {
        let client = Client::new(url, shared.token.as_deref());
        let answer = client.get("/v1/digests", &[])?;
        regions.push(client.decode::<Digests>(&answer)?);
        bodies.push(client.decode(&answer)?);
    }
    if args.compare.is_empty() {
        return match &bodies[..] {
            [body] if out.is_json() => out.json(body),
            _ => out.text(&table(&regions)),
        };
    }
    let (verdict, reasons) = compare(&regions);
    if out.is_json() {
        out.json(&json!({ "verdict": verdict, "reasons": reasons, "regions": bodies }))?;
    } else {
        out.text(&format!("{}\n{}", table(&regions), verdict.text(&regions, &reasons)))?;
    }
    match verdict {
        Verdict::Equal => Ok(()),
        Verdict::Different => Err(Failure::Difference),
        Verdict::NotComparable => {
            Err(Failure::Failed("the regions cannot be compared yet".to_owned()))
        }
    }
}

fn table(regions: &[Digests]) -> String {
    let mut rows = Vec::new();
    for region in regions {
        for (name, TableDigest { rows: count, digest }) in &region.tables {
            rows.push([region.region.clone(), name.clone(), count.to_string(), digest.clone()]);
        }
        if region.tables.is_empty() {
            rows.push([region.region.clone(), "-".into(), "0".into(), String::new()]);
        }
    }
    output::table(["REGION", "TABLE", "ROWS", "DIGEST"], &rows)
}

/// Compares the first region with each of the others.
fn compare(regions: &[Digests]) -> (Verdict, Vec<String>) {
    let Some((first, others)) = regions.split_first() else { return (Verdict::Equal, Vec::new()) };
    let mut why_not: Vec<String> = regions
        .iter()
        .filter(|region| region.waiting > 0)
        .map(|region| {
            format!("{}: {} changes wait for what they build on", region.region, region.waiting)
        })
        .collect();
    why_not.extend(others.iter().flat_map(|other| applied_differences(first, other)));
    if !why_not.is_empty() {
        return (Verdict::NotComparable, why_not);
    }
    let differences: Vec<String> =
        others.iter().flat_map(|other| table_differences(first, other)).collect();
    let equal = differences.is_empty();
    (if equal { Verdict::Equal } else { Verdict::Different }, differences)
}

/// In which regions' changes one is ahead of the other.
fn applied_differences(a: &Digests, b: &Digests) -> Vec<String> {
    let origins: BTreeSet<&String> = a.applied.keys().chain(b.applied.keys()).collect();
    let differs = |origin: &String| {
        let (of_a, of_b) = (taken(a, origin), taken(b, origin));
        let partitions = of_a.len().max(of_b.len());
        let at = |of: &[String], i: usize| hlc_key(of.get(i).map_or("0.0", String::as_str));
        let count = (0..partitions).filter(|i| at(of_a, *i) != at(of_b, *i)).count();
        (count > 0).then(|| {
            format!(
                "{} and {} have not taken the same changes of {origin}, in {count} of \
                 {partitions} partitions",
                a.region, b.region
            )
        })
    };
    origins.into_iter().filter_map(differs).collect()
}

fn taken<'a>(region: &'a Digests, origin: &str) -> &'a [String] {
    region.applied.get(origin).map_or(&[], Vec::as_slice)
}

/// An HLC's two numbers: nothing taken yet is the same as 0, however many digits it has.
fn hlc_key(hlc: &str) -> (Option<u64>, Option<u64>) {
    let (ms, counter) = hlc.split_once('.').unwrap_or((hlc, "0"));
    (ms.parse().ok(), counter.parse().ok())
}

fn table_differences(a: &Digests, b: &Digests) -> Vec<String> {
    let names: BTreeSet<&String> = a.tables.keys().chain(b.tables.keys()).collect();
    let of = |region: &Digests, name: &String| region.tables.get(name).cloned();
    // A table in which every row was deleted holds what one holds that was never written.
    let holds = |region: &Digests, name: &String| of(region, name).filter(|t| t.rows > 0);
    let shown = |table: Option<TableDigest>| {
        table.map_or_else(|| "no rows".into(), |t| format!("{} rows, {}", t.rows, t.digest))
    };
    let differs = |name: &&String| holds(a, name) != holds(b, name);
    let line = |name: &String| {
        let (of_a, of_b) = (shown(of(a, name)), shown(of(b, name)));
        format!("table {name}: {} has {of_a}; {} has {of_b}", a.region, b.region)
    };
    names.into_iter().filter(differs).map(line).collect()
}

impl Verdict {
    fn text(self, regions: &[Digests], reasons: &[String]) -> String {
        let heading = match self {
            Self::Equal => format!("equal: all {} regions hold the same bytes", regions.len()),
            Self::Different => "different: the regions applied the same changes".to_owned(),
            Self::NotComparable => "not comparable yet".to_owned(),
        };
        let reasons: String =
            reasons.iter().map(|reason| format!("  {}\n", printable(reason))).collect();
        format!("{heading}\n{reasons}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str, applied: &[(&str, &[&str])], waiting: u64, digest: &str) -> Digests {
        serde_json::from_value(json!({
            "region": name,
            "applied": applied.iter().copied().collect::<BTreeMap<_, _>>(),
            "waiting": waiting,
            "tables": {"carts": {"rows": 2, "digest": digest}},
        }))
        .unwrap()
    }

    const AHEAD: &[(&str, &[&str])] = &[("a", &["5.00001", "7.00000"]), ("b", &["0.00000"])];
    const BEHIND: &[(&str, &[&str])] = &[("a", &["5.00001", "6.00000"])];
    const SAME: &[(&str, &[&str])] = &[("a", &["5.00001", "7.00000"])];

    #[test]
    fn regions_that_took_the_same_are_equal_or_different() {
        let a = || region("a", AHEAD, 0, "d1");
        assert_eq!(compare(&[a(), region("b", SAME, 0, "d1")]), (Verdict::Equal, vec![]));
        let regions = [a(), region("b", SAME, 0, "d2")];
        let (verdict, reasons) = compare(&regions);
        assert_eq!(verdict, Verdict::Different);
        assert_eq!(
            verdict.text(&regions, &reasons),
            "different: the regions applied the same changes\n  \
             table carts: a has 2 rows, d1; b has 2 rows, d2\n"
        );
    }

    #[test]
    fn regions_that_took_different_changes_are_not_compared() {
        let (verdict, why) = compare(&[region("a", AHEAD, 0, "d1"), region("b", BEHIND, 3, "d2")]);
        assert_eq!(verdict, Verdict::NotComparable);
        assert_eq!(
            why,
            [
                "b: 3 changes wait for what they build on",
                "a and b have not taken the same changes of a, in 1 of 2 partitions",
            ]
        );
    }

    #[test]
    fn a_table_without_rows_is_as_good_as_none() {
        let empty = |name: &str| Digests { tables: BTreeMap::new(), ..region(name, SAME, 0, "") };
        let mut emptied = region("b", SAME, 0, "0000");
        emptied.tables.insert("carts".into(), TableDigest { rows: 0, digest: "0000".into() });
        assert_eq!(compare(&[empty("a"), emptied]).0, Verdict::Equal);
        assert_eq!(compare(&[empty("a"), region("b", SAME, 0, "d1")]).0, Verdict::Different);
    }

    #[test]
    fn each_table_of_each_region_has_a_line() {
        let empty = Digests { tables: BTreeMap::new(), ..region("b", SAME, 0, "") };
        insta::assert_snapshot!(table(&[region("a", SAME, 0, "d1"), empty]), @r"
        REGION  TABLE  ROWS  DIGEST
        a       carts  2     d1
        b       -      0
        ");
    }
}
