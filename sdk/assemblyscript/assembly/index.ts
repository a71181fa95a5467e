// What a merge function imports from "@syncline/sdk".
export {
  Conflict, deleted, error, fail, failed, keep, merged, Operation, Result, Side, State,
} from "./conflict";
export { Json } from "./json";
export { Bytes } from "./memory";
export { mergeRecords, Records } from "./records";
export { Kind } from "./scan";
export { mergeCounter, mergeFields, mergeObject, mergeSet, mergeValue } from "./three_way";
