//! Clients of a cluster: how they are set up, and what they tell.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::topics::MESSAGE_BYTES_MAX;
use crate::BusError;

/// Where a region's cluster is.
#[derive(Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Addresses of some of its brokers, `host:port`, with commas between.
    pub bootstrap_servers: String,
    /// How to connect: `security.protocol`, and properties of librdkafka that begin with `ssl.` or
    /// `sasl.`. Every other property is the bus's own, as its promises rest on it.
    pub security: BTreeMap<String, String>,
}

impl fmt::Debug for Cluster {
    /// The names of the properties only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let security: Vec<&String> = self.security.keys().collect();
        f.debug_struct("Cluster")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("security", &security)
            .finish()
    }
}

impl Cluster {
    /// That it can be connected to with what is set, as far as that can be told without trying.
    pub(super) fn check(&self, region: &str) -> Result<(), BusError> {
        let wrong = |reason: String| BusError::Cluster { region: region.to_owned(), reason };
        for name in self.security.keys() {
            let ours = name == "security.protocol"
                || name.starts_with("ssl.")
                || name.starts_with("sasl.");
            if !ours {
                let reason = format!(
                    "{name:?} cannot be set: only security.protocol and what begins with ssl. or \
                     sasl. can"
                );
                return Err(wrong(reason));
            }
        }
        if self.bootstrap_servers.trim().is_empty() {
            return Err(wrong("it has no bootstrap servers".into()));
        }
        match self.config().create_native_config().and_then(|_| self.try_security()) {
            Ok(()) => Ok(()),
            // What the client says may repeat the value, which may be a secret.
            Err(KafkaError::ClientConfig(_, what, name, value)) => {
                let what = if value.is_empty() { what } else { what.replace(&value, "…") };
                Err(wrong(format!("{name}: {what}{}", lacks_tls(&what))))
            }
            Err(error) => Err(wrong(format!("{error}{}", lacks_tls(&error.to_string())))),
        }
    }

    /// Some of what can be set is looked at only by a client: files that it names, and whether it was
    /// built with what is asked for.
    fn try_security(&self) -> Result<(), KafkaError> {
        if !self.security.is_empty() {
            let _: BaseConsumer<Told> = self.config().create_with_context(Told)?;
        }
        Ok(())
    }

    /// What every client has in common.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "syncline")
            // Topics are made by their region, with their settings, and by nobody's question.
            .set("allow.auto.create.topics", "false")
            // A cluster that comes back after an hour is noticed within seconds.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            // An idle connection is closed by the broker now and then, which means nothing.
            .set("log.connection.close", "false");
        for (name, value) in &self.security {
            config.set(name, value);
        }
        config
    }

    /// For reading.
    pub(super) fn consumer_config(&self) -> ClientConfig {
        let mut config = self.config();
        config
            // librdkafka assigns partitions only where a group is named. None is joined.
            .set("group.id", "syncline")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false")
            // A process that was stopped for an hour has left no group, as it is in none.
            .set("max.poll.interval.ms", "86400000")
            .set("check.crcs", "true")
            // A foreign transaction that is never ended must not hold up the log.
            .set("isolation.level", "read_uncommitted")
            // A new lane is read once the request before it is answered.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "10")
            // There may be 64 such clients: what each reads ahead is bounded.
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.max.bytes", (2 * MESSAGE_BYTES_MAX).to_string());
        config
    }

    /// For appending.
    pub(super) fn producer_config(&self) -> ClientConfig {
        let mut config = self.config();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // A record is never given up: the outbox would only send it again.
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set("compression.type", "zstd")
            .set("linger.ms", "1")
            .set("queue.buffering.max.kbytes", "131072");
        config
    }
}

/// What to do where a client says that it was built without TLS.
fn lacks_tls(said: &str) -> &'static str {
    let said = said.to_ascii_lowercase();
    let is_it = said.contains("openssl") || said.contains("no provider for sasl");
    if !cfg!(feature = "tls") && is_it {
        ": this build of Syncline has neither TLS nor SCRAM: build it with --features tls"
    } else {
        ""
    }
}

/// Passes on to our log what a client tells.
pub(super) struct Told;

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", facility, message);
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                // Each failed connection is one of these; readers and publishers say it once.
                tracing::info!(target: "librdkafka", facility, message);
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, message);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::info!(target: "librdkafka", %error, reason);
    }
}

impl ConsumerContext for Told {}
