//! Virtual time and network around the machines.
//!
//! What it is: a clock that jumps from event to event, hosts with addresses and links, streams that
//! keep their order as TCP does while everything else may be late, lost, split, refused or cut off,
//! and actors that live there: honest peers (the torrent machine), hostile ones, scripted ones, a
//! tracker. Everything follows from a seed, so a failure is a number that anyone can run again.
//! What it is not: a model of TCP's congestion control, nor a measure of speed.
//!
//! - [`disk`]: files that lose power
//! - [`net`]: time, hosts, streams, faults
//! - [`lone`]: one connection machine against a script ([`Sim`])
//! - [`swarm`]: many actors around one torrent ([`Swarm`])
//! - [`watcher`]: an observer among them
//! - [`strangers`]: one observer machine among strangers, without a network
//! - [`memory`]: files that lose nothing
//! - [`trial`]: a swarm that a seed draws, and the judge of what became of it ([`trial::Trial`])

pub mod content;
pub mod disk;
pub mod honest;
pub mod hostile;
pub mod lone;
pub mod memory;
pub mod net;
pub mod strangers;
pub mod swarm;
pub mod tracker;
pub mod trial;
pub mod watcher;

pub use lone::Sim;
pub use skep_proto::rng;
pub use swarm::Swarm;
