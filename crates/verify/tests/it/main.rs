//! Bundles that verify, and every way of forging one that the tests know.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod crash;
mod expert;
mod flips;
mod forgery;
mod genuine;
mod listen;
mod observation;
mod stall;
mod strange;
mod versions;
