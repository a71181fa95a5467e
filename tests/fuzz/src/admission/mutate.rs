//! Damage: to bytes wherever they are, and to sections with their lengths kept right.

use fastrand::Rng;

const HEADER_BYTES: usize = 8;
/// Where a header says whether it is a component's.
const LAYER_AT: usize = 6;
const CORE_MODULE_SECTION: u8 = 1;
const COMPONENT_SECTION: u8 = 4;
/// Sections in sections; below it they are bytes.
const DEPTH_MAX: u32 = 4;
const MUTATIONS_MAX: usize = 4;
const SECTION_ID_MAX: u8 = 14;
/// Numbers at which something changes.
const INTERESTING: [u64; 12] =
    [0, 1, 2, 0x3f, 0x40, 0x7f, 0x80, 0x3fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0xffff_ffff_ffff];

/// Damages a component, with parts of another.
pub(super) fn mutate(rng: &mut Rng, component: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    for _ in 0..rng.usize(1..=MUTATIONS_MAX) {
        match (Sections::read(&bytes, DEPTH_MAX), Sections::read(other, DEPTH_MAX)) {
            (Some(mut sections), Some(others)) if rng.u8(..4) > 0 => {
                sections.mutate(rng, &others);
                bytes = sections.write();
            }
            _ => damage(rng, &mut bytes),
        }
    }
    bytes
}

/// Puts a module in the place of a component's first module that is empty: its text format takes
/// no modules as bytes.
pub(super) fn fill_in(component: &[u8], module: &[u8]) -> Option<Vec<u8>> {
    let mut sections = Sections::read(component, 0)?;
    let place = sections.sections.iter_mut().find_map(|(id, body)| match body {
        Body::Bytes(bytes) if *id == CORE_MODULE_SECTION && bytes.len() == HEADER_BYTES => {
            Some(bytes)
        }
        _ => None,
    })?;
    *place = module.to_vec();
    Some(sections.write())
}

/// A module's or a component's sections.
struct Sections {
    header: Vec<u8>,
    sections: Vec<(u8, Body)>,
}

enum Body {
    Bytes(Vec<u8>),
    Sections(Sections),
}

impl Sections {
    /// None: these are no sections.
    fn read(bytes: &[u8], depth: u32) -> Option<Self> {
        let (header, mut rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let is_component = header[LAYER_AT] == 1;
        let mut sections = Vec::new();
        while let Some((&id, after)) = rest.split_first() {
            let (length, after) = read_leb(after)?;
            let (body, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
            let nested = is_component && matches!(id, CORE_MODULE_SECTION | COMPONENT_SECTION);
            let inner = if nested && depth > 0 { Self::read(body, depth - 1) } else { None };
            let body = inner.map_or_else(|| Body::Bytes(body.to_vec()), Body::Sections);
            sections.push((id, body));
            rest = after;
        }
        Some(Self { header: header.to_vec(), sections })
    }

    fn write(&self) -> Vec<u8> {
        let mut out = self.header.clone();
        for (id, body) in &self.sections {
            out.push(*id);
            let written;
            let body = match body {
                Body::Bytes(bytes) => bytes,
                Body::Sections(inner) => {
                    written = inner.write();
                    &written
                }
            };
            out.extend(leb(body.len() as u64));
            out.extend(body);
        }
        out
    }

    /// Changes one thing, here or further in.
    fn mutate(&mut self, rng: &mut Rng, other: &Self) {
        let count = self.sections.len();
        if count == 0 {
            return;
        }
        let at = rng.usize(..count);
        if rng.u8(..3) > 0 {
            match &mut self.sections[at].1 {
                Body::Bytes(bytes) => damage(rng, bytes),
                Body::Sections(inner) => {
                    let others = other.inner(rng).unwrap_or(other);
                    inner.mutate(rng, others);
                }
            }
            return;
        }
        let to = rng.usize(..count);
        match rng.u8(..6) {
            0 => self.sections.swap(at, to),
            1 => {
                let copy = self.sections[at].copied();
                self.sections.insert(to, copy);
            }
            2 => {
                self.sections.remove(at);
            }
            3 => self.sections[at].0 = rng.u8(..=SECTION_ID_MAX),
            _ => {
                let taken = rng.choice(&other.sections).map(Copied::copied);
                let Some(taken) = taken else { return };
                if rng.bool() {
                    self.sections[at] = taken;
                } else {
                    self.sections.insert(at, taken);
                }
            }
        }
    }

    fn inner(&self, rng: &mut Rng) -> Option<&Self> {
        let inner = self.sections.iter().filter_map(|(_, body)| match body {
            Body::Sections(inner) => Some(inner),
            Body::Bytes(_) => None,
        });
        rng.choice(inner.collect::<Vec<_>>())
    }
}

/// A copy of a section.
trait Copied {
    fn copied(&self) -> Self;
}

impl Copied for (u8, Body) {
    fn copied(&self) -> Self {
        let body = match &self.1 {
            Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Body::Sections(inner) => Body::Bytes(inner.write()),
        };
        (self.0, body)
    }
}

/// Changes some bytes.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let count = bytes.len();
    if count == 0 {
        bytes.push(rng.u8(..));
        return;
    }
    let at = rng.usize(..count);
    let upto = (at + rng.usize(1..16)).min(count);
    match rng.u8(..12) {
        0..4 => bytes[at] ^= 1 << rng.u8(..8),
        4 | 5 => bytes[at] = rng.u8(..),
        6 => {
            let new: Vec<u8> = (0..rng.usize(1..8)).map(|_| rng.u8(..)).collect();
            bytes.splice(at..at, new);
        }
        7 => {
            bytes.drain(at..upto);
        }
        8 => {
            let copy = bytes[at..upto].to_vec();
            let to = rng.usize(..count);
            bytes.splice(to..to, copy);
        }
        9 if rng.u8(..4) == 0 => bytes.truncate(at),
        _ => change_number(rng, bytes, at),
    }
}

/// Puts another number in the place of one, in as many bytes as it takes, or in more.
fn change_number(rng: &mut Rng, bytes: &mut Vec<u8>, at: usize) {
    let Some((number, rest)) = read_leb(&bytes[at..]) else { return };
    let upto = bytes.len() - rest.len();
    let number = match rng.u8(..4) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        2 => number,
        _ => INTERESTING[rng.usize(..INTERESTING.len())],
    };
    let mut new = leb(number);
    if rng.u8(..3) == 0 {
        // The same number, longer.
        if let Some(last) = new.last_mut() {
            *last |= 0x80;
        }
        new.extend(std::iter::repeat_n(0x80, rng.usize(..4)));
        new.push(0);
    }
    bytes.splice(at..upto, new);
}

fn read_leb(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

fn leb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn sections_are_written_as_they_were_read() {
        let text = "(component (core module (func) (memory 1)) (component (core module)))";
        let component = wat::parse_str(text).unwrap();
        let sections = Sections::read(&component, DEPTH_MAX).unwrap();
        assert!(matches!(sections.sections[0].1, Body::Sections(_)));
        assert_eq!(sections.write(), component);
    }

    #[test]
    fn numbers_are_written_as_they_were_read() {
        for number in INTERESTING {
            let bytes = leb(number);
            assert_eq!(read_leb(&bytes), Some((number, &[][..])));
        }
    }
}
