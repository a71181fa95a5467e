// The SDK as a function uses it: exercise/src/index.ts does what the row's key asks for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { compile } from "../tool/compile.mjs";
import { call } from "./guest.mjs";
import { damaged, documents } from "./documents.mjs";
import { canonical } from "./reference.mjs";

const folder = fileURLToPath(new URL("exercise", import.meta.url));
const module = new WebAssembly.Module(await compile(folder));

function part(rowPk, images) {
  return call(module, { rowPk, ...images });
}

function row(rowPk, images) {
  const { merged, error } = part(rowPk, images);
  assert.equal(error, undefined);
  return JSON.parse(merged);
}

/** What becomes of a document, or `refused`. */
function read(document, rowPk = "as read") {
  const { merged, error } = part(rowPk, { older: document });
  return error ?? merged;
}

function bytes(text) {
  return new TextEncoder().encode(text);
}

test("a conflict arrives whole", () => {
  const older = '{"big":18446744073709551615}';
  assert.equal(
    part("echo", { ancestor: '{"a":1.50}', older, newer: null }).merged,
    '{"ancestor":{"a":1.50},'
      + '"newer":{"hlc":18446744073709551615,"image":null,"millis":281474976710655,'
      + '"operation":"delete","region":"us-east-1"},'
      + '"older":{"hlc":81985529216486895,"image":{"big":18446744073709551615},'
      + '"millis":1250999896491,"operation":"update","region":"eu-west-1"},'
      + '"row_pk":"echo","table":"carts"}',
  );
});

test("the three kinds of answer", () => {
  assert.deepEqual(part("keep older", { older: '{"a":1}' }), { merged: '{"a":1}' });
  assert.deepEqual(part("keep older", { older: null }), { merged: null });
  assert.deepEqual(part("keep ancestor", { older: null }), { merged: null });
  assert.deepEqual(part("deleted", { older: "{}" }), { merged: null });
  assert.deepEqual(part('é"😀', { older: "{}" }), { error: 'no such part: é"😀' });
});

test("the first failure is the answer, whatever is returned", () => {
  assert.deepEqual(part("fail twice", { older: "{}" }), { error: "first" });
  const fields = (older, newer) => part("fields", { older, newer }).error;
  assert.equal(fields("[]", "7"), "older: not a JSON object");
  assert.equal(fields("{}", "{"), "newer: not a JSON object");
});

test("a throw traps", () => {
  assert.throws(() => part("trap", { older: "{}" }), WebAssembly.RuntimeError);
});

test("canonical documents come out as they went in", () => {
  for (const document of documents()) {
    const text = canonical(bytes(document));
    assert.notEqual(text, null, document);
    assert.equal(read(text), text);
    assert.equal(read(text, "rebuilt"), text);
    assert.equal(read(document), text);
  }
});

test("whatever the bytes, they are read as the reference reads them", () => {
  let taken = 0, refused = 0;
  for (const document of damaged(8_000)) {
    const expected = canonical(document);
    if (expected === null) refused += 1;
    else taken += 1;
    assert.equal(read(document), expected ?? "refused", Buffer.from(document).toString());
  }
  assert.ok(taken > 500 && refused > 500, `${taken} taken, ${refused} refused`);
});

test("what is no text is refused: lone surrogates, and bytes that are no UTF-8", () => {
  const escapes = ["\\ud800", "\\udc00", "\\udc00\\udc00", "\\ud800\\ud800", "\\ud800x",
    "\\ud800\\n", "\\ud800\\u0041", "\\uD83D\\uD83D\\uDE00", "\\ud83d\\ude0", "\\u12",
    "\\u12g4", "\\x41"];
  for (const escape of escapes) {
    assert.equal(read(`"${escape}"`), "refused", escape);
    assert.equal(read(`{"${escape}":1}`), "refused", escape);
  }
  const sequences = [[0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc3], [0xc3, 0x28],
    [0xe0, 0x9f, 0xbf], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xe2, 0x82],
    [0xf0, 0x8f, 0xbf, 0xbf], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xf0, 0x9f, 0x98],
    [0xff]];
  for (const sequence of sequences) {
    const document = Uint8Array.from([0x22, ...sequence, 0x22]);
    assert.equal(canonical(document), null);
    assert.equal(read(document), "refused", String(sequence));
  }
  const borders = ["\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\u{10000}",
    "\u{10ffff}"];
  for (const text of borders) assert.equal(read(`"${text}"`), `"${text}"`);
});

test("limits: nesting, numbers, keys", () => {
  const nested = (depth) => "[".repeat(depth) + "]".repeat(depth);
  assert.equal(read(nested(100)), nested(100));
  assert.equal(read(nested(101)), "refused");
  assert.equal(read("1".repeat(64)), "1".repeat(64));
  assert.equal(read("1".repeat(65)), "refused");
  assert.equal(read('{"a":1,"\\u0061":2}'), "refused");
  assert.equal(read('{"a":{"b":1,"c":2,"b":1}}'), "refused");
  const backwards = Array.from({ length: 20_000 }, (_, i) => `"k${String(99_999 - i)}":${i}`);
  const sorted = `{${[...backwards].reverse().join()}}`;
  assert.equal(read(`{${backwards.join()}}`), sorted);
  assert.equal(read(sorted, "rebuilt"), sorted);
});

test("equality is that of the text, order that of the bytes", () => {
  const texts = ['""', '"a"', '"a!"', '"ab"', '"\\n"', '"\\u001f"', '" "', '"\\""', '"\\\\"',
    '"z"', '"é"', '"\uffee"', '"😀"',
    '"abcdefgh"', '"abcdefgi"', '"abcdefgh\\n"', '"abcdefghi"'];
  for (const a of texts) {
    for (const b of texts) {
      const order = Buffer.compare(Buffer.from(JSON.parse(a)), Buffer.from(JSON.parse(b)));
      const same = a === b;
      assert.deepEqual(row("equals", { older: a, newer: b }),
        { raw: same, rebuilt: same, mixed: same, order }, `${a} ${b}`);
    }
  }
  const objects = [
    '{"a":{"b":[1,2]}}', '{"a":{"b":[1,2.0]}}', '{"a":{"b":[1]}}', '{"b":{"b":[1,2]}}',
  ];
  for (const a of objects) {
    for (const b of objects) {
      const same = a === b;
      assert.deepEqual(row("equals", { older: a, newer: b }),
        { raw: same, rebuilt: same, mixed: same, order: 0 });
    }
  }
});

test("integers of 64 bits, as they are written", () => {
  const both = ["0", "7", "9223372036854775807"], all = [...both.map((n) => [n, n, n]),
    ["-0", "0", "0"], ["-1", "-1"], ["-9223372036854775808", "-9223372036854775808"],
    ["-9223372036854775809"], ["9223372036854775808", undefined, "9223372036854775808"],
    ["18446744073709551615", undefined, "18446744073709551615"], ["18446744073709551616"],
    ["99999999999999999999"], ["100000000000000000000"], ["-99999999999999999999"],
    ["1.0"], ["1e2"], ["1E0"], ['"1"'], ["true"], ["null"], ["[]"], ["{}"]];
  const name = (i) => `n${String(i).padStart(2, "0")}`;
  const older = `{${all.map(([n], i) => `"${name(i)}":${n}`).join()}}`;
  const parts = all.map(([, signed, unsigned]) => [
    signed && `"i64":${signed}`, unsigned && `"u64":${unsigned}`,
  ].filter(Boolean).join());
  const answer = `{"all":[${parts.map((one) => `{${one}}`).join()}]}`;
  assert.equal(part("numbers", { older }).merged, answer);
});

test("what a value is not it is asked for without harm", () => {
  const older = '{"a":1,"b":"x","c":[1],"d":{"k":1},"e":null,"f":true,"g":false,"h":-1.5}';
  assert.equal(part("wrong kinds", { older }).merged, older);
});

test("a change inside of a row shows in the row, and not in copies", () => {
  const older = '{"a":{"b":{"gone":1,"p":1.50}},"list":[{"x":1}],"z":9007199254740993}';
  const list = '"list":[{"x":1,"y":true},null]';
  const changed = `{"a":{"b":{"p":1.50,"x":"new"}},${list},"z":9007199254740993}`;
  assert.equal(part("changes", { older }).merged,
    `{"changed":${changed},"copy":${older},"merge":${older},`
    + `"row":${changed.replace('"p"', '"later":null,"p"')}}`);
});
