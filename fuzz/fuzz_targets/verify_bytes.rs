#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_laws::verify::verify_bytes(data));
