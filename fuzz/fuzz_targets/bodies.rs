//! Gives [`peerd_fuzz::bodies`] to libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerd_fuzz::bodies::check(data));
