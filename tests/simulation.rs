//! Many instances of the real code in one process, over simulated twins of store, bucket and bus,
//! on time that only the run moves: random calls, and whatever can go wrong, from one seed.
//!
//! `SIM_SEED=<seed>` runs one and prints its trace. `SIM_SEEDS=<count>` runs so many.

#![expect(clippy::print_stdout, reason = "a run tells what it did")]

#[path = "sim/audit.rs"]
mod audit;
#[path = "sim/bus.rs"]
mod bus;
#[path = "sim/client.rs"]
mod client;
#[path = "sim/instance.rs"]
mod instance;
#[path = "sim/journal.rs"]
mod journal;
#[path = "sim/log.rs"]
mod log;
#[path = "sim/plan.rs"]
mod plan;
#[path = "faults/random.rs"]
mod random;
#[path = "sim/reading.rs"]
mod reading;
#[path = "sim/registry.rs"]
mod registry;
#[path = "sim/rules.rs"]
mod rules;
#[path = "sim/run.rs"]
mod run;
#[path = "sim/store.rs"]
mod store;
#[path = "sim/trace.rs"]
mod trace;
#[path = "sim/world.rs"]
mod world;

use crate::plan::Plan;
use crate::run::run;

#[test]
fn one_seed_gives_one_trace() {
    for seed in 1..=10 {
        let plan = Plan::of(seed);
        let (one, other) = (run(&plan).trace, run(&plan).trace);
        let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}

#[test]
fn seeds_hold_the_rules() {
    let seeds = std::env::var_os("SIM_SEEDS").and_then(|text| text.to_str()?.parse().ok());
    for seed in 1..=seeds.unwrap_or(20) {
        let plan = Plan::of(seed);
        let ran = run(&plan);
        println!("{seed} {:?} {:?}", ran.broken, ran.figures);
    }
}
