use std::path::PathBuf;

use skep_net::session::SeedUntil;
use skep_wire::{Block, Moment, PeerId, PieceIndex};

use super::*;

const PEER: PeerKey = PeerKey(3);

fn remote() -> SocketAddr {
    "192.0.2.1:6881".parse().expect("an address")
}

fn connected(outgoing: bool) -> What {
    What::Connected {
        peer: PEER,
        local: "198.51.100.1:6881".parse().expect("an address"),
        remote: remote(),
        outgoing,
    }
}

fn disconnected() -> What {
    What::Disconnected {
        peer: PEER,
        remote: remote(),
        reason: "the peer closed".into(),
    }
}

fn tracker(outcome: Result<usize, String>) -> What {
    let url = "http://tracker.example/announce".into();
    What::Tracker { url, outcome }
}

fn notes(quiet: bool, verbose: bool) -> Notes {
    of(Purpose::Get(SeedUntil::Complete), &[], quiet, verbose)
}

fn of(purpose: Purpose, peers: &[SocketAddr], quiet: bool, verbose: bool) -> Notes {
    let (bar, ctx) = (ProgressBar::hidden(), Context { quiet });
    Notes::new(bar, &ctx, verbose, purpose, peers)
}

/// One of each kind that may be said, in an order in which they could happen, with its sentence.
fn everything() -> Vec<(What, &'static str)> {
    let piece = PieceIndex(7);
    let checked = |from_resume| What::Checked {
        pieces_held: 2,
        pieces: 9,
        from_resume,
    };
    vec![
        (
            What::Listening { addr: remote() },
            "listening on 192.0.2.1:6881",
        ),
        (
            What::Listening {
                addr: "[::]:6881".parse().expect("an address"),
            },
            "listening on [::]:6881, for IPv4 and IPv6",
        ),
        (checked(false), "2 of 9 pieces are here, each checked"),
        (
            checked(true),
            "2 of 9 pieces are here, as noted by the last run",
        ),
        (
            tracker(Ok(1)),
            "tracker http://tracker.example/announce: names 1 peer",
        ),
        (
            tracker(Ok(0)),
            "tracker http://tracker.example/announce: names 0 peers",
        ),
        (
            tracker(Err("no answer".into())),
            "tracker http://tracker.example/announce: no answer",
        ),
        (
            What::ConnectFailed {
                remote: remote(),
                reason: "Connection refused".into(),
            },
            "192.0.2.1:6881: cannot connect: Connection refused",
        ),
        (connected(false), "192.0.2.1:6881: connected to us"),
        (connected(true), "192.0.2.1:6881: connected"),
        (
            What::HandshakeSent { peer: PEER },
            "192.0.2.1:6881: handshake sent",
        ),
        (
            What::Opened {
                peer: PEER,
                peer_id: PeerId(*b"-TR4060-abcdefghijkl"),
            },
            "192.0.2.1:6881: handshake received, of Transmission 4.0.6",
        ),
        (
            What::SetSent {
                peer: PEER,
                pieces: 2,
            },
            "192.0.2.1:6881: told of the 2 pieces that we have",
        ),
        (What::PieceVerified { piece }, "piece 7 is here and right"),
        (
            What::PieceFailed { piece },
            "piece 7 does not have its hash; it is fetched again",
        ),
        (
            What::BlocksFailed {
                piece,
                blocks: vec![Block {
                    piece,
                    begin: 0,
                    len: 16_384,
                }],
            },
            "piece 7 does not have its hash; 1 of its blocks is wrong and fetched again",
        ),
        (What::Completed, "everything is here"),
        (
            disconnected(),
            "192.0.2.1:6881: disconnected: the peer closed",
        ),
        (
            What::PeerBanned {
                remote: remote(),
                reason: "its pieces were wrong".into(),
            },
            "192.0.2.1:6881 is banned: its pieces were wrong",
        ),
        (
            What::DiskFailed {
                path: PathBuf::from("album/one"),
                reason: "write album/one: no room".into(),
            },
            "write album/one: no room; trying again until it works",
        ),
        (What::DiskRecovered, "the disk takes pieces again"),
        (
            What::PiecesLost { count: 3 },
            "the disk lost 3 pieces that it refused to keep; fetching them again",
        ),
        (
            What::TrackerPartly {
                url: "http://tracker.example/announce".into(),
                remote: Some(remote()),
                reason: "no answer".into(),
            },
            "tracker http://tracker.example/announce at 192.0.2.1:6881: no answer",
        ),
        (
            What::Moved {
                place: Place::Under(PathBuf::from("done")),
            },
            "moved to done",
        ),
        (
            What::AttributesLeft {
                count: 3,
                path: PathBuf::from("album/up"),
                reason: "leads to nothing in the torrent".into(),
            },
            "warning: album/up is not made as the torrent says: leads to nothing in the torrent (and 2 more)",
        ),
        (
            What::MoveFailed {
                reason: "done/album is there already".into(),
            },
            "not moved: done/album is there already",
        ),
    ]
}

#[test]
fn everything_that_happens_is_said_in_words_and_names_the_endpoint() {
    let notes = notes(false, true);
    for (what, said) in everything() {
        assert_eq!(notes.text(&what).as_deref(), Some(said));
    }
}

#[test]
fn without_verbose_only_trouble_and_the_address_are_said_and_with_quiet_only_trouble() {
    let said = |quiet| -> Vec<String> {
        let notes = notes(quiet, false);
        let all = everything();
        all.iter()
            .filter_map(|(what, _)| notes.text(what))
            .collect()
    };
    let trouble = [
        "tracker http://tracker.example/announce: no answer",
        "192.0.2.1:6881 is banned: its pieces were wrong",
        "write album/one: no room; trying again until it works",
        "the disk takes pieces again",
        "the disk lost 3 pieces that it refused to keep; fetching them again",
        "moved to done",
        "warning: album/up is not made as the torrent says: leads to nothing in the torrent (and 2 more)",
        "not moved: done/album is there already",
    ];
    assert_eq!(said(true), trouble);
    let addresses = [
        "listening on 192.0.2.1:6881",
        "listening on [::]:6881, for IPv4 and IPv6",
    ];
    assert_eq!(said(false)[..2], addresses);
    assert_eq!(said(false)[2..], trouble);
}

/// There are thousands of them a second.
#[test]
fn blocks_and_haves_are_never_said() {
    let block = Block {
        piece: PieceIndex(7),
        begin: 16_384,
        len: 16_384,
    };
    let notes = notes(false, true);
    for what in [
        What::BlockSent {
            peer: PEER,
            remote: remote(),
            block,
        },
        What::BlockReceived {
            peer: PEER,
            remote: remote(),
            block,
        },
        What::HaveSent {
            peer: PEER,
            piece: block.piece,
        },
    ] {
        assert_eq!(notes.text(&what), None);
        let words = sentence(&what, &BTreeMap::new());
        assert!(words.contains("piece 7") && !words.contains('{'), "{words}");
    }
}

/// What a tracker or a peer writes cannot move the cursor, and a connection that is over is forgotten.
#[test]
fn strangers_write_no_control_characters_and_do_not_fill_the_memory() {
    let notes = notes(false, true);
    let said = notes
        .text(&tracker(Err("\u{1b}[2J".into())))
        .expect("it is said");
    assert!(said.ends_with("\\u{1b}[2J"), "{said}");
    let happened = |what| Happened {
        at: Moment::ZERO,
        what,
    };
    for _ in 0..3 {
        notes.tell(&happened(connected(false)));
        notes.tell(&happened(disconnected()));
    }
    assert!(notes.remotes.lock().expect("nobody panicked").is_empty());
}

/// How much is there decides what a seed is worth: it is said at the start, and a gap also to who wants quiet.
#[test]
fn a_seed_says_how_much_is_there() {
    let checked = |pieces_held| What::Checked {
        pieces_held,
        pieces: 9,
        from_resume: false,
    };
    let [loud, quiet] = [false, true].map(|quiet| of(Purpose::Seed, &[], quiet, false));
    let whole = "9 of 9 pieces are here, each checked";
    assert_eq!(loud.text(&checked(9)).as_deref(), Some(whole));
    assert_eq!(quiet.text(&checked(9)), None);
    let part = "warning: 2 of 9 pieces are here, each checked; the others are missing or wrong, and not offered";
    assert_eq!(loud.text(&checked(2)).as_deref(), Some(part));
    assert_eq!(quiet.text(&checked(2)).as_deref(), Some(part));
    assert_eq!(notes(false, false).text(&checked(2)), None);
}

/// Peers that trackers name fail all the time; the one that the user named is worth a line, and one only.
#[test]
fn a_named_peer_that_cannot_be_reached_is_said_once() {
    let other: SocketAddr = "192.0.2.2:6881".parse().expect("an address");
    let failed = |remote| What::ConnectFailed {
        remote,
        reason: "Connection refused (os error 111)".into(),
    };
    for quiet in [false, true] {
        let notes = of(Purpose::Get(SeedUntil::Complete), &[remote()], quiet, false);
        assert_eq!(notes.text(&failed(other)), None);
        let said = "192.0.2.1:6881: cannot connect: Connection refused (os error 111)";
        assert_eq!(notes.text(&failed(remote())).as_deref(), Some(said));
        assert_eq!(notes.text(&failed(remote())), None);
    }
}
