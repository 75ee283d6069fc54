//! Virtual time and network around the machines.
