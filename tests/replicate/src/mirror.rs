//! MirrorMaker 2, copying a topic from one broker to the other.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use syncline_broker::Jars;
use syncline_harness::{PATIENCE, Process, wait_for};

use crate::process;
use crate::report::Moved;
use crate::topic::{Topic, is_whole};

/// As the settings' authors and users have them where throughput counts, and nothing waits long: two
/// tasks, batches of 128 KiB that wait 5 ms at most. Nothing but the topic is copied. A pause is no
/// reason for the worker to leave its group, which is named after the cluster that it copies from.
const PROPERTIES: &str = "\
clusters = @NAME@, to
@NAME@.bootstrap.servers = @FROM@
to.bootstrap.servers = @TO@
@NAME@->to.enabled = true
to->@NAME@.enabled = false
@NAME@->to.topics = @TOPIC@
replication.factor = 1
offset-syncs.topic.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1
tasks.max = 2
emit.heartbeats.enabled = false
emit.checkpoints.enabled = false
sync.topic.acls.enabled = false
sync.topic.configs.enabled = false
refresh.groups.enabled = false
refresh.topics.interval.seconds = 5
consumer.poll.timeout.ms = 100
@NAME@.consumer.fetch.max.wait.ms = 10
to.producer.linger.ms = 5
to.producer.batch.size = 131072
to.session.timeout.ms = 600000
to.rebalance.timeout.ms = 600000
dedicated.mode.enable.internal.rest = false
";
const OPTIONS: [&str; 4] = ["-server", "-Xms96m", "-Xmx512m", "-XX:+UseSerialGC"];

/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(10);

/// MirrorMaker 2, stopped where it is: it has copied all that there was.
pub struct Mirror {
    process: Process,
    copy: Topic,
}

impl Mirror {
    /// Starts it, and pauses it once it copies. `from` and `to` are addresses of brokers; `name` is
    /// new to them.
    ///
    /// # Errors
    /// It does not start, or copies nothing.
    pub fn start(
        jars: &Jars,
        folder: &Path,
        [from, to]: [&str; 2],
        name: &str,
        (topic, original): (&str, &Topic),
    ) -> Result<Self> {
        fs::create_dir_all(folder).context("make a folder for MirrorMaker 2")?;
        let settings = folder.join("mirror.properties");
        let text = PROPERTIES.replace("@FROM@", from).replace("@TO@", to).replace("@NAME@", name);
        fs::write(&settings, text.replace("@TOPIC@", &topic.replace('.', "\\\\.")))
            .context("write the settings of MirrorMaker 2")?;
        let copy = Topic::of(to, format!("{name}.{topic}"), original.partitions())?;
        let mut process = Process::new("MirrorMaker 2", folder.join("log"));
        let mut java = jars.program("org.apache.kafka.connect.mirror.MirrorMaker", &OPTIONS);
        process.start(java.arg(&settings), &[])?;
        wait_for("MirrorMaker 2 to copy", PATIENCE, || {
            let there = original.ends().context("the topic is not there")?;
            let copied = copy.ends().context("nothing is copied")?;
            ensure!(is_whole(&copied, &there), "{copied:?} of {there:?} are copied");
            Ok(())
        })
        .with_context(|| process.log())?;
        process.pause()?;
        Ok(Self { process, copy })
    }

    /// Has it go on until its copy is as long as this, and end.
    ///
    /// # Errors
    /// It does not come to the end.
    pub fn measure(mut self, original: &[i64], deadline: Duration) -> Result<Moved> {
        let pid = self.process.id().context("MirrorMaker 2 has ended")?;
        let before = self.copy.ends().context("the copy is gone")?;
        let records: i64 = original.iter().sum::<i64>() - before.iter().sum::<i64>();
        let cpu = process::cpu(pid)?;
        let started = Instant::now();
        self.process.resume()?;
        while !self.copy.ends().is_some_and(|copied| is_whole(&copied, original)) {
            ensure!(started.elapsed() < deadline, "it takes too long:\n{}", self.process.log());
            std::thread::sleep(LOOK);
        }
        let elapsed = started.elapsed();
        let copied = Moved {
            records: records.max(0) as u64,
            elapsed,
            cpu: process::cpu(pid)?.saturating_sub(cpu),
            brokers_cpu: Duration::ZERO,
            resident_mib: process::resident_mib(pid)?,
        };
        self.process.kill9()?;
        Ok(copied)
    }
}
