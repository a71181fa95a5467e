//! Records of Kafka into items.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaErrorCode;

use crate::envelope::append_frame;
use crate::{Envelope, Item};

/// So much of a header's name stands in a reason.
const NAME_CHARS_SHOWN: usize = 80;

/// What a record of Kafka is to the bus. Anyone who may write to the topic may have written it.
pub(super) fn item(message: &BorrowedMessage<'_>) -> Item {
    let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
    match headers(message) {
        Ok(headers) => of_parts(key, &headers, payload),
        Err(reason) => Item::Corrupt { raw: payload.to_vec(), whole: false, reason: reason.into() },
    }
}

/// Names and values.
type RawHeaders<'a> = Vec<(&'a [u8], &'a [u8])>;

fn of_parts(key: &[u8], headers: &RawHeaders<'_>, payload: &[u8]) -> Item {
    let text = |bytes| std::str::from_utf8(bytes).map(str::to_owned);
    let strange = |reason: String| {
        let mut raw = Vec::new();
        append_frame(&mut raw, key, headers.iter().copied(), payload);
        Item::Corrupt { raw, whole: true, reason }
    };
    let key = match text(key) {
        Ok(key) => key,
        Err(error) => {
            return strange(format!("its key is not UTF-8 at byte {}", error.valid_up_to()));
        }
    };
    let mut texts = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        match (text(name), text(value)) {
            (Ok(name), Ok(value)) => texts.push((name, value)),
            (Ok(name), Err(_)) => {
                let name: String = name.chars().take(NAME_CHARS_SHOWN).collect();
                return strange(format!("its header {name:?} is not UTF-8"));
            }
            (Err(_), _) => return strange("the name of a header of it is not UTF-8".to_owned()),
        }
    }
    Item::Record(Envelope { key, headers: texts, payload: payload.to_vec() })
}

/// Read past the library around librdkafka, which panics at a name that is not UTF-8.
fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Result<RawHeaders<'a>, &'static str> {
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
        headers.push((name.to_bytes(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_kept_whole_with_a_reason_of_its_own() {
        let good: RawHeaders<'_> = vec![(b"kind", b"change")];
        let whole = |key, headers: &RawHeaders<'_>| match of_parts(key, headers, b"{}") {
            Item::Corrupt { raw, whole: true, reason } => {
                (Envelope::from_bytes_lossy(&raw).unwrap(), reason)
            }
            other => panic!("{other:?}"),
        };
        assert!(matches!(of_parts(b"t/1", &good, b"{}"), Item::Record(_)));
        let (shown, reason) = whole(b"t/\xff", &good);
        assert_eq!((shown.key.as_str(), shown.payload), ("t/\u{fffd}", b"{}".to_vec()));
        assert_eq!(shown.headers, [("kind".to_owned(), "change".to_owned())]);
        assert_eq!(reason, "its key is not UTF-8 at byte 2");
        let (shown, reason) = whole(b"t/1", &vec![(b"kind", b"\xff")]);
        assert_eq!(
            (shown.key.as_str(), reason.as_str()),
            ("t/1", "its header \"kind\" is not UTF-8")
        );
        let (_, reason) = whole(b"t/1", &vec![(b"\xff", b"x")]);
        assert_eq!(reason, "the name of a header of it is not UTF-8");
    }
}
