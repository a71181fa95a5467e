//! Clients of a cluster: how they are set up, and what they tell.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

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
            let mut config = self.config();
            // It is to ask nobody.
            config.remove("bootstrap.servers");
            let _: BaseConsumer<Told> = config.create_with_context(Told::default())?;
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

/// An error that is older than this does not explain what fails now. The client says each once in 30
/// seconds.
const TOLD_FOR: Duration = Duration::from_secs(90);
/// Of several brokers that fail in several ways one is told for so long.
const TELL_ONE_FOR: Duration = Duration::from_secs(10);

/// Passes on to our log what a client tells, and keeps the last error: what it answers when it is
/// asked something says no more than that the time is up.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<Option<Heard>>>);

struct Heard {
    at: Instant,
    code: Option<RDKafkaErrorCode>,
    what: String,
}

impl Told {
    /// The last error that is not too old to explain what fails now.
    pub(super) fn last(&self) -> Option<String> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = heard.as_ref().filter(|heard| heard.at.elapsed() < TOLD_FOR);
        fresh.map(|heard| heard.what.clone())
    }

    /// All is well again: what was wrong explains nothing that comes later.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn keep(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That no broker is left follows from what each of them said.
        let says_less = code == Some(RDKafkaErrorCode::AllBrokersDown);
        let keeps = heard.as_ref().is_some_and(|heard| {
            let kept_for = if says_less { TOLD_FOR } else { TELL_ONE_FOR };
            heard.code != Some(RDKafkaErrorCode::AllBrokersDown) && heard.at.elapsed() < kept_for
        });
        if !keeps {
            let what = without_duration(reason).to_owned();
            *heard = Some(Heard { at: Instant::now(), code, what });
        }
    }
}

/// Without how long it took, which is never the same: "(after 3ms in state CONNECT)".
fn without_duration(reason: &str) -> &str {
    reason.rfind(" (after ").map_or(reason, |at| &reason[..at])
}

/// What a cluster or its client answered: the source of each [`BusError::Kafka`].
#[derive(Debug)]
pub(super) struct Failed {
    error: Box<KafkaError>,
    /// The topic that it is about, where the error does not say.
    about: Option<String>,
    /// What the client had said shortly before.
    told: Option<String>,
}

impl From<KafkaError> for Failed {
    fn from(error: KafkaError) -> Self {
        Self { error: Box::new(error), about: None, told: None }
    }
}

impl Failed {
    pub(super) fn about(error: KafkaError, about: impl Into<String>) -> Self {
        Self { error: Box::new(error), about: Some(about.into()), told: None }
    }

    pub(super) fn after(error: KafkaError, told: &Told) -> Self {
        Self { error: Box::new(error), about: None, told: told.last() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.told, &self.about) {
            (Some(told), _) if is_vague(&self.error) => f.write_str(told),
            (_, Some(about)) => write!(f, "{about}: {}", self.error),
            _ => self.error.fmt(f),
        }
    }
}

/// The same error, with what the client had said shortly before.
pub(super) fn after(error: BusError, told: &Told) -> BusError {
    let BusError::Kafka { region, servers, action, source } = error else { return error };
    let source = match source.downcast::<Failed>() {
        Ok(failed) => Box::new(Failed { told: told.last(), ..*failed }),
        Err(source) => source,
    };
    BusError::Kafka { region, servers, action, source }
}

impl std::error::Error for Failed {}

/// It only says that nothing came of it; what the client says of its connections says why.
fn is_vague(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    };
    matches!(
        code,
        Some(
            Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::MessageTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::Authentication
                | Code::SSL
        )
    )
}

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
        self.keep(error.rdkafka_error_code(), reason);
        tracing::info!(target: "librdkafka", %error, reason);
    }
}

impl ConsumerContext for Told {}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    const REFUSED: &str =
        "h:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused";

    fn error(told: &Told, code: Code, reason: &str) {
        told.error(KafkaError::Global(code), reason);
    }

    #[test]
    fn what_was_told_first_is_kept_for_a_while() {
        let told = Told::default();
        assert_eq!(told.last(), None);
        error(&told, Code::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(told.last().as_deref(), Some("1/1 brokers are down"));
        // It says more, and without what is never the same.
        let refused = format!("{REFUSED} (after 3ms in state CONNECT)");
        error(&told, Code::BrokerTransportFailure, &refused);
        error(&told, Code::AllBrokersDown, "1/1 brokers are down");
        error(&told, Code::Resolve, "another broker");
        assert_eq!(told.last().as_deref(), Some(REFUSED));
        let age = |by: Duration| {
            let mut heard = told.0.lock().unwrap();
            let heard = heard.as_mut().unwrap();
            heard.at = heard.at.checked_sub(by).unwrap();
        };
        age(TELL_ONE_FOR);
        error(&told, Code::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(told.last().as_deref(), Some(REFUSED));
        error(&told, Code::Resolve, "another broker");
        assert_eq!(told.last().as_deref(), Some("another broker"));
        age(TOLD_FOR);
        assert_eq!(told.last(), None);
    }

    #[test]
    fn a_client_tells_why_where_the_cluster_says_nothing() {
        let told = Told::default();
        error(&told, Code::Authentication, "SASL authentication error: Authentication failed");
        let after = |error| Failed::after(error, &told).to_string();
        let timed_out = || KafkaError::AdminOp(Code::OperationTimedOut);
        assert_eq!(after(timed_out()), "SASL authentication error: Authentication failed");
        assert_eq!(
            after(KafkaError::MetadataFetch(Code::BrokerTransportFailure)),
            "SASL authentication error: Authentication failed"
        );
        // What the cluster itself says is more.
        let refused = || KafkaError::AdminOp(Code::TopicAuthorizationFailed);
        assert!(after(refused()).contains("TopicAuthorizationFailed"));
        let about = Failed::about(refused(), "syncline.control.b").to_string();
        assert!(about.starts_with("syncline.control.b: "), "{about}");
        assert!(Failed::from(timed_out()).to_string().contains("OperationTimedOut"));
    }
}
