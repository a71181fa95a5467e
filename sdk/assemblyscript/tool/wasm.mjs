// Sections of WebAssembly modules and components: a byte for the kind, the length, the content.

/** Kind 0: a custom section, whose content begins with its name. */
export const CUSTOM = 0;

const HEADER_BYTES = 8;

/** Seven bits a byte, the lowest first; the highest bit says that more follow. */
export function leb128(value) {
  const bytes = [];
  do {
    const rest = value >>> 7;
    bytes.push((value & 0x7f) | (rest ? 0x80 : 0));
    value = rest;
  } while (value);
  return Buffer.from(bytes);
}

/** A section's bytes. */
export function section(kind, ...content) {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([kind]), leb128(length), ...content]);
}

/** A custom section's bytes. */
export function customSection(name, data) {
  const text = Buffer.from(name);
  return section(CUSTOM, leb128(text.length), text, data);
}

/**
 * A module without custom sections but the names of its functions: no names of locals, no tools.
 */
export function withFunctionNames(module) {
  const kept = [module.subarray(0, HEADER_BYTES)];
  for (const { kind, content, whole } of sections(module, HEADER_BYTES)) {
    if (kind !== CUSTOM) {
      kept.push(whole);
      continue;
    }
    const length = readLeb128(content, 0);
    const name = content.subarray(length.end, length.end + length.value);
    if (name.toString() !== "name") continue;
    const parts = [...sections(content, length.end + length.value)];
    const functions = parts.find(({ kind }) => kind === FUNCTION_NAMES);
    if (functions) kept.push(customSection("name", functions.whole));
  }
  return Buffer.concat(kept);
}

/** Within the section `name`. */
const FUNCTION_NAMES = 1;

function* sections(bytes, from) {
  for (let at = from; at < bytes.length;) {
    const { value, end } = readLeb128(bytes, at + 1);
    yield {
      kind: bytes[at],
      content: bytes.subarray(end, end + value),
      whole: bytes.subarray(at, end + value),
    };
    at = end + value;
  }
}

function readLeb128(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return { value, end: at };
  }
}
