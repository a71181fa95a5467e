// Lists of records that one of their fields tells apart.
import { Json } from "./json";
import { Members, orderOfKeys, sameKey, Slot } from "./members";

/** What is wrong with a record; null if nothing is. */
export type CheckRecord = (record: Json) => string | null;

/** A list's records by their key, sorted by its bytes, each key once. */
export class Records {
  /** @internal */
  readonly rows: Members;

  /** @internal */
  constructor(list: Json | null) {
    this.isListed = list != null;
    this.rows = new Members(list ? list.length : 0);
  }

  /** Whether the row has the list; an absent one is not the same as an empty one. */
  readonly isListed: bool;

  /** How many records. */
  get length(): i32 { return this.rows.count; }

  /** The record at a place in the order of keys; null past the end. */
  at(i: i32): Json | null {
    return <u32>i < <u32>this.rows.count ? changetype<Json>(this.rows.at(i).node) : null;
  }

  /** The record with this key; null where there is none. */
  get(key: string): Json | null {
    const i = this.rows.find(key);
    return i < 0 ? null : changetype<Json>(this.rows.at(i).node);
  }

  /** @internal Reads a list; a text that goes on from its name where it is none of records. */
  read(list: Json, key: string, check: CheckRecord | null): string | null {
    if (!list.isList) return " is not a list";
    let wrong: string | null = null;
    for (let i = 0; i < list.length && !wrong; i++) {
      const record = list.at(i)!, id = record.get(key);
      if (!id || !id.isText) wrong = key + " is not a text";
      else if (check) wrong = check(record);
      if (wrong) {
        wrong = place(i) + wrong;
      } else {
        const slot = this.rows.push();
        id!.keyInto(slot);
        slot.node = changetype<usize>(record);
        slot.entry = i;
      }
    }
    this.rows.sort();
    // A repeated key further up is the first thing wrong with the list.
    const repeated = this.firstRepeated();
    return repeated < 0 ? wrong : place(repeated) + key + " appears twice";
  }

  /** The first place in the list whose key came before; below 0 where keys differ. */
  private firstRepeated(): i32 {
    let first = -1;
    for (let i = 1; i < this.rows.count; i++) {
      const slot = this.rows.at(i);
      if (sameKey(this.rows.at(i - 1), slot)) {
        first = first < 0 ? <i32>slot.entry : min(first, <i32>slot.entry);
      }
    }
    return first;
  }
}

function place(i: i32): string { return "[" + i.toString() + "]: "; }

/**
 * What a record becomes: null where it is removed. At least one of `older` and `newer` is there.
 */
export type MergeRecord =
  (ancestor: Json | null, older: Json | null, newer: Json | null) => Json | null;

/**
 * Merges lists record by record, into a list sorted by the bytes of the keys. A record that both
 * sides removed is gone without a question.
 */
export function mergeRecords(
  ancestor: Records, older: Records, newer: Records, merge: MergeRecord): Json {
  const merged = Json.list(), a = ancestor.rows, o = older.rows, n = newer.rows;
  let i = 0, j = 0, k = 0;
  while (j < o.count || k < n.count) {
    const order = j == o.count ? 1 : k == n.count ? -1 : orderOfKeys(o.at(j), n.at(k));
    const left = order <= 0 ? record(o.at(j)) : null, right = order >= 0 ? record(n.at(k)) : null;
    const key = order <= 0 ? o.at(j) : n.at(k);
    while (i < a.count && orderOfKeys(a.at(i), key) < 0) i++;
    const before = i < a.count && sameKey(a.at(i), key) ? record(a.at(i)) : null;
    const one = merge(before, left, right);
    if (one) merged.push(one);
    j += <i32>(order <= 0);
    k += <i32>(order >= 0);
  }
  return merged;
}

// @ts-ignore: decorator
@inline function record(slot: Slot): Json { return changetype<Json>(slot.node); }
