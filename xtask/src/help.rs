//! What `cargo xtask --help` prints.

pub(crate) const TEXT: &str = "\
Sets up what is missing, then builds and runs.

Tasks:
  demo [--json] [ARGUMENTS]  three regions take conflicting writes, are cut apart and healed, and
                             end with the same bytes; ends with the demo's exit code
  test [--ci]                format, lints, all tests, documentation; says what it had to skip.
                             --ci: also every benchmark once, lock files as they are, and that
                             nothing in the checkout was changed
  vectors FILE               checks a file of convergence vectors against the core
  bench [FILTER]             the benchmarks whose name contains FILTER; all without one

Examples:
  cargo xtask demo
  cargo xtask demo --json | tail -n 1
  cargo xtask demo -- --help           the demo's own options
  cargo xtask test
  cargo xtask vectors tests/golden/convergence/vectors.jsonl
  cargo xtask bench fold

What it says about its own work goes to stderr. Exit code 0: done; 1: a step failed; 2: wrong usage.
";
