//! Gives [`peerd_fuzz::frames`] to libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerd_fuzz::frames::check(data));
