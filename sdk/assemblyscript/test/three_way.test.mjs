// The helpers that merge against the ancestor.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { compile } from "../tool/compile.mjs";
import { call } from "./guest.mjs";

const folder = fileURLToPath(new URL("exercise", import.meta.url));
const module = new WebAssembly.Module(await compile(folder));

function merged(rowPk, ancestor, older, newer) {
  const answer = call(module, { rowPk, ancestor, older, newer });
  return answer.error ? `error: ${answer.error}` : answer.merged;
}

test("one value", () => {
  const value = (a, o, n) => {
    const object = (v) => (v === null ? "{}" : `{"v":${v}}`);
    return merged("value", object(a), object(o), object(n));
  };
  assert.equal(value("1", "2", "1"), '{"v":2}');
  assert.equal(value("1", "2", "3"), '{"v":3}');
  assert.equal(value("1", "1", "3"), '{"v":3}');
  assert.equal(value("1", null, "1"), "{}");
  assert.equal(value("1", "2", null), "{}");
  assert.equal(value(null, "2", null), '{"v":2}');
  assert.equal(value(null, null, "3"), '{"v":3}');
  assert.equal(value("1.5", "2", "1.50"), '{"v":1.50}');
});

test("fields, as the rule says it for each of 5 x 5 x 5 combinations", () => {
  const values = [null, "1", "2", "1.0", '{"a":[1]}'];
  const object = (v) => (v === null ? '{"k":0}' : `{"f":${v},"k":0}`);
  for (const a of values) {
    for (const o of values) {
      for (const n of values) {
        const kept = a === n ? o : n;
        const got = merged("fields", object(a), object(o), object(n));
        assert.equal(got, object(kept), `${a} ${o} ${n}`);
      }
    }
  }
});

test("the fields of the side that is left", () => {
  assert.equal(merged("fields", '{"a":1}', null, '{"a":1,"b":2}'), '{"a":1,"b":2}');
  assert.equal(merged("fields", '{"a":1}', '{"a":1,"b":2}', null), '{"a":1,"b":2}');
  assert.equal(merged("fields", '{"a":1}', null, null), "{}");
  assert.equal(merged("fields", null, '{"a":1,"c":1}', '{"b":2,"c":2}'), '{"a":1,"b":2,"c":2}');
});

test("nested fields, as deep as asked for", () => {
  const nested = (home, at) => `{"at":{"x":{"n":${at},"z":1}},"home":${home}}`;
  assert.equal(
    merged("nested", nested('{"city":"Rome","zip":"1"}', 0),
      nested('{"city":"Oslo","zip":"1"}', 1), nested('{"city":"Rome","zip":"2"}', 2)),
    nested('{"city":"Oslo","zip":"2"}', 2));
  assert.equal(
    merged("nested", '{"h":1}', '{"h":{"a":1}}', '{"h":{"b":2}}'), '{"h":{"a":1,"b":2}}');
  assert.equal(merged("nested", '{"h":{}}', '{"h":{"a":1}}', '{"h":[]}'), '{"h":[]}');
});

test("counters add up, and only the answer has a range", () => {
  const low = -(2n ** 63n), high = 2n ** 63n - 1n;
  const all = [low, low + 1n, -1n, 0n, 1n, 7n, high - 1n, high];
  for (const a of all) {
    for (const o of all) {
      for (const n of all) {
        const sum = o + n - a;
        const expected = sum < low ? "error: n is below -2^63"
          : sum > high ? "error: n is above 2^63-1" : `{"n":${sum}}`;
        assert.equal(merged("counter", `{"n":${a}}`, `{"n":${o}}`, `{"n":${n}}`), expected);
      }
    }
  }
  assert.equal(merged("counter", null, '{"n":5}', "{}"), '{"n":5}');
  assert.equal(merged("counter", null, '{"n":5}', '{"n":5.0}'),
    "error: newer: n is not an integer from -2^63 to 2^63-1");
});

test("sets", () => {
  const set = (...lists) => merged("set", ...lists.map((list) => `{"s":${list}}`));
  assert.equal(set('["blue","green"]', '["blue","green","red"]', '["green","white"]'),
    '{"s":["green","red","white"]}');
  assert.equal(set("[]", '["b","a","b"]', "[2,10,1]"), '{"s":["a","b",1,10,2]}');
  assert.equal(set("[1,2,3]", "[3,2]", "[1,3]"), '{"s":[3]}');
  assert.equal(set("7", "{}", '[{"a":1}]'), '{"s":[{"a":1}]}');
  assert.equal(merged("set", null, "{}", "{}"), '{"s":[]}');
});

test("records by key", () => {
  const list = (...records) => `{"r":[${records.join()}]}`;
  const record = (key, more = "") => `{"k":${key}${more}}`;
  assert.equal(
    merged("records", list(record('"a"'), record('"c"', ',"v":1'), record('"d"')),
      list(record('"c"', ',"v":2'), record('"b\\"é"'), record('"a"')),
      list(record('"😀"'), record('"c"', ',"v":1,"w":3'), record('"\uffee"'), record('"d"'))),
    `{"first":${record('"a"')},"found":${record('"b\\"é"')},"listed":true,`
    + `"r":[${record('"b\\"é"')},`
    + `${record('"c"', ',"v":2,"w":3')},${record('"\uffee"')},${record('"😀"')}]}`);
  assert.equal(merged("records", null, "{}", "{}"), '{"listed":false,"r":[]}');
});

test("what is wrong with a list of records comes with its place", () => {
  const error = (list) => merged("records", null, "{}", `{"r":${list}}`);
  assert.equal(error("7"), "error: newer: r is not a list");
  assert.equal(error('[{"k":"a"},{"k":1}]'), "error: newer: r[1]: k is not a text");
  assert.equal(error('["k"]'), "error: newer: r[0]: k is not a text");
  assert.equal(error('[{"bad":1,"k":"a"}]'), "error: newer: r[0]: bad is there");
  const twice = (i) => `error: newer: r[${i}]: k appears twice`;
  assert.equal(error('[{"k":"b"},{"k":"a"},{"k":"b"},{"k":"a"}]'), twice(2));
  assert.equal(error('[{"k":"b"},{"k":"b"},7]'), twice(1));
  assert.equal(error('[{"k":"b"},7,{"k":"b"}]'), "error: newer: r[1]: k is not a text");
});
