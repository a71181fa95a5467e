// An order: its status goes forward, its items are united, its total is made anew. The rules stand in
// the example's README.
import {
  Conflict, deleted, fail, Json, merged, mergeFields, mergeObject, mergeRecords, Records, Result,
  State,
} from "@syncline/sdk";
import { checkStatus, further, rank } from "./status";

const INTEGER_MAX: u64 = i64.MAX_VALUE;

export function merge(c: Conflict): Result {
  const before = readItems(c.ancestor), older = readItems(c.older), newer = readItems(c.newer);
  if (!c.older.exists && !c.newer.exists) return deleted();
  if (!c.older.exists || !c.newer.exists) return mergeDeletion(c, older, newer);
  const items = mergeRecords(before, older, newer, mergeItem);
  return order(c, items, older.isListed || newer.isListed);
}

/** An order outlives its deletion if it has moved on since, or if the other side never saw it. */
function mergeDeletion(c: Conflict, older: Records, newer: Records): Result {
  const living = c.older.exists ? c.older : c.newer;
  const isFurther = rank(living.field("status")) > rank(c.ancestor.field("status"));
  if (c.ancestor.exists && !isFurther) return deleted();
  // Of the deleted side there are no items, so it stands in for an ancestor without any.
  const none = c.older.exists ? newer : older;
  return order(c, mergeRecords(none, older, newer, mergeItem), older.isListed || newer.isListed);
}

/** The order around its items. */
function order(c: Conflict, items: Json, isListed: bool): Result {
  const row = mergeFields(c), status = further(c.older.field("status"), c.newer.field("status"));
  if (status) row.set("status", status);
  else row.remove("status");
  if (isListed) {
    row.set("items", items);
    row.set("total_cents", Json.u64(total(items)));
  } else {
    row.remove("items");
  }
  return merged(row);
}

function readItems(side: State): Records {
  const items = side.records("items", "id", checkItem);
  checkStatus(side);
  return items;
}

/** What is wrong with an item; null if nothing is. */
function checkItem(item: Json): string | null {
  if (!isCount(item.get("price_cents"))) return "price_cents is not an integer from 0 to 2^63-1";
  if (!isCount(item.get("qty"))) return "qty is not an integer from 0 to 2^63-1";
  return null;
}

function isCount(value: Json | null): bool {
  return value != null && value.isI64 && value.i64() >= 0;
}

/** null: the item is removed. */
function mergeItem(before: Json | null, older: Json | null, newer: Json | null): Json | null {
  const o = integer(older, "qty"), n = integer(newer, "qty"), a = integer(before, "qty");
  const inBoth = older != null && newer != null;
  // What both sides added is one item, not two.
  const qty = inBoth && !before ? max(o, n) : o + n > a ? o + n - a : 0;
  if (before && !inBoth && qty == 0) return null;
  const item = older && newer ? mergeObject(before, older, newer) : older ? older : newer!;
  if (qty > INTEGER_MAX) fail("item " + item.get("id")!.text() + ": qty is above 2^63-1");
  item.set("qty", Json.u64(qty));
  item.set("price_cents", Json.u64(mergePrice(before, older, newer)));
  return item;
}

/** The newer side's price, unless only the older side changed it. */
function mergePrice(before: Json | null, older: Json | null, newer: Json | null): u64 {
  const n = integer(newer, "price_cents");
  const isChanged = !before || integer(before, "price_cents") != n;
  return newer && (!older || isChanged) ? n : integer(older, "price_cents");
}

/** A checked field, at most 2^63-1, so that the sum of two fits; 0 where there is no item. */
function integer(item: Json | null, name: string): u64 {
  return item ? item.get(name)!.u64() : 0;
}

function total(items: Json): u64 {
  let sum: u64 = 0;
  for (let i = 0; i < items.length; i++) {
    const qty = integer(items.at(i), "qty"), price = integer(items.at(i), "price_cents");
    const isTooMuch = qty > 0 && price > INTEGER_MAX / qty;
    sum += isTooMuch ? 0 : price * qty;
    if (isTooMuch || sum > INTEGER_MAX) {
      fail("total_cents is above 2^63-1");
      return 0;
    }
  }
  return sum;
}
