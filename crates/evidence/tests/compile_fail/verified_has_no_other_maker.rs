//! Nobody but the function that hashes makes a `Verified`.
use skep_evidence::grade::{Delivered, Verified};
use skep_hash::Sha1Digest;
use skep_wire::{Checked, PieceIndex};

fn promote(delivered: Delivered, piece: Checked<PieceIndex>, sha1: Sha1Digest) -> Verified {
    Verified { delivered, piece, sha1 }
}

fn main() {}
