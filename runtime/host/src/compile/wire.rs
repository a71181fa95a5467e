//! What a region and the child that compiles for it say to each other: one request, one answer. Both
//! are of one release, as each request says which engine it is for; the numbers are little-endian.

use std::io::{self, Read, Write};

use super::{ANSWER_CODE_BYTES_MAX, CompileError, Limits};

/// What the request begins with: then the limits, the engine's fingerprint, the component's length
/// and the component.
const REQUEST: &[u8; 16] = b"syncline-ask-01\n";
const REQUEST_HEAD_BYTES: usize = REQUEST.len() + 8 + 8 + 32 + 8;
/// What the answer begins with: then its kind, its length, and the code or a text.
const ANSWER: &[u8; 16] = b"syncline-say-01\n";
const ANSWER_HEAD_BYTES: usize = ANSWER.len() + 1 + 8;
/// Above what is asked for: a component that is being metered has grown.
const REQUEST_BYTES_MAX: u64 = 64 << 20;
const TEXT_BYTES_MAX: usize = 4 << 10;

const CODE: u8 = 0;
const REFUSED: u8 = 1;
const CRASHED: u8 = 2;
const TOO_EXPENSIVE: u8 = 3;
const UNAVAILABLE: u8 = 4;

/// What comes before the component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) limits: Limits,
    pub(super) fingerprint: [u8; 32],
    component_bytes: u64,
}

/// What the child says: the code, or why there is none.
pub(super) type Answer = Result<Vec<u8>, CompileError>;

/// What was said is not of this form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

impl RequestHead {
    pub(super) fn new(limits: Limits, fingerprint: [u8; 32], component: &[u8]) -> Self {
        Self { limits, fingerprint, component_bytes: component.len() as u64 }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Limits { processor_seconds, address_bytes } = self.limits;
        let mut out = REQUEST.to_vec();
        out.extend(processor_seconds.to_le_bytes());
        out.extend(address_bytes.to_le_bytes());
        out.extend(self.fingerprint);
        out.extend(self.component_bytes.to_le_bytes());
        out
    }

    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; REQUEST_HEAD_BYTES];
        from.read_exact(&mut head)?;
        let mut rest = head.as_slice();
        if take::<16>(&mut rest)? != *REQUEST {
            return Err(wrong("this is not a request of this release"));
        }
        let limits = Limits {
            processor_seconds: u64::from_le_bytes(take(&mut rest)?),
            address_bytes: u64::from_le_bytes(take(&mut rest)?),
        };
        let fingerprint = take(&mut rest)?;
        let component_bytes = u64::from_le_bytes(take(&mut rest)?);
        if component_bytes > REQUEST_BYTES_MAX {
            return Err(wrong("the component is too large"));
        }
        Ok(Self { limits, fingerprint, component_bytes })
    }

    pub(super) fn read_component(&self, from: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut component = Vec::new();
        from.take(self.component_bytes).read_to_end(&mut component)?;
        if (component.len() as u64) < self.component_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(component)
    }
}

pub(super) fn write_answer(answer: &Answer, to: &mut impl Write) -> io::Result<()> {
    let (kind, body) = match answer {
        Ok(code) => (CODE, code.as_slice()),
        Err(CompileError::Refused(text)) => (REFUSED, cut(text)),
        Err(CompileError::Crashed(text)) => (CRASHED, cut(text)),
        Err(CompileError::TooExpensive(text)) => (TOO_EXPENSIVE, cut(text)),
        Err(CompileError::Unavailable(text)) => (UNAVAILABLE, cut(text)),
    };
    to.write_all(ANSWER)?;
    to.write_all(&[kind])?;
    to.write_all(&(body.len() as u64).to_le_bytes())?;
    to.write_all(body)?;
    to.flush()
}

/// Understands what has arrived so far, and takes it out if that is all. None: more must come.
pub(super) fn take_answer(arrived: &mut Vec<u8>) -> Result<Option<Answer>, Garbled> {
    let known = arrived.len().min(ANSWER.len());
    if arrived[..known] != ANSWER[..known] {
        return Err(Garbled);
    }
    let Some((head, body)) = arrived.split_at_checked(ANSWER_HEAD_BYTES) else {
        return Ok(None);
    };
    let mut rest = &head[ANSWER.len()..];
    let [kind] = take::<1>(&mut rest).map_err(|_| Garbled)?;
    let length = u64::from_le_bytes(take(&mut rest).map_err(|_| Garbled)?);
    let max = if kind == CODE { ANSWER_CODE_BYTES_MAX } else { TEXT_BYTES_MAX as u64 };
    if length > max || body.len() as u64 > length {
        return Err(Garbled);
    }
    if (body.len() as u64) < length {
        return Ok(None);
    }
    let body = arrived.split_off(ANSWER_HEAD_BYTES);
    if kind == CODE {
        return Ok(Some(Ok(body)));
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Err(match kind {
        REFUSED => CompileError::Refused(text),
        CRASHED => CompileError::Crashed(text),
        TOO_EXPENSIVE => CompileError::TooExpensive(text),
        UNAVAILABLE => CompileError::Unavailable(text),
        _ => return Err(Garbled),
    })))
}

fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(TEXT_BYTES_MAX)]
}

fn take<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let mut taken = [0; N];
    rest.read_exact(&mut taken)?;
    Ok(taken)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> RequestHead {
        let limits = Limits { processor_seconds: 2, address_bytes: 1 << 30 };
        RequestHead::new(limits, [7; 32], b"component")
    }

    fn written(answer: &Answer) -> Vec<u8> {
        let mut out = Vec::new();
        write_answer(answer, &mut out).unwrap();
        out
    }

    #[test]
    fn a_request_comes_back_as_it_was() {
        let bytes = [head().encode(), b"component".to_vec()].concat();
        let mut from = bytes.as_slice();
        let read = RequestHead::read(&mut from).unwrap();
        assert_eq!(read, head());
        assert_eq!(read.read_component(&mut from).unwrap(), b"component");
        for length in 0..bytes.len() {
            let mut from = &bytes[..length];
            let read = RequestHead::read(&mut from).and_then(|head| head.read_component(&mut from));
            assert!(read.is_err(), "{length}");
        }
    }

    #[test]
    fn a_request_of_another_form_or_size_is_refused() {
        let mut other = head().encode();
        other[13] ^= 1;
        assert!(RequestHead::read(&mut other.as_slice()).is_err());
        let large = RequestHead { component_bytes: REQUEST_BYTES_MAX + 1, ..head() };
        assert!(RequestHead::read(&mut large.encode().as_slice()).is_err());
    }

    #[test]
    fn an_answer_is_understood_when_all_of_it_is_there() {
        let answers = [
            Ok(b"code".to_vec()),
            Ok(Vec::new()),
            Err(CompileError::Refused("no".into())),
            Err(CompileError::Crashed("panicked".into())),
            Err(CompileError::TooExpensive("memory".into())),
            Err(CompileError::Unavailable("other".into())),
        ];
        for answer in answers {
            let bytes = written(&answer);
            for length in 0..bytes.len() {
                assert_eq!(take_answer(&mut bytes[..length].to_vec()), Ok(None));
            }
            assert_eq!(take_answer(&mut bytes.clone()), Ok(Some(answer)));
            assert_eq!(take_answer(&mut [bytes, vec![0]].concat()), Err(Garbled));
        }
    }

    #[test]
    fn what_is_no_answer_is_known_at_once() {
        assert_eq!(take_answer(&mut b"x".to_vec()), Err(Garbled));
        let head =
            |kind: u8, length: u64| [ANSWER.as_slice(), &[kind], &length.to_le_bytes()].concat();
        assert_eq!(take_answer(&mut head(CODE, ANSWER_CODE_BYTES_MAX)), Ok(None));
        assert_eq!(take_answer(&mut head(CODE, ANSWER_CODE_BYTES_MAX + 1)), Err(Garbled));
        assert_eq!(take_answer(&mut head(REFUSED, 1 << 13)), Err(Garbled));
        assert_eq!(take_answer(&mut head(UNAVAILABLE + 1, 0)), Err(Garbled));
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = "x".repeat(TEXT_BYTES_MAX + 1);
        let answer = take_answer(&mut written(&Err(CompileError::Refused(text.clone()))));
        assert_eq!(answer, Ok(Some(Err(CompileError::Refused(text[1..].into())))));
    }
}
