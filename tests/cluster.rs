//! Many instances of peerd are one service: what was answered holds while instances come, go, die
//! and stand still, and while the nats-servers below them do.
//!
//! Each run has a seed, printed with its figures; `CLUSTER_SEED=<seed>` makes the same choices
//! again. How often and how long is in `cluster/settings.rs`, with the variables that raise it.
//! What the clients do is in `faults/load.rs`, what must hold in `src/verify.rs`, which has their notes.

mod support;

#[path = "faults"]
mod faults {
    pub(crate) mod caller;
    pub(crate) mod load;
    pub(crate) mod look;
    pub(crate) mod notes;
    pub(crate) mod random;
    pub(crate) mod reading;
}

mod cluster {
    mod machine;
    mod owners;
    mod scene;
    mod settings;
    mod waiting;

    mod blackhole;
    mod cold;
    mod growth;
    mod hop;
    mod kill;
    mod nodes;
    mod pause;
    mod rate;
    mod rolling;
    mod stop;
    mod told;
}
