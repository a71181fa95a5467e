#!/usr/bin/env node
// syncline-build [FOLDER]: builds the merge function in a folder, by default the current one.
const NODE_MIN = 20;
if (Number.parseInt(process.versions.node, 10) < NODE_MIN) {
  console.error(`error: this is Node.js ${process.versions.node}; install ${NODE_MIN} or newer`);
  process.exit(1);
}
// Only now, as an older release can't even read them.
const { build } = await import("../tool/build.mjs");
const { BuildError } = await import("../tool/error.mjs");

const folders = process.argv.slice(2);
if (folders.length > 1 || folders.some((folder) => folder.startsWith("-"))) {
  console.error("usage: syncline-build [FOLDER]");
  process.exit(2);
}
try {
  const built = await build(folders[0] ?? ".");
  console.log(`version ${built.version}\nfile    ${built.path}\nsize    ${built.size} bytes`);
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
