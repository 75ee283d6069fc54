//! Sockets, files, clocks and drivers.
