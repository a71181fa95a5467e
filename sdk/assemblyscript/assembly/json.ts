// JSON values that keep what nobody looks into as it was written: 64-bit integers, 1.50 and 1e400
// come out as they went in. What is written is canonical: keys sorted by their bytes, no white
// space.
import { Bytes, encode, order, same, take } from "./memory";
import { Members, sameKey, Slot } from "./members";
import { children, entry, Entry, inside, isCanonical, isEscaped, Kind, kind, scan } from "./scan";
import { decode, orderEscaped, Quoted, unescape } from "./text";
import { Writer } from "./writer";

/**
 * A JSON value. Objects and lists are shared, not copied, where they are put into others, as in
 * JavaScript.
 *
 * Nothing here traps: what a value of another kind is asked for is null, 0, false, empty or no
 * change.
 */
@unmanaged
export class Json {
  /** The canonical text, or 0 for an object or list that was made or changed here. */
  private start: usize = 0;
  private end: usize = 0;
  /** Whether the text, of a string, holds an escape. */
  private escaped: bool = false;
  /** Where it stands on the tape, while nobody has looked into it. */
  private unopened: usize = 0;
  private members: Members | null = null;
  /** What it was read as a part of, whose text ends to be true when this changes. */
  private parent: Json | null = null;

  private constructor(
    /** What kind of value this is. */
    public readonly kind: Kind) {}

  // ---- Making

  /**
   * A document; null where the bytes are none: damaged, nested too deep, or with a key twice in
   * an object.
   */
  static parse(document: Bytes): Json | null {
    const at = scan(document);
    if (at == 0) return null;
    return isCanonical ? Json.read(entry(at), null) : Json.rebuild(entry(at));
  }

  /** A document that is given as text. */
  static parseText(document: string): Json | null {
    return Json.parse(Bytes.of(document));
  }

  static null(): Json { return Json.literal(Kind.Null, "null"); }
  static bool(value: bool): Json { return Json.literal(Kind.Bool, value ? "true" : "false"); }
  static i64(value: i64): Json {
    const negative = value < 0;
    return Json.integer(negative ? 0 - <u64>value : <u64>value, negative);
  }

  static u64(value: u64): Json { return Json.integer(value, false); }

  private static integer(magnitude: u64, negative: bool): Json {
    const json = new Json(Kind.Number);
    let digits = 1, rest = magnitude;
    for (; rest > 9; rest /= 10) digits++;
    const start = take(digits + negative), end = start + negative + digits;
    if (negative) store<u8>(start, 0x2d);
    rest = magnitude;
    for (let p = end; digits > 0; digits--, rest /= 10) store<u8>(--p, 0x30 + <u32>(rest % 10));
    json.start = start;
    json.end = end;
    return json;
  }

  /** A string. */
  static text(value: string): Json { return Json.quoted(Quoted.of(value)); }

  private static quoted(quoted: Quoted): Json {
    const json = new Json(Kind.Text);
    json.start = quoted.start;
    json.end = quoted.end;
    json.escaped = quoted.escaped;
    return json;
  }

  /** A list of values. */
  static list(items: Json[] = []): Json {
    const json = new Json(Kind.List), members = new Members(items.length);
    json.members = members;
    for (let i = 0; i < items.length; i++) pushItem(members, unchecked(items[i]));
    return json;
  }

  /** An object without members. */
  static object(): Json { return Json.around(new Members(8)); }

  /** @internal An object around members that are sorted, each key once. */
  static around(members: Members): Json {
    const json = new Json(Kind.Object);
    json.members = members;
    return json;
  }

  private static literal(kind: Kind, text: string): Json {
    const json = new Json(kind);
    json.start = take(text.length);
    json.end = encode(text, json.start);
    return json;
  }

  /** A value of a document in canonical form. */
  private static read(from: Entry, parent: Json | null): Json {
    const json = new Json(kind(from));
    json.start = from.start;
    json.end = from.end;
    json.escaped = isEscaped(from);
    json.unopened = changetype<usize>(from);
    json.parent = parent;
    return json;
  }

  /**
   * A value of any document, brought into canonical form; null where an object has a key twice.
   */
  private static rebuild(from: Entry): Json | null {
    if (isEscaped(from)) return Json.quoted(plain(from));
    if (kind(from) < Kind.List) return Json.read(from, null);
    const members = new Members(children(from));
    let at = inside(from);
    for (let i = 0; i < children(from); i++) {
      const key = entry(at);
      if (kind(from) == Kind.Object) at = key.next;
      const value = Json.rebuild(entry(at));
      if (!value) return null;
      at = entry(at).next;
      if (kind(from) == Kind.List) pushItem(members, value);
      else if (isEscaped(key)) members.pushKey(plain(key), changetype<usize>(value));
      else members.pushText(key, changetype<usize>(value), 0);
    }
    const json = new Json(kind(from));
    json.members = members;
    if (json.kind == Kind.Object) {
      members.sort();
      if (members.repeated() >= 0) return null;
    }
    return json;
  }

  // ---- Asking

  get isNull(): bool { return this.kind == Kind.Null; }
  get isBool(): bool { return this.kind == Kind.Bool; }
  get isNumber(): bool { return this.kind == Kind.Number; }
  get isText(): bool { return this.kind == Kind.Text; }
  get isList(): bool { return this.kind == Kind.List; }
  get isObject(): bool { return this.kind == Kind.Object; }

  /** Whether this is an integer from -2^63 to 2^63-1, written without fraction and exponent. */
  get isI64(): bool {
    const negative = this.isNegative;
    const limit: u64 = negative ? 0x8000000000000000 : 0x7fffffffffffffff;
    return this.isInteger(negative) && magnitude(this.start + negative, this.end) <= limit;
  }

  /** Whether this is an integer from 0 to 2^64-1, written without fraction and exponent. */
  get isU64(): bool {
    const negative = this.isNegative;
    return this.isInteger(negative) && (!negative || magnitude(this.start + 1, this.end) == 0);
  }

  /** The integer; 0 where `isI64` is false. */
  i64(): i64 {
    if (!this.isI64) return 0;
    const negative = this.isNegative, value = <i64>magnitude(this.start + negative, this.end);
    return negative ? -value : value;
  }

  /** The integer; 0 where `isU64` is false. */
  u64(): u64 {
    return this.isU64 ? magnitude(this.start + this.isNegative, this.end) : 0;
  }

  /** True for `true`. */
  bool(): bool { return this.kind == Kind.Bool && load<u8>(this.start) == 0x74; }

  /** The string that a text stands for; of anything else its JSON text. */
  text(): string {
    if (this.kind != Kind.Text) return this.bytes().toString();
    const from = this.start + 1, end = this.end - 1;
    if (!this.escaped) return String.UTF8.decodeUnsafe(from, end - from);
    const to = take(end - from);
    return String.UTF8.decodeUnsafe(to, unescape(from, end, to) - to);
  }

  /** Whether this is a text that stands for a string. */
  is(text: string): bool { return this.kind == Kind.Text && this.text() == text; }

  private get isNegative(): i32 {
    return this.kind == Kind.Number && load<u8>(this.start) == 0x2d;
  }

  /** Whether this is written as an integer that fits 64 bits without its sign. */
  private isInteger(sign: i32): bool {
    if (this.kind != Kind.Number || this.end - this.start > 20 + <usize>sign) return false;
    let p = this.start + sign;
    if (this.end - p == 20 && order(p, 20, MAX_U64, 20) > 0) return false;
    while (p < this.end && <u32>load<u8>(p) - 0x30 < 10) p++;
    return p == this.end;
  }

  // ---- Objects and lists

  /** How many members or items. */
  get length(): i32 {
    const members = this.members;
    return members ? members.count : this.kind >= Kind.List ? children(entry(this.unopened)) : 0;
  }

  /** An object's member; null where there is none. */
  get(name: string): Json | null {
    if (this.kind != Kind.Object) return null;
    const members = this.open(), i = members.find(name);
    return i < 0 ? null : this.child(members.at(i));
  }

  /** Whether an object has a member of this name. */
  has(name: string): bool { return this.kind == Kind.Object && this.open().find(name) >= 0; }

  /** Sets an object's member. */
  set(name: string, value: Json): void {
    if (this.kind != Kind.Object) return;
    this.open().set(name, changetype<usize>(value));
    this.touch();
  }

  /** Removes an object's member; whether it was there. */
  remove(name: string): bool {
    if (this.kind != Kind.Object) return false;
    const members = this.open(), i = members.find(name);
    if (i < 0) return false;
    members.remove(i);
    this.touch();
    return true;
  }

  /**
   * A list's item, or the value of an object's member in the order of the names; null past the
   * end.
   */
  at(i: i32): Json | null {
    if (<u32>i >= <u32>this.length) return null;
    return this.child(this.open().at(i));
  }

  /** The name of an object's member; empty past the end. */
  nameAt(i: i32): string {
    if (this.kind != Kind.Object || <u32>i >= <u32>this.length) return "";
    const slot = this.open().at(i), bytes = <usize>(slot.size >> 1);
    if ((slot.size & 1) == 0) return String.UTF8.decodeUnsafe(slot.key, bytes);
    const to = take(bytes);
    return String.UTF8.decodeUnsafe(to, unescape(slot.key, slot.key + bytes, to) - to);
  }

  /** Adds an item at a list's end. */
  push(item: Json): void {
    if (this.kind != Kind.List) return;
    pushItem(this.open(), item);
    this.touch();
  }

  /** @internal */
  open(): Members {
    const opened = this.members;
    if (opened) return opened;
    const from = entry(this.unopened), count = children(from);
    const members = new Members(count);
    let at = inside(from);
    for (let i = 0; i < count; i++) {
      if (this.kind == Kind.Object) {
        const key = entry(at);
        members.pushText(key, 0, key.next);
        at = entry(key.next).next;
      } else {
        const slot = members.push();
        slot.key = 0;
        slot.size = 0;
        slot.node = 0;
        slot.entry = at;
        at = entry(at).next;
      }
    }
    this.members = members;
    return members;
  }

  /** @internal */
  child(slot: Slot): Json {
    if (slot.node == 0) slot.node = changetype<usize>(Json.read(entry(slot.entry), this));
    return changetype<Json>(slot.node);
  }

  /** Says, here and above, that the text is no longer true. */
  private touch(): void {
    let json: Json | null = this;
    while (json && json.start) {
      json.start = 0;
      json = json.parent;
    }
  }

  /** The same value; what is changed in the copy is not changed here. */
  copy(): Json {
    if (this.kind < Kind.List) return this;
    if (this.start) return Json.read(entry(this.unopened), null);
    const json = new Json(this.kind), mine = this.open(), members = new Members(mine.count);
    for (let i = 0; i < mine.count; i++) Json.copySlot(mine.at(i), members);
    json.members = members;
    return json;
  }

  /** @internal A member or item as it stands, for another object or list. */
  static copySlot(from: Slot, members: Members): void {
    const slot = members.pushSlot(from);
    if (slot.node == 0) return;
    const json = changetype<Json>(slot.node);
    if (json.kind < Kind.List) return;
    if (json.start) {
      slot.node = 0;
      slot.entry = json.unopened;
    } else {
      slot.node = changetype<usize>(json.copy());
    }
  }

  // ---- Comparing and writing

  /** Whether both are the same, numbers by how they are written: 1.5 and 1.50 differ. */
  equals(other: Json): bool {
    if (this.start && other.start) {
      const bytes = this.end - this.start;
      return other.end - other.start == bytes && same(this.start, other.start, bytes);
    }
    if (this.kind != other.kind || this.length != other.length) return false;
    const mine = this.open(), theirs = other.open();
    for (let i = 0; i < mine.count; i++) {
      const a = mine.at(i), b = theirs.at(i);
      if (!sameKey(a, b) || !this.child(a).equals(other.child(b))) return false;
    }
    return true;
  }

  /** @internal Whether the values of two members or items are the same. */
  static sameSlots(a: Slot, b: Slot): bool {
    if (a.node == 0 && b.node == 0) {
      const x = entry(a.entry), y = entry(b.entry), bytes = x.end - x.start;
      return y.end - y.start == bytes && same(x.start, y.start, bytes);
    }
    return Json.alone(a).equals(Json.alone(b));
  }

  /** @internal The value of a member or item, to look at. */
  static alone(slot: Slot): Json {
    return slot.node ? changetype<Json>(slot.node) : Json.read(entry(slot.entry), null);
  }

  /**
   * @internal Below 0, 0 or above: the order of the canonical texts, which means nothing but is
   * always the same.
   */
  static orderOfJson(a: Json, b: Json): i32 {
    const x = a.bytes(), y = b.bytes();
    return order(x.start, x.length, y.start, y.length);
  }

  /**
   * Below 0, 0 or above: the order of two texts by the bytes of their UTF-8. What is no text
   * comes first.
   */
  compareText(other: Json): i32 {
    if (this.kind != Kind.Text || other.kind != Kind.Text) {
      return <i32>(this.kind == Kind.Text) - <i32>(other.kind == Kind.Text);
    }
    const a = this.start + 1, aEnd = this.end - 1, b = other.start + 1, bEnd = other.end - 1;
    if (this.escaped || other.escaped) return orderEscaped(a, aEnd, b, bEnd);
    return order(a, aEnd - a, b, bEnd - b);
  }

  /** @internal A string's text as a row's key. */
  keyInto(slot: Slot): void {
    slot.key = this.start + 1;
    slot.size = <u32>(this.end - this.start - 2) << 1 | <u32>this.escaped;
  }

  /** The value as canonical JSON. */
  bytes(): Bytes {
    if (this.start) return new Bytes(this.start, <i32>(this.end - this.start));
    const writer = new Writer();
    this.write(writer);
    return new Bytes(writer.start, <i32>(writer.end - writer.start));
  }

  /** The value as canonical JSON, as text. */
  toString(): string { return this.bytes().toString(); }

  /** @internal */
  write(writer: Writer): void {
    if (this.start) {
      writer.copy(this.start, this.end - this.start);
      return;
    }
    const members = this.open(), isObject = this.kind == Kind.Object;
    writer.byte(isObject ? 0x7b : 0x5b);
    for (let i = 0; i < members.count; i++) {
      const slot = members.at(i), node = slot.node;
      if (i) writer.byte(0x2c);
      if (isObject) writer.key(slot.key, slot.size >> 1);
      if (node) changetype<Json>(node).write(writer);
      else writer.copy(entry(slot.entry).start, entry(slot.entry).end - entry(slot.entry).start);
    }
    writer.byte(isObject ? 0x7d : 0x5d);
  }
}

/** A string on the tape, with no escapes but those of canonical form. */
function plain(text: Entry): Quoted { return Quoted.of(decode(text.start + 1, text.end - 1)); }

function pushItem(members: Members, item: Json): void {
  const slot = members.push();
  slot.key = 0;
  slot.size = 0;
  slot.node = changetype<usize>(item);
  slot.entry = 0;
}

/** 2^64-1 in digits, with the slack. */
const MAX_U64: usize = memory.data<u8>([
  0x31, 0x38, 0x34, 0x34, 0x36, 0x37, 0x34, 0x34, 0x30, 0x37,
  0x33, 0x37, 0x30, 0x39, 0x35, 0x35, 0x31, 0x36, 0x31, 0x35, 0, 0, 0, 0, 0, 0, 0, 0,
]);

/** An integer's value without its sign; it fits. */
function magnitude(p: usize, end: usize): u64 {
  let value: u64 = 0;
  for (; p < end; p++) value = value * 10 + (load<u8>(p) - 0x30);
  return value;
}
