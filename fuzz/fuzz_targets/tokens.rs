//! Gives [`peerd_fuzz::tokens`] to libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerd_fuzz::tokens::check(data));
