//! Gives [`peerd_fuzz::instances`] to libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerd_fuzz::instances::check(data));
