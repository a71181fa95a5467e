// The build: what it writes, and what it says where it can't.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "../tool/build.mjs";

const sdk = fileURLToPath(new URL("..", import.meta.url));
const folders = [];
after(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

const KEEP = `import { Conflict, keep, Result } from "@syncline/sdk";
export function merge(c: Conflict): Result { return keep(c.older); }
`;

/** A function's folder somewhere else. */
function folder(source, settings = {}) {
  const at = mkdtempSync(join(tmpdir(), "syncline-"));
  folders.push(at);
  write(at, "package.json", JSON.stringify({ name: "kept", version: "1.2.3", ...settings }));
  if (source !== null) write(at, "src/index.ts", source);
  return at;
}

function write(at, name, text) {
  mkdirSync(dirname(join(at, name)), { recursive: true });
  writeFileSync(join(at, name), text);
}

async function refusal(source, settings) {
  const error = await build(folder(source, settings)).catch((error) => error);
  assert.equal(error.constructor.name, "BuildError", error.stack);
  return error.message;
}

/** Name and text of a component's custom sections at its own level. */
function customSections(bytes) {
  const found = {};
  for (let at = 8; at < bytes.length;) {
    const kind = bytes[at++];
    const [length, start] = leb128(bytes, at);
    if (kind === 0) {
      const [nameLength, name] = leb128(bytes, start);
      const text = bytes.subarray(name, name + nameLength).toString();
      found[text] = bytes.subarray(name + nameLength, start + length).toString();
    }
    at = start + length;
  }
  return found;
}

function leb128(bytes, at) {
  let value = 0, shift = 0;
  while (bytes[at] >= 0x80) {
    value |= (bytes[at++] & 0x7f) << shift;
    shift += 7;
  }
  return [value | bytes[at] << shift, at + 1];
}

test("a component with its manifest, its version and its size", async () => {
  const limits = { output_bytes: 9, fuel: 7 };
  const at = folder(KEEP, { syncline: { needs_ancestor: false, limits } });
  const built = await build(at);
  const bytes = readFileSync(join(at, "build/kept.wasm"));
  assert.equal(built.size, bytes.length);
  assert.equal(built.version, createHash("sha256").update(bytes).digest("hex"));
  assert.equal(customSections(bytes)["syncline:manifest"],
    '{"v":1,"name":"kept","version":"1.2.3","needs_ancestor":false,'
    + '"limits":{"fuel":7,"output_bytes":9}}');
});

test("the cases go with it, in the order of their files' names", async () => {
  const at = folder(KEEP);
  await build(at);
  const sections = () => customSections(readFileSync(join(at, "build/kept.wasm")));
  assert.equal(sections()["syncline:cases"], undefined);
  mkdirSync(join(at, "cases"));
  writeFileSync(join(at, "cases/two.json"), '{"older":{"n":1.50},"newer":{}}');
  writeFileSync(join(at, "cases/one.json"), "[]");
  writeFileSync(join(at, "cases/README.md"), "no case");
  await build(at);
  assert.equal(sections()["syncline:cases"], '[]\n{"older":{"n":1.50},"newer":{}}\n');
});

test("the function in the README is one", async () => {
  const readme = readFileSync(join(sdk, "README.md"), "utf8");
  const [, source] = /```ts\n(.*?)```/s.exec(readme), [, json] = /```json\n(.*?)```/s.exec(readme);
  const built = await build(folder(source, JSON.parse(json)));
  assert.ok(built.path.endsWith(join("build", "stock.wasm")));
});

test("a scope is part of the name and not of the file's", async () => {
  const at = folder(KEEP, { name: "@team/kept" });
  await build(at);
  assert.equal(customSections(readFileSync(join(at, "build/kept.wasm")))["syncline:manifest"],
    '{"v":1,"name":"@team/kept","version":"1.2.3","needs_ancestor":true}');
});

test("the same source gives the same bytes elsewhere, with a copy of the SDK", async () => {
  const source = fileURLToPath(new URL("exercise/src/index.ts", import.meta.url));
  const here = folder(readFileSync(source, "utf8"));
  const expected = await build(here);
  const there = join(folder(null), "a folder", "deeper");
  cpSync(join(here, "src"), join(there, "src"), { recursive: true });
  cpSync(join(here, "package.json"), join(there, "package.json"));
  const copy = join(there, "syncline/sdk/assemblyscript");
  for (const part of ["assembly", "bin", "tool", "package.json"]) {
    cpSync(join(sdk, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(sdk, "node_modules"), join(there, "node_modules"));
  const out = execFileSync(process.execPath, [join(copy, "bin/syncline-build.mjs")],
    { cwd: there, env: { PATH: process.env.PATH, HOME: there }, encoding: "utf8" });
  const { version, size } = expected;
  const file = join("build", "kept.wasm");
  assert.equal(out, `version ${version}\nfile    ${file}\nsize    ${size} bytes\n`);
  const bytes = readFileSync(join(there, "build/kept.wasm"));
  for (const place of [here, there, sdk, tmpdir()]) assert.ok(!bytes.includes(place), place);
});

test("names of functions are kept, for the log of a trap, and no more", async () => {
  const at = folder(KEEP);
  await build(at);
  const bytes = readFileSync(join(at, "build/kept.wasm"));
  assert.ok(bytes.includes("merge-function/merge"));
  assert.ok(!bytes.includes("sourceMappingURL"));
});

test("a slip in the source is shown with file and line", async () => {
  const message = await refusal(KEEP.replace("keep(c.older)", "keep(c.odler)"));
  assert.match(message, /TS2339/);
  assert.match(message, /in src\/index\.ts\(2,\d+\)/);
  assert.match(await refusal("import { merge } from './other';"), /other\.ts/);
});

test("a missing or a wrong `merge` is explained", async () => {
  const wanted = "src/index.ts must have `export function merge(c: Conflict): Result`";
  assert.ok((await refusal("export const a = 1;")).startsWith(wanted));
  const other = "export function merge(a: i32): i32 { return a; }";
  assert.ok((await refusal(other)).startsWith(wanted));
  assert.match(await refusal(null), /index\.ts is missing: it holds `export function merge/);
});

test("what a function imports is named, with what to do instead", async () => {
  const using = (code) => refusal(KEEP.replace("return", `${code}; return`));
  const newerIf = (condition) => using(`if (${condition}) return keep(c.newer)`);
  assert.match(await newerIf("Date.now() > 0"), /Date\.now.*c\.newer\.millis/);
  assert.match(await newerIf("Math.random() > 0.5"), /seed: randomness/);
  assert.match(await using('console.log("here")'), /console\.log.*error\(text\)/);
  const calling = KEEP.replace("return", "outside(); return");
  assert.match(await refusal(`declare function outside(): void;\n${calling}`),
    /outside.*sees only its conflict/);
});

test("package.json: what is missing or not known is named", async () => {
  const syncline = (settings) => refusal(KEEP, { syncline: settings });
  assert.match(await refusal(KEEP, { version: undefined }), /package\.json needs a "version"/);
  assert.match(await syncline({ "needs-ancestor": true }), /"syncline\.needs-ancestor" is not/);
  assert.match(await syncline({ limits: { gas: 1 } }), /"syncline\.limits\.gas" is not known/);
  assert.match(await syncline({ limits: { fuel: -1 } }), /"syncline\.limits\.fuel" is a whole/);
  assert.match(await syncline({ limits: { fuel: 1.5 } }), /is a whole number/);
  assert.match(await syncline({ needs_ancestor: "no" }), /is true or false/);
  assert.match(await syncline([]), /"syncline" is an object/);
});

test("the command ends with 1 and what is wrong, or with 2 where it is misused", () => {
  const command = join(sdk, "bin/syncline-build.mjs");
  const nowhere = folder(null);
  rmSync(join(nowhere, "package.json"));
  const failed = spawnSync(process.execPath, [command, nowhere], { encoding: "utf8" });
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /^error: .* has no package\.json/);
  assert.equal(spawnSync(process.execPath, [command, "--fast"]).status, 2);
});
