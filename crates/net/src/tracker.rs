//! Trackers: the client's driver and the server.

pub mod client;
pub mod server;

pub use client::{
    TrackerClient, TrackerClientConfig,
    resolve::{Resolve, SystemResolver},
};
pub use server::{
    Handle as TrackerHandle, ServerConfig as TrackerConfig, TrackerServer, TrackerServerError,
    TrackerStats,
};
