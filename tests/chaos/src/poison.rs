//! What a foreign producer writes into the topics of a region.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
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
        let admin: AdminClient<DefaultClientContext> = config(broker)?.create()?;
        let deleting = admin.delete_topics(&[topic], &AdminOptions::new());
        let deleted = tokio::runtime::Builder::new_current_thread().build()?.block_on(deleting)?;
        for result in deleted {
            result.map_err(|(topic, code)| anyhow::anyhow!("delete {topic}: {code}"))?;
        }
        Ok(())
    }
}

/// A record that is none.
pub(crate) struct Poison {
    pub(crate) is_control: bool,
    pub(crate) partition: i32,
    pub(crate) key: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Poison {
    pub(crate) fn topic(&self, region: &str) -> String {
        let kind = if self.is_control { "control" } else { "changes" };
        format!("syncline.{kind}.{region}")
    }

    /// Of every kind one; `other` is another region than the one whose topic it stands in.
    pub(crate) fn all(region: &str, other: &str) -> Vec<Self> {
        let change = |of: &str, pk: &str, hlc: &str, context: &str, image: &str| {
            format!(
                "{{\"v\":1,\"event_id\":\"00000000-0000-7000-8000-000000000000\",\"region_id\":\"{of}\",\
                 \"incarnation\":1,\"table_name\":\"notes\",\"row_pk\":\"{pk}\",\"operation\":\"insert\",\
                 \"hlc_timestamp\":\"{hlc}\",\"prev\":\"0.00000\",\
                 \"committed_at\":\"2026-11-20T19:33:32.955Z\",\"context\":{context},\
                 \"before_image\":null,\"after_image\":{image},\"merge_function\":null,\
                 \"schema_version\":1,\"region_tags\":[\"{of}\"]}}"
            )
        };
        let regions = (0..5_000).map(|n| format!("\"r{n}\":\"1.00000\"")).collect::<Vec<_>>();
        let giant = format!("{{{}}}", regions.join(","));
        let nested = format!("{}1{}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
        let rows = [
            ("garbage", vec![0, 159, 146, 150, 255]),
            ("empty", Vec::new()),
            ("no record", b"{}".to_vec()),
            ("cut", change(region, "x", "1.00000", "{}", "{}").as_bytes()[..90].to_vec()),
            ("deep", change(region, "x", "1.00000", "{}", &nested).into_bytes()),
            ("giant vector", change(region, "x", "1.00000", &giant, "{}").into_bytes()),
            ("no canonical image", change(region, "x", "1.00000", "{}", "{\"b\": 1}").into_bytes()),
            ("year 2201", change(region, "x", "7289654400000.00000", "{}", "{}").into_bytes()),
            ("another region's", change(other, "x", "1.00000", "{}", "{}").into_bytes()),
            ("large", vec![b'x'; 3 << 20]),
        ];
        let record = |is_control: bool, name: &str, payload: Vec<u8>| Self {
            is_control,
            partition: 0,
            key: name.as_bytes().to_vec(),
            payload,
        };
        let mut all: Vec<Self> =
            rows.into_iter().map(|(name, payload)| record(false, name, payload)).collect();
        all.push(record(true, "garbage", b"{\"v\":1,\"kind\":".to_vec()));
        all
    }
}
