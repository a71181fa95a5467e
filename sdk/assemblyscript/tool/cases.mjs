// A function's cases, as they get into its component: see `cases.rs` of the tool that Rust functions are
// built with. The section is the same from both.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** `cases` in the function's folder, or beside that. */
const FOLDERS = ["cases", "../cases"];

/** The bytes of the section `syncline:cases`; undefined without cases. */
export function cases(root) {
  const folder = FOLDERS.map((name) => join(root, name)).find(isFolder);
  if (folder === undefined) return undefined;
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  const files = names.map((name) => Buffer.from(name)).sort(Buffer.compare);
  const texts = files.map((name) => readFileSync(join(folder, name.toString())));
  return texts.length > 0
    ? Buffer.concat(texts.flatMap((text) => [text, Buffer.from("\n")]))
    : undefined;
}

function isFolder(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
