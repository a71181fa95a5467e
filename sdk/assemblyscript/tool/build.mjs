// From a function's folder to `build/<name>.wasm`. The same source gives the same bytes in every
// folder: nothing of the machine gets into them.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { cases } from "./cases.mjs";
import { compile } from "./compile.mjs";
import { component } from "./component.mjs";
import { fileName, manifest, readPackage } from "./package.mjs";

/**
 * Builds the function in a folder with package.json and src/index.ts.
 *
 * The answer has the component's path from the current folder, its version (SHA-256 of its bytes
 * in hexadecimal, as `sha256sum` shows it) and its size in bytes. Throws a BuildError that says
 * what is wrong.
 */
export async function build(folder) {
  const root = resolve(folder);
  const settings = readPackage(root);
  const bytes = component(await compile(root), manifest(settings), cases(root));
  const path = join(root, "build", fileName(settings.name));
  mkdirSync(join(root, "build"), { recursive: true });
  writeIfChanged(path, bytes);
  const version = createHash("sha256").update(bytes).digest("hex");
  return { path: relative(process.cwd(), path), version, size: bytes.length };
}

/** Whole or not at all; and what holds these bytes already keeps its time. */
function writeIfChanged(path, bytes) {
  try {
    if (readFileSync(path).equals(bytes)) return;
  } catch {
    // There is none yet.
  }
  const draft = `${path}.${process.pid}.tmp`;
  writeFileSync(draft, bytes);
  renameSync(draft, path);
}
