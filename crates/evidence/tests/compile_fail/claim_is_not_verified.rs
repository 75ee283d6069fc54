//! A sentence about verified pieces wants a `Verified`; a claim is none.
use skep_evidence::grade::{Claimed, Sentences, Verified};

fn delivered_a_verified_piece(verified: &Verified) -> String {
    verified.shows()
}

fn report(claimed: &Claimed) -> String {
    delivered_a_verified_piece(claimed)
}

fn main() {}
