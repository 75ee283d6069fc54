//! BitTorrent on the wire: bytes to values and back.
//!
//! Every parser here takes foreign bytes. It never panics, never allocates more than a named limit
//! allows, and answers with a typed error that says what is wrong. Nothing here knows a socket, a
//! clock or a file.

pub mod bencode;
pub mod bitfield;
pub mod http;
pub mod id;
pub mod metainfo;
pub mod origin;
pub mod peer;
pub mod piece;
pub mod time;
pub mod tracker;

pub use bitfield::Bitfield;
pub use id::{InfoHash, InfoHashV2, PeerId};
pub use origin::{Checked, Derived, NotChecked, Observed, Said};
pub use piece::{Block, PieceIndex, PieceSizes};
pub use time::Moment;
