// From a function's source to a core module, by asc, the AssemblyScript compiler.
import asc from "assemblyscript/asc";
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { BuildError } from "./error.mjs";
import { checkImports } from "./imports.mjs";

const SOURCE = "src/index.ts";
const SIGNATURE = "`export function merge(c: Conflict): Result`";

/** What the world exports, around the author's function. It exists for the compiler only. */
const ENTRY = "merge-function.ts";
const ENTRY_TEXT = `import { lift, lower } from "@syncline/sdk/glue";
import { merge as authors } from "./src/index";
export { cabi_realloc } from "@syncline/sdk/glue";
export function merge(conflict: usize): usize { return lower(authors(lift(conflict))); }
`;

/** The SDK's own sources, wherever it lies: in the module they stand under its name. */
const SDK = /(?:^|[\\/])node_modules[\\/]@syncline[\\/]sdk[\\/]([\w-]+\.ts)$/;
const SDK_SOURCES = fileURLToPath(new URL("../assembly/", import.meta.url));

const OPTIONS = [
  "-O3",
  "--noAssert",
  // An instance lives for one call, so nothing is ever given back.
  "--runtime", "stub",
  // 1 MiB: growing it costs the host two system calls, so an ordinary call must not.
  "--initialMemory", "16",
  // A failed check traps; without this it would be an import.
  "--use", "abort=~lib/@syncline/sdk/glue/abort",
  // Names of functions, for the log of a trap.
  "--debug",
];

/** The core module of the function in a folder. */
export async function compile(folder) {
  if (!existsSync(join(folder, SOURCE))) {
    throw new BuildError(`${join(folder, SOURCE)} is missing: it holds ${SIGNATURE}`);
  }
  let module;
  const { error, stderr } = await asc.main(
    [ENTRY, "--baseDir", folder, "--outFile", "module.wasm", ...OPTIONS],
    {
      readFile: (name, base) => read(name, base),
      writeFile: (name, contents) => {
        if (name === "module.wasm") module = contents;
      },
      listFiles: () => [],
    },
  );
  if (error || !module) throw new BuildError(explain(stderr.toString().trim() || error?.message));
  checkImports(module);
  return module;
}

/** A file's text; null where there is none, which sends the compiler on to the next place. */
function read(name, base) {
  if (name === ENTRY) return ENTRY_TEXT;
  // The options are ours alone, or the same source would not give the same bytes.
  if (name === "asconfig.json") return null;
  const sdk = SDK.exec(name);
  const path = sdk ? join(SDK_SOURCES, sdk[1]) : isAbsolute(name) ? name : resolve(base, name);
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** The compiler's words, and ours where they are about the file that no author has seen. */
function explain(text) {
  const about = text.includes(ENTRY) ? `${SOURCE} must have ${SIGNATURE}.\n` : "";
  return `${about}compile ${SOURCE}:\n${text}`;
}
