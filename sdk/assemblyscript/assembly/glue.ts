// Between the host and the author's function: the canonical ABI of `world merge-function`, in
// 32-bit memory.
//
//   side      32 bytes, align 8    region 0 ptr, 4 len | hlc 8 u64 | operation 16 u8
//                                  | image 20 tag, 24 ptr, 28 len
//   conflict  96 bytes, align 8    table 0, 4 | row-pk 8, 12 | ancestor 16 tag, 20 ptr, 24 len
//                                  | older 32 | newer 64
//   result    16 bytes, align 4    0 tag | ok: 4 tag, 8 ptr, 12 len | error: 4 ptr, 8 len
//
// A conflict is too large to be passed as core values, and a result to be returned as them:
// `merge` is given a pointer and returns one. What it is given lies in memory from
// `cabi_realloc`, for the whole call.
import { Conflict } from "./conflict";
import { extend, take } from "./memory";

export { lower } from "./conflict";

/** The conflict that the host wrote. */
export function lift(record: usize): Conflict { return Conflict.at(record); }

/**
 * The host's way to memory. What is taken is aligned to 16 bytes, more than any part of a
 * conflict needs.
 */
export function cabi_realloc(old: usize, _oldBytes: usize, _align: usize, bytes: usize): usize {
  return old ? extend(old, bytes) : take(bytes);
}

/** A failed check or a `throw` traps. */
export function abort(_text: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable();
}
