// What a function's package.json says, and the manifest that it becomes.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "./error.mjs";

const LIMITS = ["fuel", "memory_bytes", "output_bytes"];

/** The function's name, version and settings. */
export function readPackage(folder) {
  const path = join(folder, "package.json");
  let parsed;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error.code !== "ENOENT") throw new BuildError(`read ${path}: ${error.message}`);
    throw new BuildError(`${folder} has no package.json: it is no folder of a merge function`);
  }
  for (const field of ["name", "version"]) {
    if (typeof parsed[field] !== "string" || parsed[field] === "") {
      throw new BuildError(`package.json needs a "${field}"`);
    }
  }
  const { name, version } = parsed;
  return { name, version, ...settings(parsed.syncline ?? {}) };
}

/** A package's file: its name without the scope. */
export function fileName(name) {
  return `${name.split("/").at(-1)}.wasm`;
}

/** The text of the section `syncline:manifest`, as the build of a Rust function writes it. */
export function manifest({ name, version, needsAncestor, limits }) {
  const written = { v: 1, name, version, needs_ancestor: needsAncestor };
  if (Object.keys(limits).length > 0) written.limits = limits;
  return JSON.stringify(written);
}

function settings(syncline) {
  object("syncline", syncline, ["needs_ancestor", "limits"]);
  // Without settings a function is given ancestors: an answer from less would be a silent
  // surprise.
  const { needs_ancestor: needsAncestor = true, limits: asked = {} } = syncline;
  if (typeof needsAncestor !== "boolean") {
    throw new BuildError(`package.json: "syncline.needs_ancestor" is true or false`);
  }
  object("syncline.limits", asked, LIMITS);
  const limits = {};
  for (const limit of LIMITS.filter((limit) => asked[limit] !== undefined)) {
    if (!Number.isSafeInteger(asked[limit]) || asked[limit] < 0) {
      throw new BuildError(`package.json: "syncline.limits.${limit}" is a whole number`);
    }
    limits[limit] = asked[limit];
  }
  return { needsAncestor, limits };
}

/** A name that is not known is an error: most likely a slip. */
function object(place, value, known) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new BuildError(`package.json: "${place}" is an object`);
  }
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const names = known.map((each) => `"${each}"`).join(", ");
    throw new BuildError(`package.json: "${place}.${name}" is not known; it can be ${names}`);
  }
}
