//! Gives [`peerd_fuzz::trees`] to libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerd_fuzz::trees::check(data));
