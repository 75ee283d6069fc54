//! Protocol machines: plain values into which bytes and time go, and out of which bytes, deadlines,
//! jobs and events come. No clock, socket, file, thread or unseeded randomness.

pub mod drain;
pub mod peer;
pub mod rng;
pub mod torrent;
pub mod tracker;
