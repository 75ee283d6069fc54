#![no_main]

#[path = "../laws/verify.rs"]
#[allow(dead_code)]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::verify_bytes(data));
