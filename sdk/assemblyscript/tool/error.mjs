/** Why a function was not built, in words for its author. */
export class BuildError extends Error {}
