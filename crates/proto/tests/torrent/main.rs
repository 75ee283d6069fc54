//! The torrent machine, driven by hand: the test is its sockets, its disk and all its peers.

mod anything;
mod asking;
mod blame;
mod limits;
mod meeting;
mod probe;
mod rig;
mod serving;
mod v2;
