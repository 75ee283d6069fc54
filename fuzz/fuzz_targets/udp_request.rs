#![no_main]

#[path = "../laws/wire.rs"]
#[allow(dead_code)]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::tracker::udp_request(data));
