// JSON documents, sound and damaged: the same ones in each run.

const SAMPLES = [
  "0", "-0", "-0.0", "1.50", "1e400", "1E+2", "-1e-7", "9007199254740993", "18446744073709551615",
  "123456789012345678901234567890", "true", "false", "null", '""', '"é😀\u2028\u007f"', "[]",
  "{}", '"\\b\\f\\n\\r\\t\\u0000\\u001f\\"\\\\"',
  '"\\/\\u0041\\u00e9\\ud83d\\ude00\\u000A\\u0008\\u001F"',
  ' [ 1 , "a" , [ ] , { } ]\r\n', '{"b":1,"a":{"d":[],"c":null}}',
  '{ "a" : { "b" : [ true , 1.0 ] } }',
  '{"":0,"\\n":1," ":2,"!":3,"\\"":4,"a":5,"é":6,"\uffee":7,"😀":8}',
  '{"😀":1,"\uffee":2,"z":3,"\\n":4}',
  '{"items":[{"id":"fig","qty":2},{"id":"kiwi","note":"ripe \\"ones\\"","qty":1}],"owner":"o-1"}',
  '{"é":1,"Ã©":2,"\\"":3,"\\\\\\"":4}',
  '{"abcdefghijklmnop":1,"abcdefghijklmno":2,"abcdefgh":3,"abcdefghi":4}',
];

/** Samples, and all pairs of them in lists and objects. */
export function* documents() {
  yield* SAMPLES;
  for (const a of SAMPLES) {
    for (const b of SAMPLES) yield `{"y":[${a},${b}],"x":{"b":${b},"a":${a}}}`;
  }
}

/**
 * Documents with a few bytes removed, repeated, swapped or replaced by what JSON is sensitive to.
 */
export function* damaged(count) {
  const random = generator(1);
  const sensitive = Buffer.from('"\\{}[],:0123456789+-.eEutfn/ \t\n\r\u0000\u001f\u0080');
  const sound = [...documents()].map((document) => Buffer.from(document));
  for (let n = 0; n < count; n++) {
    let bytes = Buffer.from(sound[random(sound.length)]);
    for (let times = random(3); times >= 0; times--) {
      const at = random(bytes.length + 1), to = Math.min(bytes.length, at + 1 + random(3));
      const [before, piece] = [bytes.subarray(0, at), bytes.subarray(at, to)];
      const after = bytes.subarray(to), any = random(4) === 0;
      const other = Buffer.from([any ? random(256) : sensitive[random(sensitive.length)]]);
      const change = [
        [before, after], [before, piece, piece, after], [before, other, after],
        [before, other, piece, after], [before, Buffer.from(piece).reverse(), after],
      ];
      bytes = Buffer.concat(change[random(change.length)]);
    }
    yield bytes;
  }
}

/** A generator of numbers below a bound: xorshift of 32 bits. */
function generator(seed) {
  let state = seed;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}
