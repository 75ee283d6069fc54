//! What `get` and `seed` say on standard error while they run.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use indicatif::ProgressBar;
use skep_net::session::{Happened, PeerKey, Place, Purpose, What};

use crate::{
    ui::{self, Context},
    units::shown,
};

/// Says what happens, in words, beside the progress bar.
pub(super) struct Notes {
    bar: ProgressBar,
    quiet: bool,
    verbose: bool,
    /// Whether it is for sharing alone.
    seeds: bool,
    /// Peers that the user named, and of which it was not said yet that they cannot be reached.
    named: Mutex<BTreeSet<SocketAddr>>,
    /// The other ends of the connections that stand; the session limits their number.
    remotes: Mutex<BTreeMap<PeerKey, SocketAddr>>,
}

impl Notes {
    pub(super) fn new(
        bar: ProgressBar,
        ctx: &Context,
        verbose: bool,
        purpose: Purpose,
        peers: &[SocketAddr],
    ) -> Self {
        Self {
            bar,
            quiet: ctx.quiet,
            verbose,
            seeds: purpose == Purpose::Seed,
            named: Mutex::new(peers.iter().copied().collect()),
            remotes: Mutex::default(),
        }
    }

    pub(super) fn tell(&self, happened: &Happened) {
        if let Some(text) = self.text(&happened.what) {
            // A bar that is not drawn swallows what is printed through it.
            if self.bar.is_hidden() {
                ui::say(text);
            } else {
                self.bar.println(text);
            }
        }
    }

    /// The sentence about `what`, if the user wants it.
    fn text(&self, what: &What) -> Option<String> {
        let mut remotes = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        if let What::Connected { peer, remote, .. } = what {
            remotes.insert(*peer, *remote);
        }
        let wanted = match what {
            What::DiskFailed { .. }
            | What::DiskRecovered
            | What::PiecesLost { .. }
            | What::AttributesLeft { .. }
            | What::Moved { .. }
            | What::MoveFailed { .. }
            | What::PeerBanned { .. }
            | What::Tracker {
                outcome: Err(_), ..
            } => true,
            What::Listening { .. } => !self.quiet,
            What::Checked {
                pieces_held,
                pieces,
                ..
            } => self.verbose || self.seeds && (pieces_held < pieces || !self.quiet),
            // It is tried again and again, and said once.
            What::ConnectFailed { remote, .. } => self.is_news_of(remote) || self.verbose,
            What::TrackerPartly { .. }
            | What::Connected { .. }
            | What::Opened { .. }
            | What::HandshakeSent { .. }
            | What::SetSent { .. }
            | What::PieceVerified { .. }
            | What::PieceFailed { .. }
            | What::BlocksFailed { .. }
            | What::Disconnected { .. }
            | What::Tracker { outcome: Ok(_), .. }
            | What::Completed => self.verbose,
            // Thousands a second.
            What::BlockSent { .. } | What::BlockReceived { .. } | What::HaveSent { .. } => false,
        };
        let mut text = wanted.then(|| shown(&sentence(what, &remotes)));
        if let What::Checked {
            pieces_held,
            pieces,
            ..
        } = what
            && self.seeds
            && pieces_held < pieces
            && let Some(text) = &mut text
        {
            *text = format!("warning: {text}; the others are missing or wrong, and not offered");
        }
        if let What::Disconnected { peer, .. } = what {
            remotes.remove(peer);
        }
        text
    }
}

impl Notes {
    /// Whether `remote` is a peer that the user named, and this is the first time that it is asked about.
    fn is_news_of(&self, remote: &SocketAddr) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.remove(remote)
    }
}

/// `what` in words. What strangers wrote stands in it as it came.
fn sentence(what: &What, remotes: &BTreeMap<PeerKey, SocketAddr>) -> String {
    let end = |peer: &PeerKey| match remotes.get(peer) {
        Some(remote) => remote.to_string(),
        None => format!("connection {}", peer.0),
    };
    match what {
        What::Listening { addr } if addr.ip() == Ipv6Addr::UNSPECIFIED => {
            format!("listening on {addr}, for IPv4 and IPv6")
        }
        What::Listening { addr } => format!("listening on {addr}"),
        What::Checked {
            pieces_held,
            pieces,
            from_resume: true,
        } => format!("{pieces_held} of {pieces} pieces are here, as noted by the last run"),
        What::Checked {
            pieces_held,
            pieces,
            from_resume: false,
        } => format!("{pieces_held} of {pieces} pieces are here, each checked"),
        What::Connected {
            remote,
            outgoing: true,
            ..
        } => format!("{remote}: connected"),
        What::Connected {
            remote,
            outgoing: false,
            ..
        } => format!("{remote}: connected to us"),
        What::ConnectFailed { remote, reason } => format!("{remote}: cannot connect: {reason}"),
        What::Opened { peer, peer_id } => {
            format!("{}: handshake received, of {}", end(peer), peer_id.client())
        }
        What::HandshakeSent { peer } => format!("{}: handshake sent", end(peer)),
        What::SetSent { peer, pieces } => {
            format!("{}: told of the {pieces} pieces that we have", end(peer))
        }
        What::HaveSent { peer, piece } => format!("{}: told of piece {}", end(peer), piece.0),
        What::BlockSent { remote, block, .. } => format!(
            "{remote}: sent {} bytes at {} of piece {}",
            block.len, block.begin, block.piece.0
        ),
        What::BlockReceived { remote, block, .. } => format!(
            "{remote}: received {} bytes at {} of piece {}",
            block.len, block.begin, block.piece.0
        ),
        What::PieceVerified { piece } => format!("piece {} is here and right", piece.0),
        What::PieceFailed { piece } => {
            format!(
                "piece {} does not have its hash; it is fetched again",
                piece.0
            )
        }
        What::BlocksFailed { piece, blocks } => {
            let are = if blocks.len() == 1 { "is" } else { "are" };
            format!(
                "piece {} does not have its hash; {} of its blocks {are} wrong and fetched again",
                piece.0,
                blocks.len(),
            )
        }
        What::PeerBanned { remote, reason } => format!("{remote} is banned: {reason}"),
        What::Disconnected { remote, reason, .. } => format!("{remote}: disconnected: {reason}"),
        What::Tracker {
            url,
            outcome: Ok(1),
        } => format!("tracker {url}: names 1 peer"),
        What::Tracker {
            url,
            outcome: Ok(peers),
        } => format!("tracker {url}: names {peers} peers"),
        What::Tracker {
            url,
            outcome: Err(why),
        } => format!("tracker {url}: {why}"),
        What::TrackerPartly {
            url,
            remote: Some(remote),
            reason,
        } => format!("tracker {url} at {remote}: {reason}"),
        What::TrackerPartly {
            url,
            remote: None,
            reason,
        } => format!("tracker {url}: {reason}"),
        What::Completed => "everything is here".to_owned(),
        What::DiskFailed { reason, .. } => format!("{reason}; trying again until it works"),
        What::DiskRecovered => "the disk takes pieces again".to_owned(),
        What::PiecesLost { count } => {
            format!("the disk lost {count} pieces that it refused to keep; fetching them again")
        }
        What::AttributesLeft {
            count,
            path,
            reason,
        } => {
            let path = path.display();
            let more = match count.saturating_sub(1) {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            format!("warning: {path} is not made as the torrent says: {reason}{more}")
        }
        What::Moved {
            place: Place::Under(dir),
        } => format!("moved to {}", dir.display()),
        What::Moved {
            place: Place::At(path),
        } => format!("moved to {}", path.display()),
        What::MoveFailed { reason } => format!("not moved: {reason}"),
    }
}

#[cfg(test)]
mod tests;
