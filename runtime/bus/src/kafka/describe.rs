//! What a cluster says of topics: that they are there, and which they are.
//!
//! librdkafka asks for a topic's id, the library around it does not; so it is asked directly here.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::Failed;
use super::place::Mark;

/// A topic that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) partitions: u32,
    /// Of its first partition.
    pub(super) replicas: u32,
    pub(super) mark: Mark,
}

/// What librdkafka gave us, and how it is given back.
struct Lent<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from librdkafka with the duty to give it back by this function,
        // and nothing that borrows from it outlives its owner.
        unsafe { (self.1)(self.0) }
    }
}

/// Those of the topics that are there, by name. Asking makes none.
pub(super) fn topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    wait: Duration,
) -> Result<BTreeMap<String, Described>, Failed> {
    let names = names.iter().map(|name| CString::new(*name)).collect::<Result<Vec<_>, _>>();
    let names = names.map_err(KafkaError::from)?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let timeout = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
    let native = client.native_ptr();
    // SAFETY: the client outlives this call, the names outlive the collection, which copies them,
    // and whatever is asked for is given back by its own function when it goes out of scope, the
    // event last taken first. Every pointer into the event is read before it is given back.
    unsafe {
        let queue = Lent(rd_kafka_queue_new(native), rd_kafka_queue_destroy);
        let options = rd_kafka_AdminOptions_new(
            native,
            rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let options = Lent(options, rd_kafka_AdminOptions_destroy);
        let set = rd_kafka_AdminOptions_set_request_timeout(options.0, timeout, ptr::null_mut(), 0);
        accepted(set)?;
        let asked = rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let asked = Lent(asked, rd_kafka_TopicCollection_destroy);
        rd_kafka_DescribeTopics(native, asked.0, options.0, queue.0);
        let event = rd_kafka_queue_poll(queue.0, timeout.saturating_add(SLACK_MS));
        if event.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut).into());
        }
        let event = Lent(event, rd_kafka_event_destroy);
        accepted(rd_kafka_event_error(event.0))?;
        let result = rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail).into());
        }
        let mut count = 0;
        let found = rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut described = BTreeMap::new();
        for at in 0..count {
            if let Some((name, topic)) = one(*found.add(at))? {
                described.insert(name, topic);
            }
        }
        Ok(described)
    }
}

/// librdkafka ends the request itself; this is for its answer to arrive.
const SLACK_MS: c_int = 500;

/// # Safety
///
/// The topic must be one of a result that is still held.
unsafe fn one(
    topic: *const rd_kafka_TopicDescription_t,
) -> Result<Option<(String, Described)>, Failed> {
    // SAFETY: the caller holds the result that all of these borrow from; each pointer is checked
    // where it may be null.
    unsafe {
        let name = CStr::from_ptr(rd_kafka_TopicDescription_name(topic)).to_string_lossy();
        let error = rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            match RDKafkaErrorCode::from(rd_kafka_error_code(error)) {
                RDKafkaErrorCode::NoError => {}
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                    return Ok(None);
                }
                code => return Err(Failed::about(KafkaError::AdminOp(code), name)),
            }
        }
        let mut partitions = 0;
        let list = rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let mut replicas = 0;
        if partitions > 0 {
            rd_kafka_TopicPartitionInfo_replicas(*list, &mut replicas);
        }
        let id = rd_kafka_TopicDescription_topic_id(topic);
        let mark = if id.is_null() {
            Mark::default()
        } else {
            let high = rd_kafka_Uuid_most_significant_bits(id) as u64;
            Mark::of(high, rd_kafka_Uuid_least_significant_bits(id) as u64)
        };
        let bounded = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (partitions, replicas) = (bounded(partitions), bounded(replicas));
        let described = Described { partitions, replicas, mark };
        Ok(Some((name.into_owned(), described)))
    }
}

fn accepted(code: rd_kafka_resp_err_t) -> Result<(), KafkaError> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::AdminOp(code)),
    }
}
