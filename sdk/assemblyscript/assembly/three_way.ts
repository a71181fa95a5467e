// Merging against the ancestor. A part that is null is not there; adding and removing are changes.
import { Conflict, fail } from "./conflict";
import { Json } from "./json";
import { Members, orderOfKeys, sameKey, Slot } from "./members";

/** The older side's value where the newer side did not change it, else the newer side's. */
export function mergeValue(
  ancestor: Json | null, older: Json | null, newer: Json | null): Json | null {
  if (!ancestor || !newer) return ancestor == newer ? older : newer;
  return ancestor.equals(newer) ? older : newer;
}

/**
 * older + newer - ancestor: what each side added or took counts once. The range holds for the
 * answer only, not on the way to it; outside of it the function fails, as in `count is above
 * 2^63-1` for the name `count`.
 */
export function mergeCounter(name: string, ancestor: i64, older: i64, newer: i64): i64 {
  // As 128 bits, of which `high` is the upper half.
  const sum = <u64>older + <u64>newer, carry = <i64>(sum < <u64>older);
  const low = sum - <u64>ancestor, borrow = <i64>(sum < <u64>ancestor);
  const high = (older >> 63) + (newer >> 63) - (ancestor >> 63) + carry - borrow;
  if (high == <i64>low >> 63) return <i64>low;
  fail(name + (high < 0 ? " is below -2^63" : " is above 2^63-1"));
  return 0;
}

/**
 * What either side added to a list that stands for a set, and of what was there before what
 * neither side removed: sorted by the bytes of the elements' JSON, each once. What is no list has
 * no elements.
 */
export function mergeSet(ancestor: Json | null, older: Json | null, newer: Json | null): Json {
  const before = elements(ancestor), left = elements(older), right = elements(newer);
  const merged: Json[] = [];
  let i = 0, j = 0, k = 0;
  while (j < left.length || k < right.length) {
    const order = j == left.length ? 1 : k == right.length ? -1
      : Json.orderOfJson(unchecked(left[j]), unchecked(right[k]));
    const one = order <= 0 ? unchecked(left[j]) : unchecked(right[k]);
    while (i < before.length && Json.orderOfJson(unchecked(before[i]), one) < 0) i++;
    if (order == 0 || i == before.length || !unchecked(before[i]).equals(one)) merged.push(one);
    j += <i32>(order <= 0);
    k += <i32>(order >= 0);
  }
  return Json.list(merged);
}

/** A list's items, sorted, each once. */
function elements(list: Json | null): Json[] {
  const items: Json[] = [];
  if (!list || !list.isList) return items;
  for (let i = 0; i < list.length; i++) items.push(list.at(i)!);
  items.sort((a, b) => Json.orderOfJson(a, b));
  let kept = 0;
  for (let i = 0; i < items.length; i++) {
    if (i == 0 || !items[i].equals(items[kept - 1])) items[kept++] = items[i];
  }
  items.length = kept;
  return items;
}

/**
 * Merges objects field by field, and a nested object that both sides have field by field again,
 * down to `levels` below the first. What lies deeper, lists and all else, is one value. What is
 * no object has no fields.
 *
 * The answer is a new object: changing it changes none of the arguments.
 */
export function mergeObject(
  ancestor: Json | null, older: Json | null, newer: Json | null, levels: i32 = 0): Json {
  const a = members(ancestor), o = members(older), n = members(newer);
  const merged = new Members(max(o.count, n.count) + 1);
  let i = 0, j = 0, k = 0;
  while (j < o.count || k < n.count) {
    const order = j == o.count ? 1 : k == n.count ? -1 : orderOfKeys(o.at(j), n.at(k));
    const key = order <= 0 ? o.at(j) : n.at(k);
    while (i < a.count && orderOfKeys(a.at(i), key) < 0) i++;
    const before: Slot | null = i < a.count && sameKey(a.at(i), key) ? a.at(i) : null;
    if (order == 0) mergeField(merged, before, o.at(j), n.at(k), levels);
    // The side that lacks the field never had it, or has removed it, or the other side has
    // changed it since.
    else if (!before || (order > 0 && !Json.sameSlots(before, key))) Json.copySlot(key, merged);
    j += <i32>(order <= 0);
    k += <i32>(order >= 0);
  }
  return Json.around(merged);
}

/** A field that both sides have. */
function mergeField(
  merged: Members, before: Slot | null, older: Slot, newer: Slot, levels: i32): void {
  if (levels > 0 && !Json.sameSlots(older, newer)) {
    const left = Json.alone(older), right = Json.alone(newer);
    if (left.isObject && right.isObject) {
      const nested = mergeObject(before ? Json.alone(before) : null, left, right, levels - 1);
      const slot = merged.pushSlot(newer);
      slot.node = changetype<usize>(nested);
      slot.entry = 0;
      return;
    }
  }
  Json.copySlot(before && Json.sameSlots(before, newer) ? older : newer, merged);
}

/**
 * The row's fields merged field by field, for the function to set those that it knows better.
 * Where one side deleted the row they are the other side's: the deletion said nothing about
 * single fields.
 */
export function mergeFields(c: Conflict): Json {
  const older = c.older.image, newer = c.newer.image;
  if (older && newer) return mergeObject(c.ancestor.image, older, newer);
  return mergeObject(null, older, newer);
}

// @ts-ignore: decorator
@lazy const NONE = new Members(0);

function members(json: Json | null): Members {
  return json && json.isObject ? json.open() : NONE;
}
