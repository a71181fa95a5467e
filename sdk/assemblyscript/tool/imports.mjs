// A merge function imports nothing: it sees its conflict and nothing else.
import { BuildError } from "./error.mjs";

/** What asc imports for parts of its library: a part, why it is not there, what to do. */
const KNOWN = [
  [/Date/, "the clock", "Every region would see another time. Use `c.newer.millis`."],
  [/performance/, "a clock", "Every region would see another time. Measure with the runtime."],
  [/^seed$|random|crypto/i, "randomness",
    "Every region would draw another number. Derive what you need from `c.newer.hlc`."],
  [/console|^trace$/, "the console",
    "Nobody would read it. Test the function, or answer with `error(text)`."],
  [/process/, "the process", "There is none around a merge function."],
];

/** Refuses a module that imports anything, by name and with what to do instead. */
export function checkImports(module) {
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(module));
  if (imports.length === 0) return;
  const lines = imports.map(({ module, name }) => {
    const [, what, instead] = KNOWN.find(([pattern]) => pattern.test(name))
      ?? [, "something outside", "A merge function sees only its conflict. Remove the `declare`."];
    return `  ${module}.${name}: ${what}. ${instead}`;
  });
  const what = "the function imports what a merge function is not given";
  throw new BuildError(`${what}:\n${lines.join("\n")}`);
}
