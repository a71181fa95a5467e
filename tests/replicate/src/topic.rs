//! How long a topic is.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Looks at a topic, and reads nothing.
pub struct Topic {
    client: BaseConsumer,
    name: String,
    partitions: u32,
}

impl Topic {
    /// A topic of a cluster, be it there or not.
    ///
    /// # Errors
    /// There is no client to be had.
    pub fn of(servers: &str, name: String, partitions: u32) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("group.id", "syncline-replicate");
        config.set("allow.auto.create.topics", "false");
        let client = config.create().context("make a client of Kafka")?;
        Ok(Self { client, name, partitions })
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Of each partition the offset behind its last record; none where it is not there.
    pub fn ends(&self) -> Option<Vec<i64>> {
        let end = |partition: u32| {
            let partition = i32::try_from(partition).ok()?;
            let marks = self.client.fetch_watermarks(&self.name, partition, ANSWER_WAIT);
            marks.ok().map(|(_, end)| end)
        };
        (0..self.partitions).map(end).collect()
    }
}

/// True if a copy is as long as the original.
pub fn is_whole(copy: &[i64], original: &[i64]) -> bool {
    copy.len() == original.len() && copy.iter().zip(original).all(|(copy, all)| copy >= all)
}
