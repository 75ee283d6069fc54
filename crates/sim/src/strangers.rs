//! One observer machine among strangers: peers that follow a script or the protocol, trackers, and hosts
//! that do not answer. Unlike a [`crate::Swarm`] it has no network of its own: each test says who is
//! where and what comes back.

mod content;
mod people;
mod world;

pub use self::{
    content::Content,
    people::{Client, Echo, HttpTracker, Mute, Script, handshake, messages},
    world::{Host, LISTEN_PORT, Says, Stranger, US, World, config, host},
};
