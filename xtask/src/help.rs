//! What `cargo xtask --help` prints.

pub(crate) const TEXT: &str = "\
Sets up what is missing, then builds and runs.

Tasks:
  demo [--json] [ARGUMENTS]  three regions take conflicting writes, are cut apart and healed, and
                             end with the same bytes; ends with the demo's exit code
  test [--ci]                format, lints, all tests, documentation; says what it had to skip.
                             --ci: also every benchmark once, that planted bugs are found, lock
                             files as they are, and that nothing in the checkout was changed
  sim [--bugs] [ARGUMENTS]   plays whole regions in simulation, seed by seed, and explains the seeds
                             that fail; 2000 of them unless --seeds says how many or which.
                             --bugs: plants one known bug after the other instead, and counts the
                             seeds until a check finds it; built in a folder of its own
  sim replay SEED            tells all that happens in one seed; with --shrunk only what it takes
  sim cost                   measures what a row costs by how many rows there are
  fuzz TARGET [ARGUMENTS]    random cases against the host until one fails; TARGET is admission, meter
                             or merge; for a minute unless --minutes or --count says otherwise
  chaos [ARGUMENTS] [SCENARIOS]
                             three regions over real Kafka brokers take writes while processes and
                             brokers are killed, logs lost, topics deleted; 300 kills unless --cycles
                             says otherwise, then each other fault once. Needs Java and Maven
  kafka start [NAME] [--port P]
                             starts real Apache Kafka, one broker on the loopback interface, and
                             prints its address; it runs until it is stopped, and keeps its data.
                             Fetches it first through Maven; needs a JDK of release 17 or newer
  kafka stop [NAME]          stops it; NAME is kafka where none is given
  vectors FILE               checks a file of convergence vectors against the core
  bench [FILTER]             the benchmarks whose name contains FILTER; all without one
  bench cosmwasm [ROUNDS]    merges a second natively, in the host and in cosmwasm-vm, in one run;
                             builds another workspace, which takes minutes the first time
  bench replicate [ARGUMENTS] [WORKLOADS]
                             how fast a region applies what another wrote, over two real Kafka
                             brokers, beside MirrorMaker 2 copying the same topic. Needs Java and Maven

Examples:
  cargo xtask demo
  cargo xtask demo --json | tail -n 1
  cargo xtask demo -- --help           the demo's own options
  cargo xtask test
  cargo xtask sim --seeds 100000
  cargo xtask sim --seeds 0..500 --twice --max-failures 5
  cargo xtask sim replay 341 --shrunk
  cargo xtask sim --bugs --bug arrival-order
  cargo xtask sim -- --help            the simulator's own options
  cargo xtask fuzz meter --minutes 30
  cargo xtask fuzz admission --seed 4711 --count 1
  cargo xtask fuzz merge --help        the fuzzer's own options
  cargo xtask chaos --cycles 50 kill
  cargo xtask chaos --list             the faults that there are
  cargo xtask kafka start eu --port 19092
  cargo xtask kafka stop eu
  cargo xtask vectors tests/golden/convergence/vectors.jsonl
  cargo xtask bench fold
  cargo xtask bench cosmwasm
  cargo xtask bench replicate --store fjall uniform skewed
  cargo xtask bench replicate --quick

What it says about its own work goes to stderr. Exit code 0: done; 1: a step failed; 2: wrong usage.
";
