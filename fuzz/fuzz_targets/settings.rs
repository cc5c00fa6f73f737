//! Gives [`peerd_fuzz::settings`] to libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerd_fuzz::settings::check(data));
