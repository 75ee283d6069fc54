//! Sockets, files, clocks and drivers.

pub mod bundle;
pub mod clock;
pub mod create;
pub mod disk;
pub mod observe;
pub mod rate;
pub mod report;
pub mod session;
pub mod store;
pub mod tracker;
