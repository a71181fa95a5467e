// A table from texts to values: an object's members, a list's items (without texts), or records
// by one of their fields.
import { copy, order, same } from "./memory";
import { Entry, isEscaped } from "./scan";
import { Quoted, orderEscaped } from "./text";

/** One row of a table. */
@unmanaged
export class Slot {
  /** Where the key's text begins, after the quote; 0 without a key. */
  key: usize;
  /** The length of that text, times two; 1 more where it holds an escape. */
  size: u32;
  /** The value, a Json; 0 while nobody asked for it. */
  node: usize;
  /** Where the value stands on the tape, if it does. For records: their place in the list. */
  entry: usize;
}

const SLOT = offsetof<Slot>();

/** The order of two keys: that of the bytes of what they stand for. */
export function orderOfKeys(a: Slot, b: Slot): i32 {
  const x = a.key, y = b.key, xBytes = <usize>(a.size >> 1), yBytes = <usize>(b.size >> 1);
  if ((a.size | b.size) & 1) return orderEscaped(x, x + xBytes, y, y + yBytes);
  return order(x, xBytes, y, yBytes);
}

/** Equal keys have equal text. */
export function sameKey(a: Slot, b: Slot): bool {
  return a.size == b.size && same(a.key, b.key, a.size >> 1);
}

/** Rows side by side, mostly sorted by key. */
@unmanaged
export class Members {
  private slots: usize;
  private room: i32;
  count: i32 = 0;

  constructor(room: i32) {
    this.room = room;
    this.slots = heap.alloc(SLOT * <usize>room);
  }

  // @ts-ignore: decorator
  @inline at(i: i32): Slot {
    return changetype<Slot>(this.slots + SLOT * <usize>i);
  }

  /** A row at the end, for the caller to fill. */
  push(): Slot {
    if (this.count == this.room) {
      this.room = (this.room + 2) << 1;
      this.slots = heap.realloc(this.slots, SLOT * <usize>this.room);
    }
    return this.at(this.count++);
  }

  pushKey(key: Quoted, node: usize): void {
    const slot = this.push();
    slot.key = key.start + 1;
    slot.size = <u32>(key.end - key.start - 2) << 1 | <u32>key.escaped;
    slot.node = node;
    slot.entry = 0;
  }

  /** A row whose key is a string on the tape. */
  pushText(key: Entry, node: usize, entry: usize): void {
    const slot = this.push();
    slot.key = key.start + 1;
    slot.size = <u32>(key.end - key.start - 2) << 1 | <u32>isEscaped(key);
    slot.node = node;
    slot.entry = entry;
  }

  pushSlot(from: Slot): Slot {
    const slot = this.push();
    copy(changetype<usize>(slot), changetype<usize>(from), SLOT);
    return slot;
  }

  /** The row with this key; below 0 where there is none. The rows are sorted. */
  find(name: string): i32 {
    if (this.count > 16) return this.search(name);
    const size = <u32>name.length << 1, from = changetype<usize>(name);
    for (let i = 0; i < this.count; i++) {
      const slot = this.at(i);
      if (slot.size == size && equalsAscii(slot.key, from, name.length)) return i;
    }
    return isPlainAscii(name) ? -1 : this.search(name);
  }

  private search(name: string): i32 {
    const i = this.place(name);
    return i < this.count && sameKey(this.at(i), wanted) ? i : -1;
  }

  /** Where a key is, or would have to be put. */
  place(name: string): i32 {
    const key = Quoted.of(name);
    wanted.key = key.start + 1;
    wanted.size = <u32>(key.end - key.start - 2) << 1 | <u32>key.escaped;
    // Keys mostly come in order.
    if (this.count == 0 || orderOfKeys(this.at(this.count - 1), wanted) < 0) return this.count;
    let low = 0, high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (orderOfKeys(this.at(middle), wanted) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Puts a value under a key: over the one that is there, or between its neighbours. */
  set(name: string, node: usize): void {
    let i = this.find(name);
    if (i < 0) i = this.insert(this.place(name));
    const slot = this.at(i);
    slot.node = node;
    slot.entry = 0;
  }

  /** Makes room for the wanted key before row `i`. */
  private insert(i: i32): i32 {
    this.push();
    const slot = this.at(i), from = changetype<usize>(slot);
    memory.copy(from + SLOT, from, SLOT * <usize>(this.count - 1 - i));
    slot.key = wanted.key;
    slot.size = wanted.size;
    return i;
  }

  remove(i: i32): void {
    this.count--;
    const to = changetype<usize>(this.at(i));
    memory.copy(to, to + SLOT, SLOT * <usize>(this.count - i));
  }

  /** Sorts by key; rows with the same key keep their order. Nothing to do for what is sorted. */
  sort(): void {
    let i = 1;
    while (i < this.count && orderOfKeys(this.at(i - 1), this.at(i)) <= 0) i++;
    if (i >= this.count) return;
    let from = this.slots, to = heap.alloc(SLOT * <usize>this.count);
    for (let run = 1; run < this.count; run <<= 1) {
      for (let low = 0; low < this.count; low += run << 1) this.mergeRuns(from, to, low, run);
      const swap = from;
      from = to;
      to = swap;
    }
    this.slots = from;
    this.room = this.count;
  }

  /** Two neighbouring runs of so many rows into one. */
  private mergeRuns(from: usize, to: usize, low: i32, run: i32): void {
    const middle = min(low + run, this.count), high = min(low + (run << 1), this.count);
    let a = from + SLOT * <usize>low, b = from + SLOT * <usize>middle;
    const aEnd = b, bEnd = from + SLOT * <usize>high;
    let p = to + SLOT * <usize>low;
    while (a < aEnd || b < bEnd) {
      const second = a >= aEnd || (b < bEnd
        && orderOfKeys(changetype<Slot>(b), changetype<Slot>(a)) < 0);
      p = copy(p, second ? b : a, SLOT);
      if (second) b += SLOT;
      else a += SLOT;
    }
  }

  /** The first row, in order, whose key the row before it has too; below 0 where keys differ. */
  repeated(): i32 {
    for (let i = 1; i < this.count; i++) {
      if (sameKey(this.at(i - 1), this.at(i))) return i;
    }
    return -1;
  }
}

/** The key that is looked for. */
const wanted: Slot = changetype<Slot>(memory.data(offsetof<Slot>(), 4));

/** Whether a text stands there as it is: characters below 0x80 that are their own UTF-8. */
function equalsAscii(key: usize, name: usize, length: i32): bool {
  for (let i: usize = 0; i < <usize>length; i++) {
    const unit = load<u16>(name + (i << 1));
    if (unit >= 0x80 || unit != <u16>load<u8>(key + i)) return false;
  }
  return true;
}

/** Whether no other text than its own could stand for a name in JSON. */
function isPlainAscii(name: string): bool {
  for (let i = 0; i < name.length; i++) {
    const unit = <u32>load<u16>(changetype<usize>(name) + (<usize>i << 1));
    if (unit >= 0x80 || unit < 0x20 || unit == 0x22 || unit == 0x5c) return false;
  }
  return true;
}
