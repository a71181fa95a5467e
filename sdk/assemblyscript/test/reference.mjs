// The canonical form once more, written for clarity: what the SDK is compared with.

const DEPTH_MAX = 100, NUMBER_CHARS_MAX = 64;
const SPACE = "[ \\t\\n\\r]*", MARK = "([{}[\\],:])", WORD = "(true|false|null)";
const STRING = '("(?:[^"\\\\\\u0000-\\u001f]|\\\\(?:["\\\\/bfnrt]|u[0-9a-fA-F]{4}))*")';
const NUMBER = "(-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)";
const TOKEN = new RegExp(`${SPACE}(?:${MARK}|${STRING}|${NUMBER}|${WORD})${SPACE}`, "y");

/** A document's canonical text; null where the bytes are no document, or one that is refused. */
export function canonical(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
  const tokens = tokensOf(text);
  if (!tokens) return null;
  try {
    const written = value(tokens, 1);
    return tokens.length === 0 ? written : null;
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

class Refused extends Error {}

function tokensOf(text) {
  const tokens = [];
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) return null;
    const [, mark, string, number, word] = match;
    tokens.push({ mark, string, number, word });
    at = TOKEN.lastIndex;
  }
  return tokens.reverse();
}

function value(tokens, depth) {
  const { mark, string, number, word } = tokens.pop() ?? {};
  if (word) return word;
  if (string) return quoted(JSON.parse(string));
  if (number) {
    if (number.length > NUMBER_CHARS_MAX) throw new Refused();
    return number;
  }
  if ((mark !== "{" && mark !== "[") || depth > DEPTH_MAX) throw new Refused();
  const close = mark === "{" ? "}" : "]", parts = new Map();
  if (take(tokens, close)) return mark + close;
  do {
    let name = parts.size;
    if (mark === "{") {
      const { string: key } = tokens.pop() ?? {};
      if (!key || !take(tokens, ":")) throw new Refused();
      name = quoted(JSON.parse(key));
    }
    if (parts.has(name)) throw new Refused();
    parts.set(name, value(tokens, depth + 1));
  } while (take(tokens, ","));
  if (!take(tokens, close)) throw new Refused();
  if (mark === "[") return `[${[...parts.values()].join()}]`;
  const names = [...parts.keys()].sort((a, b) => Buffer.compare(utf8(a), utf8(b)));
  return `{${names.map((name) => `${name}:${parts.get(name)}`).join()}}`;
}

function take(tokens, mark) {
  if (tokens.at(-1)?.mark !== mark) return false;
  tokens.pop();
  return true;
}

function quoted(text) {
  if (!text.isWellFormed()) throw new Refused();
  return JSON.stringify(text);
}

/** What a quoted text stands for. */
function utf8(name) {
  return Buffer.from(JSON.parse(name));
}
