//! What may be said of each grade, and what it does not show. A sentence is a method on the type.

use super::{Claimed, Delivered, Grade, Joined, Reached, Verified, Whole};

/// The words of a grade. Only values of the grade's own type have the sentence in
/// [`Sentences::shows`]; the two texts of the kind are for legends.
pub trait Sentences {
    /// The grade's name.
    const GRADE: Grade;
    /// What the grade shows, for a legend.
    const SHOWS: &'static str;
    /// What it does not show, for a legend and beside every statement.
    const DOES_NOT_SHOW: &'static str;

    /// What this value shows, as one sentence.
    fn shows(&self) -> String;
}

impl Sentences for Reached {
    const GRADE: Grade = Grade::Reached;
    const SHOWS: &'static str = "A TCP connection with this address and port stood.";
    const DOES_NOT_SHOW: &'static str = "It does not show BitTorrent, a swarm, or who or what \
        answered: a middlebox can complete handshakes for a silent host.";

    fn shows(&self) -> String {
        let how = if self.incoming() {
            "connected to us"
        } else {
            "answered our connection"
        };
        format!("{} {how} at {}", self.endpoint(), self.local())
    }
}

impl Sentences for Joined {
    const GRADE: Grade = Grade::Joined;
    const SHOWS: &'static str =
        "It completed a BitTorrent handshake for this info-hash which was not ours echoed.";
    const DOES_NOT_SHOW: &'static str = "It does not show that it has or sends any of the content. \
        Peer id and client name are what it says of itself.";

    fn shows(&self) -> String {
        format!(
            "{} completed a handshake for {}",
            self.reached().endpoint(),
            self.info_hash()
        )
    }
}

impl Sentences for Claimed {
    const GRADE: Grade = Grade::Claimed;
    const SHOWS: &'static str = "It said which pieces of the content it has.";
    const DOES_NOT_SHOW: &'static str =
        "It does not show that it has them: nothing was fetched from it and compared.";

    fn shows(&self) -> String {
        let endpoint = self.joined().reached().endpoint();
        format!(
            "{endpoint} claims {} of {} pieces",
            self.pieces().0,
            self.piece_count()
        )
    }
}

impl Sentences for Delivered {
    const GRADE: Grade = Grade::Delivered;
    const SHOWS: &'static str = "Bytes of a block that we asked for came from it.";
    const DOES_NOT_SHOW: &'static str =
        "It does not show that the bytes are of the content: no whole piece was compared.";

    fn shows(&self) -> String {
        let (endpoint, block) = (self.claimed().joined().reached().endpoint(), self.block());
        format!(
            "{endpoint} sent {} bytes as part of piece {}",
            block.len, block.piece.0
        )
    }
}

impl Sentences for Verified {
    const GRADE: Grade = Grade::Verified;
    const SHOWS: &'static str = "A whole piece, every block of which it sent on one connection, \
        hashes to the torrent.";
    const DOES_NOT_SHOW: &'static str = "It does not show who was using the address, where the \
        endpoint had the piece from, or that it has the rest.";

    fn shows(&self) -> String {
        let endpoint = self.delivered().claimed().joined().reached().endpoint();
        format!(
            "{endpoint} sent piece {}, which hashes to {} as in the torrent",
            self.piece().get().0,
            self.digests()
        )
    }
}

impl Sentences for Whole {
    const GRADE: Grade = Grade::Whole;
    const SHOWS: &'static str =
        "The entire content came from this one address and port, every piece verified.";
    const DOES_NOT_SHOW: &'static str =
        "It does not show who was using the address, or that it was one program all the time.";

    fn shows(&self) -> String {
        let endpoint = self
            .last()
            .delivered()
            .claimed()
            .joined()
            .reached()
            .endpoint();
        format!(
            "{endpoint} sent all {} pieces, each verified",
            self.piece_count()
        )
    }
}
