// What a merge function is given, and what it answers with.
import { Json } from "./json";
import { Bytes } from "./memory";
import { CheckRecord, Records } from "./records";

/** What a side did to the row. */
export enum Operation {
  /** The row came to be. */
  Insert,
  /** The row was there before. */
  Update,
  /** The row is gone. */
  Delete,
}

let failure: string | null = null;

/**
 * Gives up with a text for whoever repairs the row: the runtime falls back to the conflict's
 * newest change, in every region alike, and notes the text in the conflict log. The first text
 * counts.
 *
 * The function goes on, and what it returns is not looked at: AssemblyScript has nothing to catch.
 */
export function fail(text: string): void {
  if (!failure) failure = text;
}

/** Whether something has failed. */
export function failed(): bool { return failure != null; }

/** The row at one time. */
export class State {
  private isRead: bool = false;
  private row: Json | null = null;

  constructor(
    /** `ancestor`, `older` or `newer`, for error texts. */
    public readonly name: string,
    /** The row's JSON as the runtime gave it; null where there is no row. */
    public readonly raw: Bytes | null) {}

  /**
   * The row, an object; null where there is none. It is read when it is asked for first. If it is
   * no JSON object, the function has failed with a text that says so, and this is an empty one.
   */
  get image(): Json | null {
    const raw = this.raw;
    if (raw && !this.isRead) {
      const row = Json.parse(raw);
      if (row && row.isObject) {
        this.row = row;
      } else {
        this.fail("not a JSON object");
        this.row = Json.object();
      }
      this.isRead = true;
    }
    return this.row;
  }

  /** Whether there is a row. */
  get exists(): bool { return this.raw != null; }

  /** Gives up with a text that begins with this side's name. */
  fail(text: string): void { fail(this.name + ": " + text); }

  /**
   * The row's field as an integer; 0 where it is absent. Fails if it is none from -2^63 to
   * 2^63-1.
   */
  i64(field: string): i64 {
    const value = this.field(field);
    if (value && !value.isI64) this.fail(field + " is not an integer from -2^63 to 2^63-1");
    return value ? value.i64() : 0;
  }

  /** The row's field; null where it, or the row, is absent. */
  field(name: string): Json | null {
    const row = this.image;
    return row ? row.get(name) : null;
  }

  /**
   * The row's field as a list of records, by the text in their field `key`; empty where it is
   * absent.
   *
   * Fails if it is no list, or with the place of the first record whose key is no text, or for
   * which `check` has a text, or whose key came before: `newer: items[1]: id appears twice`.
   */
  records(field: string, key: string, check: CheckRecord | null = null): Records {
    const value = this.field(field), records = new Records(value);
    if (!value) return records;
    const problem = records.read(value, key, check);
    if (problem) this.fail(field + problem);
    return records;
  }
}

/** One side of a conflict. */
export class Side extends State {
  constructor(name: string, raw: Bytes | null, private readonly record: usize) {
    super(name, raw);
  }

  /** The region whose change is the newest on this side, with its #incarnation if above 1. */
  get region(): string { return text(this.record); }

  /**
   * That change's hybrid logical timestamp: 48 bits of milliseconds since 1970, then 16 bits of
   * counter.
   */
  get hlc(): u64 { return load<u64>(this.record, 8); }

  /** The milliseconds of `hlc`. */
  get millis(): u64 { return this.hlc >> 16; }

  /**
   * Delete where there is no image; else the newest change's operation, or Update if that was a
   * delete.
   */
  get operation(): Operation { return <Operation>load<u8>(this.record, 16); }
}

/** One conflict: two sides that changed the same row without having seen each other. */
export class Conflict {
  private constructor(
    private readonly record: usize,
    /**
     * The row exactly as it was with the changes that both sides have seen. Without an image
     * where there was no row, and always where the package says `"needs_ancestor": false`.
     */
    public readonly ancestor: State,
    /** The side with the lower (hlc, region). */
    public readonly older: Side,
    /** The side with the higher (hlc, region). */
    public readonly newer: Side) {}

  /** The table that the row is in. */
  get table(): string { return text(this.record); }

  /** The row's primary key. */
  get rowPk(): string { return text(this.record + 8); }

  /** @internal Of what the host wrote; glue.ts says how. */
  static at(record: usize): Conflict {
    const ancestor = new State("ancestor", image(record + 16));
    const older = new Side("older", image(record + 52), record + 32);
    const newer = new Side("newer", image(record + 84), record + 64);
    return new Conflict(record, ancestor, older, newer);
  }
}

/** What a merge function answers with: `merged`, `deleted`, `keep` or `error` make one. */
export class Result {
  /** @internal */
  constructor(readonly row: Bytes | null) {}
}

/** The row is this object. */
export function merged(row: Json): Result { return new Result(row.bytes()); }

/** The row is deleted. */
export function deleted(): Result { return new Result(null); }

/** The row is as one side has it, or deleted as there. */
export function keep(side: State): Result { return new Result(side.raw); }

/** As `fail`, for where the function ends anyway. */
export function error(text: string): Result {
  fail(text);
  return new Result(null);
}

/** @internal What `merge` returned, or the failure, where the host will look for it. */
export function lower(result: Result): usize {
  const text = failure, row = text ? Bytes.of(text) : result.row;
  store<u8>(area, text ? 1 : 0);
  store<u8>(area, row ? 1 : 0, 4);
  if (row) {
    const at = area + (text ? 4 : 8);
    store<usize>(at, row.start);
    store<i32>(at, row.length, 4);
  }
  return area;
}

/** Where the answer's record lies. */
const area: usize = memory.data(16, 4);

function text(at: usize): string {
  return String.UTF8.decodeUnsafe(load<usize>(at), load<usize>(at, 4));
}

function image(at: usize): Bytes | null {
  return load<u8>(at) ? new Bytes(load<usize>(at, 4), load<i32>(at, 8)) : null;
}
