#![no_main]

#[path = "../laws/proto.rs"]
#[allow(dead_code)]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::tracker::client(data));
