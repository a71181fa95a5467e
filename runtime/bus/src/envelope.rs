//! A record as a bus carries it: a key, headers and a payload.

use thiserror::Error;

/// The first byte of a frame: the layout that follows. Never reused for another.
const LAYOUT: u8 = 1;

/// A record as a bus carries it. What is in it is the business of [`crate::decode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the partition is chosen by: `<table>/<row_pk>` of a change.
    pub key: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The JSON text.
    pub payload: Vec<u8>,
}

/// Why bytes are no frame of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadFrame {
    /// Written by software of another age, or not a frame at all.
    #[error("read frame: its layout is {0}, this software knows {LAYOUT}")]
    Layout(u8),
    /// It ends early.
    #[error("read frame: it ends before its {0}")]
    Short(&'static str),
    /// It goes on behind its end.
    #[error("read frame: {bytes} bytes follow its end")]
    Long {
        /// How many.
        bytes: usize,
    },
    /// A text in it is not UTF-8.
    #[error("read frame: its {0} is not UTF-8")]
    NotUtf8(&'static str),
}

impl Envelope {
    /// One self-contained frame, for the store's outbox and the embedded log: the layout's number,
    /// then key, number of headers, headers and payload, each text behind its length; numbers are
    /// LEB128. No checksum: both who keep frames have one of their own.
    pub fn to_bytes(&self) -> Vec<u8> {
        let texts = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4);
        let capacity = 16 + self.key.len() + self.payload.len() + texts.sum::<usize>();
        let mut frame = Vec::with_capacity(capacity);
        self.append_to(&mut frame);
        frame
    }

    /// As [`Envelope::to_bytes`], behind what is in `frame` already.
    pub(crate) fn append_to(&self, frame: &mut Vec<u8>) {
        let headers = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        append_frame(frame, self.key.as_bytes(), headers, &self.payload);
    }

    /// Reads what [`Envelope::to_bytes`] wrote.
    pub fn from_bytes(frame: &[u8]) -> Result<Self, BadFrame> {
        Self::read(frame, |bytes, what| {
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| BadFrame::NotUtf8(what))
        })
    }

    /// As [`Envelope::from_bytes`], for people: what is not UTF-8 in a text is replaced by U+FFFD.
    pub fn from_bytes_lossy(frame: &[u8]) -> Result<Self, BadFrame> {
        Self::read(frame, |bytes, _| Ok(String::from_utf8_lossy(bytes).into_owned()))
    }

    fn read(
        frame: &[u8],
        text: impl Fn(&[u8], &'static str) -> Result<String, BadFrame>,
    ) -> Result<Self, BadFrame> {
        let mut rest = frame;
        let take_text = |rest: &mut &[u8], what| text(take_bytes(rest, what)?, what);
        match take(&mut rest, 1, "layout")? {
            [LAYOUT] => {}
            other => return Err(BadFrame::Layout(other.first().copied().unwrap_or_default())),
        }
        let key = take_text(&mut rest, "key")?;
        let count = take_number(&mut rest, "number of headers")?;
        // Headers are collected as they are found: the count alone reserves no memory.
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = take_text(&mut rest, "header's name")?;
            headers.push((name, take_text(&mut rest, "header's value")?));
        }
        let payload = take_bytes(&mut rest, "payload")?.to_vec();
        match rest.len() {
            0 => Ok(Self { key, headers, payload }),
            bytes => Err(BadFrame::Long { bytes }),
        }
    }
}

/// Appends the frame of a record, be its texts UTF-8 or not.
pub(crate) fn append_frame<'a>(
    frame: &mut Vec<u8>,
    key: &[u8],
    headers: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
    payload: &[u8],
) {
    frame.push(LAYOUT);
    push_bytes(frame, key);
    push_number(frame, headers.len() as u64);
    for (name, value) in headers {
        push_bytes(frame, name);
        push_bytes(frame, value);
    }
    push_bytes(frame, payload);
}

fn push_number(frame: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        frame.push(number as u8 | 0x80);
        number >>= 7;
    }
    frame.push(number as u8);
}

fn push_bytes(frame: &mut Vec<u8>, bytes: &[u8]) {
    push_number(frame, bytes.len() as u64);
    frame.extend_from_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8], len: usize, what: &'static str) -> Result<&'a [u8], BadFrame> {
    let (taken, left) = rest.split_at_checked(len).ok_or(BadFrame::Short(what))?;
    *rest = left;
    Ok(taken)
}

fn take_number(rest: &mut &[u8], what: &'static str) -> Result<u64, BadFrame> {
    let mut number = 0;
    // Nine groups of seven bits are more than any length; a tenth would not fit 64 bits.
    for shift in (0..63).step_by(7) {
        let byte = take(rest, 1, what)?.first().copied().unwrap_or_default();
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(BadFrame::Short(what))
}

fn take_bytes<'a>(rest: &mut &'a [u8], what: &'static str) -> Result<&'a [u8], BadFrame> {
    let len = take_number(rest, what)?;
    // A length beyond the address space is beyond the frame as well.
    take(rest, usize::try_from(len).unwrap_or(usize::MAX), what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_envelope() -> impl Strategy<Value = Envelope> {
        let headers = prop::collection::vec((".{0,8}", ".{0,40}"), 0..5);
        let payload = prop::collection::vec(any::<u8>(), 0..300);
        (".{0,200}", headers, payload).prop_map(|(key, headers, payload)| Envelope {
            key,
            headers,
            payload,
        })
    }

    proptest! {
        #[test]
        fn frames_round_trip(envelope in any_envelope()) {
            prop_assert_eq!(Envelope::from_bytes(&envelope.to_bytes()), Ok(envelope));
        }

        #[test]
        fn a_cut_or_longer_frame_is_bad(envelope in any_envelope(), cut in any::<prop::sample::Index>()) {
            let mut frame = envelope.to_bytes();
            prop_assert!(Envelope::from_bytes(&frame[..cut.index(frame.len())]).is_err());
            frame.push(0);
            prop_assert_eq!(Envelope::from_bytes(&frame), Err(BadFrame::Long { bytes: 1 }));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Envelope::from_bytes(&bytes);
            bytes.insert(0, LAYOUT);
            let _ = Envelope::from_bytes(&bytes);
        }
    }

    #[test]
    fn a_frame_whose_texts_are_none_is_shown_and_not_taken() {
        let mut frame = Vec::new();
        let headers = [(&b"kind"[..], &b"a\xff"[..])];
        append_frame(&mut frame, b"k\xfe", headers.into_iter(), b"{}");
        assert_eq!(Envelope::from_bytes(&frame), Err(BadFrame::NotUtf8("key")));
        let shown = Envelope {
            key: "k\u{fffd}".into(),
            headers: vec![("kind".into(), "a\u{fffd}".into())],
            payload: b"{}".to_vec(),
        };
        assert_eq!(Envelope::from_bytes_lossy(&frame), Ok(shown));
    }

    #[test]
    fn lengths_that_lie_cost_nothing() {
        for lie in
            [&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..], &[1, 0xff, 0x7f]]
        {
            assert_eq!(Envelope::from_bytes(lie), Err(BadFrame::Short("key")));
        }
        let many_headers = [1, 0, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(Envelope::from_bytes(&many_headers), Err(BadFrame::Short("header's name")));
        assert_eq!(Envelope::from_bytes(&[9]), Err(BadFrame::Layout(9)));
        assert_eq!(Envelope::from_bytes(&[1, 1, 0xff]), Err(BadFrame::NotUtf8("key")));
    }
}
