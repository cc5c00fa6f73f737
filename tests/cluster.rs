//! Many instances of peerd are one service: what was answered holds while instances come, go, die
//! and stand still, and while the nats-servers below them do.
//!
//! Each run has a seed, printed with its figures; `CLUSTER_SEED=<seed>` makes the same choices
//! again. How often and how long is in `cluster/settings.rs`, with the variables that raise it.
//! What the clients do is in `faults/load.rs`, what must hold in `crates/verify`, which has their notes.

use peerd_testkit::{self as support, faults, wait};

mod cluster {
    mod machine;
    mod owners;
    mod scene;
    mod settings;

    mod blackhole;
    mod cold;
    mod growth;
    mod hop;
    mod kill;
    mod nodes;
    mod pause;
    mod published;
    mod rate;
    mod rolling;
    mod stop;
}
