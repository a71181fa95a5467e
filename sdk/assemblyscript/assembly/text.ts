// The text of a JSON string, between its quotes, as it stands in canonical form: `"` and `\`
// after a `\`, control characters as \b \t \n \f \r or \u00xx, all else as itself. So equal
// strings have equal text.
import { encode, take } from "./memory";

const QUOTE: u32 = 0x22, BACKSLASH: u32 = 0x5c;

/** Like `order` of the strings that two texts stand for; at least one text holds an escape. */
export function orderEscaped(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  while (a < aEnd && b < bEnd) {
    const x = load<u8>(a) == BACKSLASH ? escaped(a) : <u32>load<u8>(a);
    const y = load<u8>(b) == BACKSLASH ? escaped(b) : <u32>load<u8>(b);
    if (x != y) return <i32>x - <i32>y;
    a += width(a);
    b += width(b);
  }
  return a < aEnd ? 1 : b < bEnd ? -1 : 0;
}

/** How many bytes stand for the string's byte at `p`. */
function width(p: usize): usize {
  if (load<u8>(p) != BACKSLASH) return 1;
  return load<u8>(p, 1) == 0x75 ? 6 : 2;
}

/** The byte that the canonical escape at `p` stands for. */
function escaped(p: usize): u32 {
  const c = <u32>load<u8>(p, 1);
  switch (c) {
    case 0x62: return 8;
    case 0x74: return 9;
    case 0x6e: return 10;
    case 0x66: return 12;
    case 0x72: return 13;
    case 0x75: return hexDigit(load<u8>(p, 4)) << 4 | hexDigit(load<u8>(p, 5));
    default: return c;
  }
}

/** A hexadecimal digit's value; 16 where the byte is none. */
export function hexDigit(c: u32): u32 {
  if (c - 0x30 < 10) return c - 0x30;
  const letter = (c | 0x20) - 0x61;
  return letter < 6 ? letter + 10 : 16;
}

/** What the canonical text stands for, as UTF-8 at `to`; the end of what was written. */
export function unescape(p: usize, end: usize, to: usize): usize {
  while (p < end) {
    const c = <u32>load<u8>(p);
    store<u8>(to++, c == BACKSLASH ? escaped(p) : c);
    p += width(p);
  }
  return to;
}

/** What the text of any JSON string stands for, also one that is not canonical. */
export function decode(p: usize, end: usize): string {
  let out = "", plain = p;
  while (p < end) {
    if (load<u8>(p) != BACKSLASH) {
      p++;
      continue;
    }
    out += String.UTF8.decodeUnsafe(plain, p - plain);
    const c = <u32>load<u8>(p, 1);
    // A pair of surrogates is two units here as there.
    out += String.fromCharCode(c == 0x75 ? fourDigits(p + 2) : escaped(p));
    p += width(p);
    plain = p;
  }
  return out + String.UTF8.decodeUnsafe(plain, end - plain);
}

/** The value of four hexadecimal digits; below 0 where they are none. */
export function fourDigits(p: usize): i32 {
  const a = hexDigit(load<u8>(p)), b = hexDigit(load<u8>(p, 1));
  const c = hexDigit(load<u8>(p, 2)), d = hexDigit(load<u8>(p, 3));
  return (a | b | c | d) & 16 ? -1 : <i32>(a << 12 | b << 8 | c << 4 | d);
}

/** Whether a byte stands in canonical text only after a `\`. */
export function needsEscape(c: u32): bool {
  return c < 0x20 || c == QUOTE || c == BACKSLASH;
}

/** Writes a byte that needs an escape; the end of what was written: at most six bytes. */
export function writeEscape(c: u32, to: usize): usize {
  store<u8>(to, BACKSLASH);
  let letter = c;
  if (c == 8) letter = 0x62;
  else if (c == 9) letter = 0x74;
  else if (c == 10) letter = 0x6e;
  else if (c == 12) letter = 0x66;
  else if (c == 13) letter = 0x72;
  else if (c < 0x20) {
    store<u32>(to, 0x3030755c); // \u00
    store<u8>(to, 0x30 + (c >> 4), 4);
    store<u8>(to, (c & 15) < 10 ? 0x30 + (c & 15) : 0x57 + (c & 15), 5);
    return to + 6;
  }
  store<u8>(to, letter, 1);
  return to + 2;
}

/** A JSON string with its quotes, in canonical form. */
export class Quoted {
  constructor(
    /** Where its first quote stands. */
    public readonly start: usize,
    /** After its last quote. */
    public readonly end: usize,
    /** Whether it holds an escape. */
    public readonly escaped: bool) {}

  /** Of a text; a lone surrogate becomes U+FFFD. */
  static of(text: string): Quoted {
    // As UTF-8 behind room for the case that each byte takes six.
    const bytes = String.UTF8.byteLength(text);
    let start = take(2 + bytes), end = encode(text, start + 1);
    let more: usize = 0;
    for (let p = start + 1; p < end; p++) more += needsEscape(load<u8>(p)) ? 5 : 0;
    if (more) {
      const plain = start + 1, plainEnd = end;
      start = take(2 + bytes + more);
      end = start + 1;
      for (let p = plain; p < plainEnd; p++) {
        const c = <u32>load<u8>(p);
        if (needsEscape(c)) end = writeEscape(c, end);
        else store<u8>(end++, c);
      }
    }
    store<u8>(start, QUOTE);
    store<u8>(end, QUOTE);
    return new Quoted(start, end + 1, more != 0);
  }
}
