// Memory that is only ever taken: an instance lives for one call. What is taken here has SLACK
// readable bytes after its end, so that readers can look at eight bytes at a time and stop at a
// sentinel.

/** So many bytes may be read, and written, after the end of each piece. */
export const SLACK: usize = 8;

/** A view on bytes that have SLACK more after them. */
export class Bytes {
  constructor(public readonly start: usize, public readonly length: i32) {}

  /** The bytes, decoded as UTF-8. */
  toString(): string {
    return String.UTF8.decodeUnsafe(this.start, this.length);
  }

  /** A copy. */
  toUint8Array(): Uint8Array {
    const copy = new Uint8Array(this.length);
    memory.copy(copy.dataStart, this.start, this.length);
    return copy;
  }

  /** A text as UTF-8; a lone surrogate becomes U+FFFD. */
  static of(text: string): Bytes {
    const length = String.UTF8.byteLength(text);
    const start = take(length);
    encode(text, start);
    return new Bytes(start, length);
  }
}

/** Memory for so many bytes and the slack. */
export function take(bytes: usize): usize {
  return heap.alloc(bytes + SLACK);
}

/** Makes a piece longer; where it is then. The piece that was taken last stays where it is. */
export function extend(start: usize, bytes: usize): usize {
  return heap.realloc(start, bytes + SLACK);
}

/** Writes a text as UTF-8; the end of what was written. */
export function encode(text: string, to: usize): usize {
  const from = changetype<usize>(text);
  const mode = String.UTF8.ErrorMode.REPLACE;
  return to + String.UTF8.encodeUnsafe(from, text.length, to, false, mode);
}

/** Copies pieces that are mostly short, for which `memory.copy` is slow; the end of the copy. */
export function copy(to: usize, from: usize, bytes: usize): usize {
  if (bytes > 64) {
    memory.copy(to, from, bytes);
    return to + bytes;
  }
  const end = to + bytes;
  // Whole words: up to seven bytes too many, which lie in the slack and are written over or never
  // read.
  for (; to < end; to += 8, from += 8) store<u64>(to, load<u64>(from));
  return end;
}

/** Whether two pieces of the same length hold the same. */
export function same(a: usize, b: usize, bytes: usize): bool {
  let left = bytes;
  for (; left >= 8; left -= 8, a += 8, b += 8) {
    if (load<u64>(a) != load<u64>(b)) return false;
  }
  if (left == 0) return true;
  return ((load<u64>(a) ^ load<u64>(b)) << ((8 - left) << 3)) == 0;
}

/** Below 0, 0 or above: the order of bytes, a beginning before what goes on. */
export function order(a: usize, aBytes: usize, b: usize, bBytes: usize): i32 {
  const both = min(aBytes, bBytes);
  for (let at: usize = 0; at < both; at += 8) {
    const x = load<u64>(a + at), y = load<u64>(b + at);
    if (x == y) continue;
    // The lowest byte that differs is the first, as memory is little-endian.
    const shift = ctz(x ^ y) & ~7;
    if (at + <usize>(shift >> 3) >= both) break;
    return <i32>(x >> shift & 0xff) - <i32>(y >> shift & 0xff);
  }
  return aBytes < bBytes ? -1 : aBytes > bBytes ? 1 : 0;
}
