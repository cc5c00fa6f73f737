//! Gives [`peerd_fuzz::stored`] to libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerd_fuzz::stored::check(data));
