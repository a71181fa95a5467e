// The order's status: it goes forward only, and cancelled wins over all.
import { Json, State } from "@syncline/sdk";

const ALL = ["pending", "confirmed", "shipped", "delivered", "cancelled"];

/** How far a status is, from 1 on; 0 where there is none. */
export function rank(status: Json | null): i32 {
  if (!status) return 0;
  for (let i = 0; i < ALL.length; i++) {
    if (status.is(ALL[i])) return i + 1;
  }
  return 0;
}

/** Of two the further one. */
export function further(older: Json | null, newer: Json | null): Json | null {
  return rank(older) > rank(newer) ? older : newer;
}

/** Fails where a side has a status that is none. */
export function checkStatus(side: State): void {
  const status = side.field("status");
  if (status && rank(status) == 0) side.fail("status is not one of " + ALL.join(", "));
}
