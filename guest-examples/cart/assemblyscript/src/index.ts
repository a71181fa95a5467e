// A shopping cart that two regions changed at once. The rules stand in the example's README; the
// Rust function beside this one follows them too, to the byte.
import {
  Conflict, deleted, fail, Json, merged, mergeFields, mergeObject, mergeRecords, Result,
} from "@syncline/sdk";

export function merge(c: Conflict): Result {
  const ancestor = c.ancestor.records("items", "id", checkItem);
  const older = c.older.records("items", "id", checkItem);
  const newer = c.newer.records("items", "id", checkItem);
  const bothDeleted = !c.older.exists && !c.newer.exists;
  if (bothDeleted) return deleted();

  const items = mergeRecords(ancestor, older, newer, mergeItem);
  const oneDeleted = !c.older.exists || !c.newer.exists;
  if (oneDeleted && c.ancestor.exists && items.length == 0) return deleted();
  const cart = mergeFields(c);
  if (older.isListed || newer.isListed) cart.set("items", items);
  else cart.remove("items");
  return merged(cart);
}

/** What is wrong with a product; null if nothing is. */
function checkItem(item: Json): string | null {
  const qty = item.get("qty");
  if (!qty || !qty.isI64 || qty.i64() < 0) return "qty is not an integer from 0 to 2^63-1";
  return null;
}

/** null: the product is removed. */
function mergeItem(ancestor: Json | null, older: Json | null, newer: Json | null): Json | null {
  const added = quantity(older) + quantity(newer), before = quantity(ancestor);
  const qty = added > before ? added - before : 0;
  if (ancestor && !(older && newer) && qty == 0) return null;
  const item = older && newer ? mergeObject(ancestor, older, newer) : older ? older : newer!;
  if (qty > <u64>i64.MAX_VALUE) fail("product " + idOf(item) + ": qty is above 2^63-1");
  item.set("qty", Json.u64(qty));
  return item;
}

function idOf(item: Json): string { return item.get("id")!.text(); }

/** At most 2^63-1, so that the sum of two fits. */
function quantity(item: Json | null): u64 { return item ? item.get("qty")!.u64() : 0; }
