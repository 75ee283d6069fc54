//! Tracker machines: [`client`] asks, [`server`] answers. Neither knows a socket.

pub mod client;
pub mod server;
