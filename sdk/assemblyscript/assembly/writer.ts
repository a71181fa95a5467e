// A text in the making.
import { copy, extend, SLACK, take } from "./memory";

/**
 * Bytes that are appended to. Nothing else is allocated while it grows, so it grows where it is.
 */
export class Writer {
  start: usize;
  end: usize;
  private limit: usize;

  constructor() {
    const bytes: usize = 2048;
    this.start = take(bytes);
    this.end = this.start;
    this.limit = this.start + bytes;
  }

  copy(from: usize, bytes: usize): void {
    this.room(bytes);
    this.end = copy(this.end, from, bytes);
  }

  byte(c: u32): void {
    this.room(1);
    store<u8>(this.end++, c);
  }

  /** A key whose text stands between quotes, with them and a colon. */
  key(text: usize, bytes: usize): void {
    this.copy(text - 1, bytes + 2);
    this.byte(0x3a);
  }

  private room(bytes: usize): void {
    if (this.end + bytes <= this.limit) return;
    const written = this.end - this.start, room = (written + bytes) << 1;
    this.start = extend(this.start, room);
    this.end = this.start + written;
    this.limit = this.start + room;
  }
}
