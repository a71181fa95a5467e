//! Records of Kafka into items.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaErrorCode;

use crate::{Envelope, Item};

/// What a record of Kafka is to the bus. Anyone who may write to the topic may have written it.
pub(super) fn item(message: &BorrowedMessage<'_>) -> Item {
    let payload = message.payload().unwrap_or_default();
    let corrupt = |reason: &str| Item::Corrupt { raw: payload.to_vec(), reason: reason.to_owned() };
    let Ok(key) = std::str::from_utf8(message.key().unwrap_or_default()) else {
        return corrupt("its key is not UTF-8");
    };
    match headers(message) {
        Ok(headers) => {
            Item::Record(Envelope { key: key.to_owned(), headers, payload: payload.to_vec() })
        }
        Err(reason) => corrupt(reason),
    }
}

/// Read past the library around librdkafka, which panics at a name that is not UTF-8.
fn headers(message: &BorrowedMessage<'_>) -> Result<Vec<(String, String)>, &'static str> {
    let mut list: *mut rd_kafka_headers_t = ptr::null_mut();
    // SAFETY: the message is alive, and keeps what the list points to.
    let code = unsafe { rd_kafka_message_headers(message.ptr(), &mut list) };
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => {}
        RDKafkaErrorCode::NoEnt => return Ok(Vec::new()),
        _ => return Err("its headers cannot be read"),
    }
    let mut headers = Vec::new();
    loop {
        let (mut name, mut value): (*const c_char, *const c_void) = (ptr::null(), ptr::null());
        let mut len = 0;
        // SAFETY: the list belongs to the message, which is alive; an index behind the last header
        // is answered by an error.
        let code = unsafe {
            rd_kafka_header_get_all(list, headers.len(), &mut name, &mut value, &mut len)
        };
        if RDKafkaErrorCode::from(code) != RDKafkaErrorCode::NoError {
            return Ok(headers);
        }
        // SAFETY: librdkafka ends a name with a zero, and gives a value with its length; both live
        // as long as the message.
        let (name, value) = unsafe {
            let value = if value.is_null() {
                &[][..]
            } else {
                std::slice::from_raw_parts(value.cast::<u8>(), len)
            };
            (CStr::from_ptr(name), value)
        };
        match (name.to_str(), std::str::from_utf8(value)) {
            (Ok(name), Ok(value)) => headers.push((name.to_owned(), value.to_owned())),
            _ => return Err("a header of it is not UTF-8"),
        }
    }
}
