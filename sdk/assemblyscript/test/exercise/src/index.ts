// Shows the tests each part of the SDK: the row's key says which, and the images are what it is
// tried on.
import {
  Conflict, deleted, error, fail, failed, Json, keep, Kind, merged, mergeCounter, mergeObject,
  mergeFields, mergeRecords, mergeSet, mergeValue, Operation, Result, Side,
} from "@syncline/sdk";

export function merge(c: Conflict): Result {
  const part = c.rowPk;
  if (part == "as read") return asRead(c);
  if (part == "rebuilt") return rebuiltRow(c);
  if (part == "echo") return merged(echo(c));
  if (part == "keep older") return keep(c.older);
  if (part == "keep ancestor") return keep(c.ancestor);
  if (part == "deleted") return deleted();
  if (part == "equals") return equality(c);
  if (part == "numbers") return numbers(c.older.image!);
  if (part == "fields") return merged(mergeFields(c));
  if (part == "nested") return nested(c);
  if (part == "value") return value(c);
  if (part == "counter") return counter(c);
  if (part == "set") return set(c);
  if (part == "records") return records(c);
  if (part == "changes") return changes(c);
  if (part == "wrong kinds") return wrongKinds(c.older.image!);
  if (part == "fail twice") {
    fail("first");
    return error(failed() ? "second" : "not failed");
  }
  if (part == "trap") throw new Error("on purpose");
  return error("no such part: " + part);
}

/** The older image as any JSON value; an error where it is none. */
function asRead(c: Conflict): Result {
  const json = Json.parse(c.older.raw!);
  return json ? merged(json) : error("refused");
}

/** The same, made anew from its parts. */
function rebuiltRow(c: Conflict): Result {
  const json = Json.parse(c.older.raw!);
  return json ? merged(rebuilt(json)) : error("refused");
}

function rebuilt(json: Json): Json {
  switch (json.kind) {
    case Kind.Null: return Json.null();
    case Kind.Bool: return Json.bool(json.bool());
    case Kind.Number: return Json.parseText(json.text())!;
    case Kind.Text: return Json.text(json.text());
    case Kind.List: {
      const list = Json.list();
      for (let i = 0; i < json.length; i++) list.push(rebuilt(json.at(i)!));
      return list;
    }
    default: {
      const object = Json.object();
      // From the last, so that each is put before the others.
      for (let i = json.length - 1; i >= 0; i--) {
        object.set(json.nameAt(i), rebuilt(json.get(json.nameAt(i))!));
      }
      return object;
    }
  }
}

function echo(c: Conflict): Json {
  const json = Json.object();
  json.set("table", Json.text(c.table));
  json.set("row_pk", Json.text(c.rowPk));
  json.set("ancestor", c.ancestor.image || Json.null());
  json.set("older", side(c.older));
  json.set("newer", side(c.newer));
  return json;
}

function side(from: Side): Json {
  const json = Json.object(), operation = from.operation;
  json.set("region", Json.text(from.region));
  json.set("hlc", Json.u64(from.hlc));
  json.set("millis", Json.u64(from.millis));
  json.set("operation", Json.text(
    operation == Operation.Insert ? "insert"
      : operation == Operation.Update ? "update" : "delete"));
  json.set("image", from.image || Json.null());
  return json;
}

/** Of the raw texts, of what was rebuilt, and of one of each; the order of texts. */
function equality(c: Conflict): Result {
  const a = Json.parse(c.older.raw!)!, b = Json.parse(c.newer.raw!)!;
  const x = rebuilt(a), y = rebuilt(b), json = Json.object();
  json.set("raw", Json.bool(a.equals(b)));
  json.set("rebuilt", Json.bool(x.equals(y)));
  json.set("mixed", Json.bool(a.equals(y) && x.equals(b)));
  const order = a.compareText(b);
  json.set("order", Json.i64(order < 0 ? -1 : order > 0 ? 1 : 0));
  return merged(json);
}

function numbers(row: Json): Result {
  const all = Json.list();
  for (let i = 0; i < row.length; i++) {
    const number = row.at(i)!, json = Json.object();
    if (number.isI64) json.set("i64", Json.i64(number.i64()));
    if (number.isU64) json.set("u64", Json.u64(number.u64()));
    all.push(json);
  }
  const answer = Json.object();
  answer.set("all", all);
  return merged(answer);
}

function nested(c: Conflict): Result {
  return merged(mergeObject(c.ancestor.image, c.older.image, c.newer.image, 1));
}

function value(c: Conflict): Result {
  const json = Json.object();
  const kept = mergeValue(c.ancestor.field("v"), c.older.field("v"), c.newer.field("v"));
  if (kept) json.set("v", kept);
  return merged(json);
}

function counter(c: Conflict): Result {
  const json = Json.object();
  const n = mergeCounter("n", c.ancestor.i64("n"), c.older.i64("n"), c.newer.i64("n"));
  json.set("n", Json.i64(n));
  return merged(json);
}

function set(c: Conflict): Result {
  const json = Json.object();
  json.set("s", mergeSet(c.ancestor.field("s"), c.older.field("s"), c.newer.field("s")));
  return merged(json);
}

/** Lists as they are by key; a record that one side removed is gone. */
function records(c: Conflict): Result {
  const ancestor = c.ancestor.records("r", "k"), older = c.older.records("r", "k", checkRecord);
  const newer = c.newer.records("r", "k", checkRecord), json = Json.object();
  json.set("r", mergeRecords(ancestor, older, newer, (a, o, n) => {
    if (a && !(o && n)) return null;
    return mergeObject(a, o, n);
  }));
  json.set("listed", Json.bool(older.isListed));
  const first = older.at(0), found = older.get("b\"é");
  if (first) json.set("first", first);
  if (found) json.set("found", found);
  return merged(json);
}

function checkRecord(record: Json): string | null {
  return record.has("bad") ? "bad is there" : null;
}

/** What is changed inside of a row shows in the row, and not in a copy of it. */
function changes(c: Conflict): Result {
  const row = c.older.image!, json = Json.object();
  const copy = row.copy(), merge = mergeObject(null, row, row);
  const deep = row.get("a")!.get("b")!;
  deep.set("x", Json.text("new"));
  deep.remove("gone");
  row.get("list")!.push(Json.null());
  row.get("list")!.at(0)!.set("y", Json.bool(true));
  const changed = row.copy();
  deep.set("later", Json.null());
  json.set("changed", changed);
  json.set("copy", copy);
  json.set("merge", merge);
  json.set("row", row);
  return merged(json);
}

/** What a value of another kind is asked for does nothing and traps nowhere. */
function wrongKinds(row: Json): Result {
  for (let i = 0; i < row.length; i++) {
    const value = row.at(i)!;
    if (!value.isObject) {
      value.set("k", Json.null());
      value.remove("k");
      if (value.get("k") || value.has("k") || value.nameAt(0) != "") return error("not an object");
    }
    if (!value.isList) value.push(Json.null());
    const past = value.at(-1) || value.at(value.length) || value.at(i32.MAX_VALUE);
    if (past) return error("out of range");
    if (!value.isI64 && value.i64() != 0) return error("no integer");
    if (!value.isU64 && value.u64() != 0) return error("no integer");
    if (!value.isBool && value.bool()) return error("no bool");
    if (value.is("no") || value.compareText(value) != 0) return error("no such text");
  }
  return merged(row);
}
