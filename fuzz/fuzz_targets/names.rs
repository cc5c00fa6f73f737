//! Gives [`peerd_fuzz::names`] to libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerd_fuzz::names::check(data));
