//! Many instances of peerd serve as one: answers stay valid while instances join, leave, are killed
//! and paused, and while their nats-servers are.
//!
//! Each run prints its seed; `CLUSTER_SEED=<seed>` repeats its choices. `cluster/settings.rs` has
//! the number of faults and the variables that raise it. The load is in `faults/load.rs` of the
//! test kit, the checks are in `crates/verify`, which reads the notes of the clients.

use peerd_testkit::{self as support, faults, wait};

mod cluster {
    mod machine;
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
