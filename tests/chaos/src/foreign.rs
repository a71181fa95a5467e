//! Somebody who writes into the topics of a region, or changes them, and is none.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, ResourceSpecifier,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::{Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use syncline_broker::Broker;

const WAIT: Duration = Duration::from_secs(30);

/// A client of one broker that is none of a region.
pub(crate) struct Foreign(BaseProducer);

fn config(broker: &Broker) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address().context("a broker has an address")?);
    Ok(config)
}

impl Foreign {
    pub(crate) fn producer(broker: &Broker) -> Result<Self> {
        let mut config = config(broker)?;
        Ok(Self(config.set("message.max.bytes", "4194304").create()?))
    }

    pub(crate) fn send(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        payload: &[u8],
    ) -> Result<()> {
        self.produce(BaseRecord::to(topic).partition(partition).key(key).payload(payload))?;
        self.0.flush(WAIT).context("produce a foreign record")
    }

    fn produce(&self, record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        self.0.send(record).map_err(|(error, _)| error).context("produce a foreign record")
    }

    /// Copies what stands in a topic now into another, partition by partition.
    pub(crate) fn copy(&self, from: &Broker, topic: &str, to: &str) -> Result<usize> {
        let mut config = config(from)?;
        config.set("group.id", "foreign").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        let metadata = consumer.fetch_metadata(Some(topic), WAIT)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let mut left = 0;
        let mut all = TopicPartitionList::new();
        let mut ends = Vec::new();
        for partition in 0..partitions as i32 {
            let (start, end) = consumer.fetch_watermarks(topic, partition, WAIT)?;
            all.add_partition_offset(topic, partition, Offset::Offset(start))?;
            ends.push(end);
            left += usize::try_from(end - start)?;
        }
        consumer.assign(&all)?;
        let (count, until) = (left, Instant::now() + WAIT);
        while left > 0 {
            if Instant::now() > until {
                bail!("{left} of {count} records of {topic} did not come");
            }
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message?;
            // A copy of what was copied into the same topic meanwhile is left out.
            if message.offset() >= ends[usize::try_from(message.partition())?] {
                continue;
            }
            left -= 1;
            let mut record = BaseRecord::to(to)
                .partition(message.partition())
                .key(message.key().unwrap_or_default())
                .payload(message.payload().unwrap_or_default());
            if let Some(headers) = message.headers() {
                let empty = OwnedHeaders::new_with_capacity(headers.count());
                record =
                    record.headers(headers.iter().fold(empty, |all, header| all.insert(header)));
            }
            self.produce(record)?;
        }
        self.0.flush(WAIT).context("produce foreign records")?;
        Ok(count)
    }

    pub(crate) fn delete_topic(broker: &Broker, topic: &str) -> Result<()> {
        let admin = admin(broker)?;
        let deleted = wait(admin.delete_topics(&[topic], &AdminOptions::new()))?;
        for result in deleted {
            result.map_err(|(topic, code)| anyhow!("delete {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Removes all records that stand in a topic now, as its retention does. Answers how many.
    pub(crate) fn delete_records(broker: &Broker, topic: &str) -> Result<usize> {
        let consumer: BaseConsumer = config(broker)?.create()?;
        let metadata = consumer.fetch_metadata(Some(topic), WAIT)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let (mut ends, mut count) = (TopicPartitionList::new(), 0);
        for partition in 0..i32::try_from(partitions)? {
            let (start, end) = consumer.fetch_watermarks(topic, partition, WAIT)?;
            ends.add_partition_offset(topic, partition, Offset::Offset(end))?;
            count += usize::try_from(end - start)?;
        }
        wait(admin(broker)?.delete_records(&ends, &AdminOptions::new()))?;
        Ok(count)
    }

    /// Sets one of a topic's settings, and leaves the others. Answers what it was.
    pub(crate) fn set(broker: &Broker, topic: &str, name: &str, value: &str) -> Result<String> {
        let (admin, options) = (admin(broker)?, AdminOptions::new());
        let asked = wait(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options))?;
        let found = asked.into_iter().next().context("a topic has settings")?;
        let found = found.map_err(|code| anyhow!("read the settings of {topic}: {code}"))?;
        let own: Vec<(String, String)> = found
            .entries
            .into_iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic)
            .filter_map(|entry| Some((entry.name, entry.value?)))
            .collect();
        let before = own.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let mut all = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        for (name, value) in own.iter().filter(|(own, _)| own != name) {
            all = all.set(name, value);
        }
        for result in wait(admin.alter_configs(&[all], &options))? {
            result.map_err(|(_, code)| anyhow!("set {name} of {topic}: {code}"))?;
        }
        before.with_context(|| format!("{topic} had no {name} of its own"))
    }

    /// Gives a topic more partitions, up to this count.
    pub(crate) fn grow(broker: &Broker, topic: &str, partitions: usize) -> Result<()> {
        let more = NewPartitions::new(topic, partitions);
        for result in wait(admin(broker)?.create_partitions(&[more], &AdminOptions::new()))? {
            result.map_err(|(topic, code)| anyhow!("add partitions to {topic}: {code}"))?;
        }
        Ok(())
    }
}

fn admin(broker: &Broker) -> Result<AdminClient<DefaultClientContext>> {
    config(broker)?.create().context("connect to a broker")
}

fn wait<T>(answer: impl Future<Output = KafkaResult<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(answer).context("ask a broker")
}
