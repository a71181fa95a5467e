// From a core module to a component of the world `merge-function`.
//
// All such components are the same around their module: types, one instance, one lifted export.
// So the parts before and after the module stand in component.json, made from wit/merge.wit by
// the tool that Rust functions are built with; a test of that tool compares them. It saves each
// author a hundred megabytes of tools.
import { readFileSync } from "node:fs";
import { customSection, section, withFunctionNames } from "./wasm.mjs";

const AROUND = JSON.parse(readFileSync(new URL("component.json", import.meta.url), "utf8"));

/** The kind of a component's section that holds a core module. */
const CORE_MODULE = 1;

/**
 * The component of a module that exports `merge`, `memory` and `cabi_realloc`, with its manifest and,
 * where it has any, its cases.
 */
export function component(module, manifest, cases) {
  return Buffer.concat([
    Buffer.from(AROUND.before, "hex"),
    section(CORE_MODULE, withFunctionNames(Buffer.from(module))),
    Buffer.from(AROUND.after, "hex"),
    customSection("syncline:manifest", Buffer.from(manifest)),
    ...(cases ? [customSection("syncline:cases", cases)] : []),
  ]);
}
