// One plain number in a row. The rules stand in the example's README.
import { Conflict, deleted, Json, merged, mergeCounter, mergeFields, Result } from "@syncline/sdk";

export function merge(c: Conflict): Result {
  const before = c.ancestor.i64("count");
  const older = c.older.i64("count"), newer = c.newer.i64("count");
  if (!c.older.exists && !c.newer.exists) return deleted();
  const isCounted = c.older.field("count") != null || c.newer.field("count") != null;
  // A side that deleted the row has 0: it took away what it saw.
  const count = isCounted ? mergeCounter("count", before, older, newer) : 0;
  const oneDeleted = !c.older.exists || !c.newer.exists;
  if (oneDeleted && c.ancestor.exists && count == 0) return deleted();

  const row = mergeFields(c);
  if (isCounted) row.set("count", Json.i64(count));
  else row.remove("count");
  return merged(row);
}
