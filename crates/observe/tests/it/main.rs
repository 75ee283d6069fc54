//! The observer in virtual time, among endpoints of every kind.

mod claims;
mod floods;
mod hostile;
mod naming;
mod pieces;
mod plan;
mod random;
mod replay;
mod stall;
mod versions;
