//! What was read from a ledger was not hashed again, and cannot be printed as if it were.
use skep_evidence::grade::{Recorded, Sentences, Verified};

fn delivered_a_verified_piece(verified: &Verified) -> String {
    verified.shows()
}

fn report(recorded: &Recorded<Verified>) -> String {
    delivered_a_verified_piece(recorded)
}

fn main() {}
