//! Sockets, files, clocks and drivers.

pub mod clock;
pub mod disk;
pub mod observe;
pub mod session;
