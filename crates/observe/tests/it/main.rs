//! The observer in virtual time, among endpoints of every kind.

mod claims;
mod content;
mod hostile;
mod naming;
mod pieces;
mod plan;
mod replay;
mod strangers;
mod world;
