//! Laws: what must hold whatever bytes come, besides the absence of a panic.
//!
//! What it is: a function for each fuzz target, and their list. The targets in `fuzz_targets/` feed a
//! law with what a fuzzer makes up, and the test of this crate with every seed and past finding, in
//! every test run and without a fuzzer. What it is not: a part of any program.

pub mod evidence;
pub mod observe;
pub mod proto;
pub mod proto_tracker;
pub mod tracker;
pub mod verify;
pub mod wire;

/// A target's name and its law.
pub type Law = (&'static str, fn(&[u8]));
