//! What was measured, for people and for programs.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

/// What moving records came to, from a wake-up to the last of them.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// How many.
    pub records: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The processor time of whoever moved them.
    pub cpu: Duration,
    /// The processor time of both brokers meanwhile.
    pub brokers_cpu: Duration,
    /// The memory of whoever moved them, at the end, in MiB.
    pub resident_mib: u64,
}

/// How long after they were acknowledged changes were applied, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lag {
    /// Writes a second meanwhile.
    pub rate: f64,
    /// Half of them sooner.
    pub p50_ms: u64,
    /// 99 of a hundred sooner.
    pub p99_ms: u64,
    /// How long writes took until they were acknowledged: 99 of a hundred less.
    pub write_p99_ms: u64,
}

/// One workload over one kind of store.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The workload's name.
    pub workload: String,
    /// The store's name.
    pub store: String,
    /// The share of the changes that met another head.
    pub conflicts: f64,
    /// What the receiver came to.
    pub applied: Moved,
    /// What MirrorMaker 2 came to, with the same topic.
    pub mirrored: Option<Moved>,
    /// The lag at half of what both regions can do at once, where it was measured.
    pub lag: Option<Lag>,
}

impl Moved {
    fn per_second(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    fn micros(&self, of: Duration) -> f64 {
        of.as_secs_f64() * 1e6 / self.records.max(1) as f64
    }

    fn json(&self) -> Value {
        json!({
            "records": self.records,
            "seconds": self.elapsed.as_secs_f64(),
            "records_per_second": self.per_second(),
            "cpu_us_per_record": self.micros(self.cpu),
            "brokers_cpu_us_per_record": self.micros(self.brokers_cpu),
            "resident_mib": self.resident_mib,
        })
    }
}

impl Lag {
    /// Of lags, and of what writes took, in milliseconds.
    pub fn of(mut lags: Vec<u64>, mut writes: Vec<u64>, rate: f64) -> Self {
        let [p50_ms, p99_ms] = [50, 99].map(|share| quantile(&mut lags, share));
        Self { rate, p50_ms, p99_ms, write_p99_ms: quantile(&mut writes, 99) }
    }
}

impl Measured {
    /// Half of the writes a second that both regions can do beside each other on one machine, where
    /// the origin alone has done so many.
    pub fn half_load(&self, written: f64) -> f64 {
        0.5 / (1.0 / written + 1.0 / self.applied.per_second())
    }

    /// Records a second beside MirrorMaker 2.
    fn beside_mirror(&self) -> Option<f64> {
        let mirrored = self.mirrored.as_ref()?;
        Some(self.applied.per_second() / mirrored.per_second())
    }

    /// Records a second beside the same store and keys without conflicts, of the same run.
    fn beside_none(&self, all: &[Self]) -> Option<f64> {
        let keys = self.workload.split('-').next()?;
        let none = all.iter().find(|other| other.store == self.store && other.workload == keys)?;
        (none.workload != self.workload)
            .then(|| self.applied.per_second() / none.applied.per_second())
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { applied, mirrored, lag, .. } = self;
        let (pace, cpu) = (applied.per_second(), applied.micros(applied.cpu));
        write!(f, "applied {pace:.0} a second at {cpu:.1} µs")?;
        if let Some(mirrored) = mirrored {
            let (pace, cpu) = (mirrored.per_second(), mirrored.micros(mirrored.cpu));
            write!(f, "; MirrorMaker 2 copied {pace:.0} at {cpu:.1} µs")?;
        }
        if let Some(Lag { rate, p50_ms, p99_ms, write_p99_ms }) = lag {
            write!(f, "; lag at {rate:.0} a second: {p50_ms} ms, of one in a hundred {p99_ms} ms")?;
            write!(f, ", whose writes took {write_p99_ms} ms")?;
        }
        Ok(())
    }
}

/// For programs.
pub fn json(all: &[Measured]) -> Value {
    let one = |measured: &Measured| {
        json!({
            "workload": measured.workload,
            "store": measured.store,
            "conflicts": measured.conflicts,
            "applied": measured.applied.json(),
            "mirrored": measured.mirrored.as_ref().map(Moved::json),
            "lag": measured.lag,
            "beside_mirror": measured.beside_mirror(),
            "beside_none": measured.beside_none(all),
        })
    };
    json!({ "measured": all.iter().map(one).collect::<Vec<_>>() })
}

/// For people: a table in Markdown.
pub fn table(all: &[Measured]) -> String {
    let mut table = String::from(
        "| store | workload | conflicts | records/s | CPU µs | brokers µs | RSS MiB | \
         MM2 records/s | MM2 CPU µs | x MM2 | x none | lag at | p50 ms | p99 ms | \
         write p99 ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for measured in all {
        let Measured { workload, store, conflicts, applied, mirrored, lag } = measured;
        let mirrored = mirrored.as_ref();
        let cells = [
            store.clone(),
            workload.clone(),
            format!("{:.0} %", conflicts * 100.0),
            format!("{:.0}", applied.per_second()),
            format!("{:.1}", applied.micros(applied.cpu)),
            format!("{:.1}", applied.micros(applied.brokers_cpu)),
            applied.resident_mib.to_string(),
            cell(mirrored.map(|moved| format!("{:.0}", moved.per_second()))),
            cell(mirrored.map(|moved| format!("{:.1}", moved.micros(moved.cpu)))),
            cell(measured.beside_mirror().map(|ratio| format!("{ratio:.2}"))),
            cell(measured.beside_none(all).map(|ratio| format!("{ratio:.2}"))),
            cell(lag.map(|lag| format!("{:.0}/s", lag.rate))),
            cell(lag.map(|lag| lag.p50_ms.to_string())),
            cell(lag.map(|lag| lag.p99_ms.to_string())),
            cell(lag.map(|lag| lag.write_p99_ms.to_string())),
        ];
        // Writing into memory cannot fail.
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

/// So many of a hundred are less.
fn quantile(values: &mut [u64], share: usize) -> u64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get((values.len() * share / 100).min(last)).copied().unwrap_or_default()
}

fn cell(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(records: u64, millis: u64) -> Moved {
        Moved {
            records,
            elapsed: Duration::from_millis(millis),
            cpu: Duration::from_millis(millis * 2),
            brokers_cpu: Duration::from_millis(millis / 2),
            resident_mib: 300,
        }
    }

    fn measured(workload: &str, store: &str, millis: u64) -> Measured {
        Measured {
            workload: workload.into(),
            store: store.into(),
            conflicts: 0.1,
            applied: moved(1000, millis),
            mirrored: None,
            lag: None,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_store_and_its_keys() {
        let mut all = vec![
            measured("uniform", "sled", 100),
            measured("skewed", "fjall", 10),
            measured("uniform", "fjall", 50),
            measured("uniform-cart-10", "fjall", 200),
        ];
        all[2].mirrored = Some(moved(1000, 25));
        let ratios = |all: &[Measured]| {
            let of = |measured: &Measured| (measured.beside_mirror(), measured.beside_none(all));
            all.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(
            ratios(&all),
            [(None, None), (None, None), (Some(0.5), None), (None, Some(0.25))]
        );
        let json = json(&all);
        assert_eq!(json["measured"][2]["applied"]["records_per_second"], 20_000.0);
        assert_eq!(json["measured"][2]["mirrored"]["cpu_us_per_record"], 50.0);
        assert_eq!(json["measured"][3]["beside_none"], 0.25);
    }

    #[test]
    fn the_load_is_half_of_what_both_can_do() {
        let measured = measured("uniform", "sled", 50);
        assert_eq!(measured.half_load(20_000.0).round(), 5000.0);
    }

    #[test]
    fn lags_are_told_by_their_rank() {
        let lag = Lag::of((1..=1000).rev().collect(), vec![5, 9], 7.0);
        assert_eq!((lag.p50_ms, lag.p99_ms, lag.write_p99_ms), (501, 991, 9));
        let none = Lag { rate: 7.0, p50_ms: 0, p99_ms: 0, write_p99_ms: 0 };
        assert_eq!(Lag::of(Vec::new(), Vec::new(), 7.0), none);
    }

    #[test]
    fn each_row_of_the_table_has_all_cells() {
        let mut all =
            vec![measured("uniform", "sled", 100), measured("uniform-lww-10", "sled", 200)];
        all[0].lag = Some(Lag { rate: 5000.0, p50_ms: 4, p99_ms: 20, write_p99_ms: 9 });
        let table = table(&all);
        let cells = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| cells(line) == 16), "{table}");
        assert!(
            table.contains("| sled | uniform | 10 % | 10000 | 200.0 | 50.0 | 300 | – |"),
            "{table}"
        );
        assert!(table.contains("| 0.50 | – | – | – | – |\n"), "{table}");
    }
}
