//! Rule `grade/highest`: the highest grade that is recorded of an endpoint.

use skep_evidence::record::Body;
use skep_wire::Derived;

use crate::{group::Indexed, rule::Rule};

/// The rule.
pub const RULE: Rule = Rule {
    name: "grade/highest",
    says: "The highest grade that any record of the endpoint states. Listed: someone named it, or \
           we tried it in vain. Reached: a TCP connection stood. Joined: it completed a handshake for this \
           info-hash that was not an echo of ours. Claimed: it said what it has. Delivered: bytes of a \
           block that we asked for came from it. Verified: all blocks of a piece came from it on one \
           connection and hash to the torrent. Whole: the entire content did.",
    does_not_show: "It does not show that a person did anything, who used the address, or that a lower \
                    grade means innocence or a higher one guilt. It is the state of one port of one \
                    address at the recorded times, and not before or after.",
};

/// A grade as a place on the ladder. For printing and ordering only: it proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Named by someone, and never reached.
    Listed,
    /// It answered.
    Reached,
    /// It completed a BitTorrent handshake for this info-hash.
    Joined,
    /// It said what it has.
    Claimed,
    /// Bytes that we asked for came from it.
    Delivered,
    /// They hash to the torrent, as recorded.
    Verified,
    /// The entire content came from it, as recorded.
    Whole,
}

impl Level {
    /// All, ascending.
    pub const ALL: [Self; 7] = [
        Self::Listed,
        Self::Reached,
        Self::Joined,
        Self::Claimed,
        Self::Delivered,
        Self::Verified,
        Self::Whole,
    ];

    /// The word that reports use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Listed => "Listed",
            Self::Reached => "Reached",
            Self::Joined => "Joined",
            Self::Claimed => "Claimed",
            Self::Delivered => "Delivered",
            Self::Verified => "Verified",
            Self::Whole => "Whole",
        }
    }
}

/// The level that one record states, if it states one.
pub fn stated(body: &Body) -> Option<Level> {
    match body {
        Body::Listed { .. } | Body::Attempted { .. } | Body::AttemptFailed { .. } => {
            Some(Level::Listed)
        }
        Body::Reached { .. } => Some(Level::Reached),
        Body::Joined { .. } => Some(Level::Joined),
        Body::ClaimedSet { .. } | Body::ClaimedGain { .. } => Some(Level::Claimed),
        Body::Delivered { .. } => Some(Level::Delivered),
        Body::Verified { .. } => Some(Level::Verified),
        Body::Whole { .. } => Some(Level::Whole),
        Body::RunStarted { .. }
        | Body::Target { .. }
        | Body::Clock { .. }
        | Body::TrackerAsked { .. }
        | Body::TrackerAnswered { .. }
        | Body::TrackerFailed { .. }
        | Body::Extended { .. }
        | Body::Offers { .. }
        | Body::PieceAsked { .. }
        | Body::Refused { .. }
        | Body::Refuted { .. }
        | Body::Violated { .. }
        | Body::Limited { .. }
        | Body::RunCut { .. }
        | Body::Closed { .. }
        | Body::Mark { .. }
        | Body::RunEnded { .. }
        | Body::Unknown { .. } => None,
    }
}

/// The highest level among `records`, resting on the first record that states it.
pub fn highest(records: &[Indexed<'_>]) -> Derived<Level> {
    let mut best: Option<(Level, u64)> = None;
    for entry in records {
        if let Some(level) = stated(&entry.record.body)
            && best.is_none_or(|(known, _)| level > known)
        {
            best = Some((level, entry.index));
        }
    }
    let (level, inputs) = best.map_or((Level::Listed, vec![]), |(level, index)| {
        (level, vec![index])
    });
    RULE.derive(level, inputs)
}
