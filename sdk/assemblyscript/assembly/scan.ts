// One pass over a JSON document (RFC 8259): checks it, and notes on a tape where each value
// stands, so that values are made only when somebody asks for them. It never traps, whatever the
// bytes are.
//
// The tape has an entry for each value, in the order of the text; a list is followed by its
// items, an object by its members, each a key and a value. The document ends with a byte 0, which
// JSON has nowhere: no loop needs to ask whether there is more.
import { Bytes, extend, order, take } from "./memory";
import { fourDigits, orderEscaped } from "./text";

export enum Kind { Null, Bool, Number, Text, List, Object }

/** Objects and lists nested deeper are refused, as the runtime refuses them. */
export const DEPTH_MAX: i32 = 100;
/** Numbers of more characters are refused, as the runtime refuses them. */
export const NUMBER_CHARS_MAX: usize = 64;
/** Longer documents are refused. The runtime's own limit on a row is 1 MiB. */
export const DOCUMENT_BYTES_MAX: i32 = 1 << 24;

/** A value on the tape. */
@unmanaged
export class Entry {
  /** Where its text begins; a string's with the quote. */
  start: usize;
  /** After its text. */
  end: usize;
  /** The entry after this value and all that is in it. */
  next: usize;
  /** The Kind; 8: the string holds an escape; from bit 4 on the number of items or members. */
  info: u32;
}

const ESCAPED: u32 = 8;
const ENTRY = offsetof<Entry>();

// @ts-ignore: decorator
@inline export function entry(at: usize): Entry { return changetype<Entry>(at); }
// @ts-ignore: decorator
@inline export function kind(e: Entry): Kind { return <Kind>(e.info & 7); }
// @ts-ignore: decorator
@inline export function isEscaped(e: Entry): bool { return (e.info & ESCAPED) != 0; }
// @ts-ignore: decorator
@inline export function children(e: Entry): i32 { return <i32>(e.info >> 4); }
/** The first entry inside of this one. */
// @ts-ignore: decorator
@inline export function inside(e: Entry): usize { return changetype<usize>(e) + ENTRY; }

/** Whether the document that was scanned last is in canonical form. */
export let isCanonical: bool = false;
/** Where the tape begins, where it goes on, and where its memory ends. */
let tape: usize = 0, top: usize = 0, limit: usize = 0;
/** Whether the string that was read last holds an escape. */
let hasEscape: bool = false;

/** The document's entry on a tape of its own; 0 where the bytes are no JSON document. */
export function scan(document: Bytes): usize {
  if (document.length > DOCUMENT_BYTES_MAX) return 0;
  const start = document.start, end = start + document.length;
  store<u8>(end, 0);
  isCanonical = true;
  const bytes = ENTRY * 16 + 2 * <usize>document.length;
  tape = top = take(bytes);
  limit = tape + bytes;
  const p = value(space(start), 1);
  return p && space(p) == end ? tape : 0;
}

function push(start: usize): usize {
  const at = top;
  top = at + ENTRY;
  if (top > limit) {
    // Nothing else is allocated during a scan, so the tape grows where it is.
    limit += limit - tape;
    extend(tape, limit - tape);
  }
  entry(at).start = start;
  return at;
}

function value(p: usize, depth: i32): usize {
  const at = push(p), e = entry(at);
  const c = <u32>load<u8>(p);
  let info = <u32>Kind.Number;
  if (c == 0x22) {
    p = text(p + 1);
    info = hasEscape ? Kind.Text | ESCAPED : Kind.Text;
  } else if (c == 0x7b || c == 0x5b) {
    return depth > DEPTH_MAX ? 0 : c == 0x7b ? object(p, depth, e) : list(p, depth, e);
  } else if (c == 0x74) {
    p = load<u32>(p) == 0x65757274 ? p + 4 : 0;
    info = Kind.Bool;
  } else if (c == 0x66) {
    p = load<u32>(p, 1) == 0x65736c61 ? p + 5 : 0;
    info = Kind.Bool;
  } else if (c == 0x6e) {
    p = load<u32>(p) == 0x6c6c756e ? p + 4 : 0;
    info = Kind.Null;
  } else {
    p = number(p);
  }
  e.end = p;
  e.next = top;
  e.info = info;
  return p;
}

function list(p: usize, depth: i32, e: Entry): usize {
  let items = 0;
  p = space(p + 1);
  if (load<u8>(p) != 0x5d) {
    while (true) {
      p = value(p, depth + 1);
      if (p == 0) return 0;
      items++;
      p = space(p);
      const c = load<u8>(p);
      if (c == 0x5d) break;
      if (c != 0x2c) return 0;
      p = space(p + 1);
    }
  }
  return close(p, e, Kind.List, items);
}

function object(p: usize, depth: i32, e: Entry): usize {
  let members = 0, last: usize = 0;
  p = space(p + 1);
  if (load<u8>(p) != 0x7d) {
    while (true) {
      if (load<u8>(p) != 0x22) return 0;
      const at = push(p), key = entry(at);
      p = text(p + 1);
      if (p == 0) return 0;
      key.end = p;
      key.next = top;
      key.info = hasEscape ? Kind.Text | ESCAPED : Kind.Text;
      // Two equal keys are found when the object is brought into order.
      if (last && orderOfTexts(entry(last), key) >= 0) isCanonical = false;
      last = at;
      p = space(p);
      if (load<u8>(p) != 0x3a) return 0;
      p = value(space(p + 1), depth + 1);
      if (p == 0) return 0;
      members++;
      p = space(p);
      const c = load<u8>(p);
      if (c == 0x7d) break;
      if (c != 0x2c) return 0;
      p = space(p + 1);
    }
  }
  return close(p, e, Kind.Object, members);
}

function close(p: usize, e: Entry, kind: Kind, inside: i32): usize {
  e.end = p + 1;
  e.next = top;
  e.info = kind | <u32>inside << 4;
  return p + 1;
}

/** By the bytes of what they stand for. */
export function orderOfTexts(a: Entry, b: Entry): i32 {
  const x = a.start + 1, y = b.start + 1;
  if ((a.info | b.info) & ESCAPED) return orderEscaped(x, a.end - 1, y, b.end - 1);
  return order(x, a.end - 1 - x, y, b.end - 1 - y);
}

/** After white space. */
// @ts-ignore: decorator
@inline function space(p: usize): usize { return load<u8>(p) > 0x20 ? p : skip(p); }

function skip(p: usize): usize {
  let c = load<u8>(p);
  while (c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09) {
    isCanonical = false;
    c = load<u8>(++p);
  }
  return p;
}

function digits(p: usize): usize {
  const start = p;
  while (<u32>load<u8>(p) - 0x30 < 10) p++;
  return p == start ? 0 : p;
}

function number(p: usize): usize {
  const start = p;
  if (load<u8>(p) == 0x2d) p++;
  p = load<u8>(p) == 0x30 ? p + 1 : digits(p);
  if (p && load<u8>(p) == 0x2e) p = digits(p + 1);
  if (p && (load<u8>(p) | 0x20) == 0x65) {
    p++;
    const sign = load<u8>(p);
    p = digits(sign == 0x2b || sign == 0x2d ? p + 1 : p);
  }
  return p && p - start <= NUMBER_CHARS_MAX ? p : 0;
}

/** From after the first quote to after the last. */
function text(p: usize): usize {
  hasEscape = false;
  while (true) {
    const w = load<u64>(p);
    // A byte's highest bit is set where it is a quote, a backslash, below 0x20, or no ASCII. A
    // borrow makes wrong marks only above a right one, and the lowest is the one that counts.
    const quote = (w ^ 0x2222222222222222) - 0x0101010101010101;
    const backslash = (w ^ 0x5c5c5c5c5c5c5c5c) - 0x0101010101010101;
    const control = w - 0x2020202020202020;
    const marks = (quote | backslash | control | w) & 0x8080808080808080;
    if (marks == 0) {
      p += 8;
      continue;
    }
    p += <usize>(ctz(marks) >> 3);
    const c = <u32>load<u8>(p);
    if (c == 0x22) return p + 1;
    p = c >= 0x80 ? character(p, c) : c == 0x5c ? escape(p) : 0;
    if (p == 0) return 0;
  }
}

/** One character of UTF-8 that is not ASCII. */
function character(p: usize, first: u32): usize {
  const more: u32 = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  let code = first & (0x3f >> more);
  for (let i: u32 = 1; i <= more; i++) {
    const c = <u32>load<u8>(p + i);
    if ((c & 0xc0) != 0x80) return 0;
    code = code << 6 | (c & 0x3f);
  }
  if (more == 2 && (code < 0x800 || code - 0xd800 < 0x800)) return 0;
  if (more == 3 && code - 0x10000 > 0xfffff) return 0;
  return p + more + 1;
}

function escape(p: usize): usize {
  hasEscape = true;
  switch (<u32>load<u8>(p, 1)) {
    case 0x22: case 0x5c: case 0x62: case 0x66: case 0x6e: case 0x72: case 0x74: return p + 2;
    case 0x2f:
      isCanonical = false;
      return p + 2;
    case 0x75: return unicode(p);
    default: return 0;
  }
}

function unicode(p: usize): usize {
  const unit = fourDigits(p + 2);
  if (unit < 0) return 0;
  // Of \u00xx canonical form has only those of control characters without a letter, in lower case.
  const hasLetter = unit == 8 || unit == 9 || unit == 10 || unit == 12 || unit == 13;
  if (unit >= 0x20 || hasLetter || load<u8>(p, 5) - 0x41 < 6) isCanonical = false;
  if (<u32>(unit - 0xd800) >= 0x800) return p + 6;
  // A surrogate must be the first of a pair.
  if (unit >= 0xdc00 || load<u16>(p, 6) != 0x755c) return 0;
  return <u32>(fourDigits(p + 8) - 0xdc00) < 0x400 ? p + 12 : 0;
}
