// Core modules in node: what the runtime does with a component, without the runtime.
import assert from "node:assert/strict";

/** Calls a module's `merge` in a fresh instance; images are texts, bytes or null. */
export function call(module, { rowPk = "c-1", ancestor = null, older, newer = "{}" }) {
  const { merge, memory, cabi_realloc: realloc } = new WebAssembly.Instance(module).exports;
  const put = (value) => {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    const at = realloc(0, 0, 1, bytes.length);
    new Uint8Array(memory.buffer).set(bytes, at);
    return [at, bytes.length];
  };
  const record = realloc(0, 0, 8, 96);
  const word = (at, value) => new DataView(memory.buffer).setUint32(record + at, value, true);
  const list = (at, [start, length]) => {
    word(at, start);
    word(at + 4, length);
  };
  const option = (at, image) => {
    word(at, image === null ? 0 : 1);
    if (image !== null) list(at + 4, put(image));
  };
  const side = (at, region, hlc, image) => {
    list(at, put(region));
    new DataView(memory.buffer).setBigUint64(record + at + 8, hlc, true);
    word(at + 16, image === null ? 2 : ancestor === null ? 0 : 1);
    option(at + 20, image);
  };
  list(0, put("carts"));
  list(8, put(rowPk));
  option(16, ancestor);
  side(32, "eu-west-1", 0x0123_4567_89ab_cdefn, older);
  side(64, "us-east-1", 0xffff_ffff_ffff_ffffn, newer);
  return answer(memory, merge(record));
}

/** `{error}`, `{merged: null}` or `{merged}` with the text of the row. */
function answer(memory, at) {
  const view = new DataView(memory.buffer);
  const text = (at) => {
    const [start, length] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    const bytes = new Uint8Array(memory.buffer, start, length);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  };
  if (view.getUint8(at) === 1) return { error: text(at + 4) };
  return { merged: view.getUint8(at + 4) === 1 ? text(at + 8) : null };
}

/**
 * Runs the cases of a golden file; how many there are. Images are given and compared as their
 * text.
 */
export function checkCases(module, file) {
  const cases = items(file).map((item) => new Map(members(item)));
  for (const one of cases) {
    const image = (name) => {
      const text = one.get(name) ?? "null";
      return text === "null" ? null : text;
    };
    const got = call(module, {
      ancestor: image("ancestor"), older: image("older"), newer: image("newer"),
    });
    const expected = one.has("error")
      ? { error: JSON.parse(one.get("error")) } : { merged: image("merged") };
    assert.deepEqual(got, expected, JSON.parse(one.get("name")));
  }
  return cases.length;
}

/** The texts of a JSON list's items. */
function items(list) {
  return split(list);
}

/** Name and text of a JSON object's members. */
function members(object) {
  return split(object).map((member) => {
    const name = /^"(?:[^"\\]|\\.)*"/.exec(member)[0];
    return [JSON.parse(name), member.slice(member.indexOf(":", name.length) + 1).trim()];
  });
}

/** What stands between the outer brackets of valid JSON, at its commas. */
function split(text) {
  const parts = [];
  let depth = 0, start = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},]/g)) {
    if (token === "[" || token === "{") {
      depth += 1;
      if (depth === 1) start = index + 1;
    } else if (token === "]" || token === "}") {
      depth -= 1;
    }
    if ((depth === 1 && token === ",") || (depth === 0 && token !== ",")) {
      const part = text.slice(start, index).trim();
      if (part !== "") parts.push(part);
      start = index + 1;
    }
  }
  return parts;
}
