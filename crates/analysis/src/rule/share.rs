//! Rules `share/claimed` and `share/offered`: the per cent that an endpoint says it has, and the per
//! cent that it offered at that moment. They differ: a peer may claim all and give nothing.

use skep_evidence::{
    journal::ConnId,
    record::{Body, ClaimKind},
};
use skep_wire::{Derived, Said};

use crate::{
    group::Indexed,
    rule::{Rule, When},
};

/// The rule of the claimed share.
pub const CLAIMED: Rule = Rule {
    name: "share/claimed",
    says: "The share of the torrent's pieces in the last set or gain that the endpoint claimed \
           (bitfield, have, have-all, have-none). `upload_only` alone claims no per cent.",
    does_not_show: "It is what the endpoint said. Nothing was fetched to check it.",
};

/// The rule of the offered share.
pub const OFFERED: Rule = Rule {
    name: "share/offered",
    says: "The share of the torrent's pieces that the endpoint claimed while it allowed us to fetch \
           (unchoked us, or allowed fast pieces), at the last change of either. Unknown where it never \
           allowed or refused anything.",
    does_not_show: "An offer is still a claim: only delivered and verified portions show that it could \
                    be kept.",
};

/// A share at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Pieces.
    pub pieces: u32,
    /// The same in parts per million of all pieces.
    pub ppm: u32,
    /// When it was said.
    pub when: When,
    /// On which connection.
    pub conn: ConnId,
}

/// Every claim of a share, in ledger order.
pub fn claims(records: &[Indexed<'_>]) -> Vec<Said<Share>> {
    records
        .iter()
        .filter_map(|&entry| match &entry.record.body {
            Body::ClaimedSet {
                how: ClaimKind::UploadOnly,
                ..
            } => None,
            Body::ClaimedSet {
                conn,
                pieces,
                share_ppm,
                ..
            }
            | Body::ClaimedGain {
                conn,
                pieces,
                share_ppm,
                ..
            } => Some(Said(Share {
                pieces: *pieces,
                ppm: *share_ppm,
                when: entry.into(),
                conn: *conn,
            })),
            _ => None,
        })
        .collect()
}

/// The last claim.
pub fn claimed(records: &[Indexed<'_>]) -> Option<Derived<Said<Share>>> {
    let last = claims(records).pop()?;
    Some(CLAIMED.derive(last, vec![last.0.when.index]))
}

/// The last offer, and the greatest one.
pub fn offered(records: &[Indexed<'_>]) -> Option<Derived<Said<Share>>> {
    let last = records
        .iter()
        .rev()
        .find_map(|&entry| match &entry.record.body {
            Body::Offers {
                conn,
                pieces,
                share_ppm,
                ..
            } => Some(Said(Share {
                pieces: *pieces,
                ppm: *share_ppm,
                when: entry.into(),
                conn: *conn,
            })),
            _ => None,
        })?;
    Some(OFFERED.derive(last, vec![last.0.when.index]))
}

/// The greatest offer.
pub fn offered_most(records: &[Indexed<'_>]) -> Option<Derived<Said<Share>>> {
    let mut most: Option<Share> = None;
    for &entry in records {
        if let Body::Offers {
            conn,
            pieces,
            share_ppm,
            ..
        } = &entry.record.body
            && most.is_none_or(|known| *share_ppm > known.ppm)
        {
            most = Some(Share {
                pieces: *pieces,
                ppm: *share_ppm,
                when: entry.into(),
                conn: *conn,
            });
        }
    }
    most.map(|most| OFFERED.derive(Said(most), vec![most.when.index]))
}
