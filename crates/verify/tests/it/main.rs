//! Bundles that verify, and every way of forging one that the tests know.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../../observe/tests/it/content.rs"]
#[allow(dead_code)]
mod content;
#[path = "../../../observe/tests/it/strangers.rs"]
#[allow(dead_code)]
mod strangers;
#[path = "../../../observe/tests/it/world.rs"]
#[allow(dead_code)]
mod world;

mod crash;
mod expert;
mod flips;
mod forgery;
mod genuine;
mod listen;
mod observation;
mod strange;
