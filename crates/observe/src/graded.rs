//! The only place where a record that states a grade is made: each from the value of that grade.

use skep_evidence::{
    grade::{Claimed, Delivered, Joined, Reached, Verified, Whole},
    record::{Body, ClaimKind, Source, TargetIndex},
};
use skep_wire::{Moment, PieceIndex};

pub(crate) fn reached(grade: &Reached, target: Option<TargetIndex>) -> Body {
    Body::Reached {
        target,
        conn: grade.conn(),
        local: grade.local(),
        endpoint: grade.endpoint(),
        incoming: grade.incoming(),
        transport: grade.transport(),
    }
}

pub(crate) fn joined(grade: &Joined, target: TargetIndex, source: Source) -> Body {
    Body::Joined {
        target,
        conn: grade.reached().conn(),
        peer_id: grade.peer_id().0,
        reserved: grade.reserved().0,
        client: grade.peer_id().0.client(),
        source,
    }
}

/// How a set of pieces was claimed, and what it changes.
pub(crate) struct Set {
    pub(crate) how: ClaimKind,
    pub(crate) gained: u32,
    pub(crate) since: Option<Moment>,
}

pub(crate) fn claimed_set(grade: &Claimed, set: Set, source: Source) -> Body {
    Body::ClaimedSet {
        conn: grade.joined().reached().conn(),
        how: set.how,
        pieces: grade.pieces().0,
        share_ppm: grade.share_ppm().0,
        gained: set.gained,
        since: set.since,
        source,
    }
}

pub(crate) fn claimed_gain(
    grade: &Claimed,
    piece: PieceIndex,
    since: Option<Moment>,
    source: Source,
) -> Body {
    Body::ClaimedGain {
        conn: grade.joined().reached().conn(),
        piece,
        since,
        pieces: grade.pieces().0,
        share_ppm: grade.share_ppm().0,
        source,
    }
}

pub(crate) fn delivered(grade: &Delivered, source: Source) -> Body {
    Body::Delivered {
        conn: grade.claimed().joined().reached().conn(),
        block: grade.block(),
        source,
    }
}

pub(crate) fn verified(grade: &Verified) -> Body {
    Body::Verified {
        conn: grade.delivered().claimed().joined().reached().conn(),
        piece: *grade.piece().get(),
        sha1: grade.digests().sha1,
        root: grade.digests().root,
    }
}

pub(crate) fn whole(grade: &Whole) -> Body {
    Body::Whole {
        conn: grade.last().delivered().claimed().joined().reached().conn(),
    }
}
