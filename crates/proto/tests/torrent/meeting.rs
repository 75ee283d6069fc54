//! Whom we connect to, and which connections stay.

use skep_proto::torrent::{Source, TWIN_SECS};
use skep_wire::{
    Bitfield, PeerId,
    peer::{
        Message,
        ext::{ExtHandshake, Pex, PexPeer, UT_PEX},
    },
};

use crate::rig::{Rig, Said, US, addr, config, handshake, peer_id, set};

fn pex(of: u16) -> Vec<u8> {
    let added = vec![PexPeer {
        addr: addr(of),
        flags: 0,
    }];
    Pex {
        added,
        ..Pex::default()
    }
    .encode()
}

#[test]
fn peers_that_others_name_are_connected_to() {
    let mut rig = Rig::new(config(4));
    let peer = rig.joins(1, &set(4, []));
    rig.says(
        peer,
        &[Message::Extended {
            id: 1,
            payload: &pex(7),
        }],
    );
    assert!(matches!(rig.desk.dialled[..], [(_, dialled)] if dialled == addr(7)));
}

#[test]
fn in_a_private_torrent_peer_exchange_is_neither_offered_nor_heard() {
    let mut setup = config(4);
    setup.private = true;
    let mut rig = Rig::new(setup);
    let peer = rig.joins(1, &set(4, []));
    rig.says(
        peer,
        &[Message::Extended {
            id: 1,
            payload: &pex(7),
        }],
    );
    assert_eq!(rig.desk.dialled, []);
    let said = rig.said(peer);
    let Some(Said::Ext(payload)) = said.iter().find(|said| matches!(said, Said::Ext(_))) else {
        panic!("{said:?}");
    };
    let ours = ExtHandshake::decode(payload).expect("ours");
    assert_eq!(ours.id_of(UT_PEX), None);
}

#[test]
fn nobody_is_connected_to_twice() {
    let mut rig = Rig::new(config(4));
    for _ in 0..3 {
        rig.torrent
            .handle_candidates(Source::Tracker, &[addr(7), addr(7)], rig.now);
        rig.settle();
        rig.wait(20);
    }
    assert_eq!(rig.desk.dialled.len(), 1);
    let (key, _) = rig.desk.dialled[0];
    rig.torrent.handle_connected(key, rig.now);
    rig.greets(key, peer_id(7), &set(4, []));
    rig.torrent
        .handle_candidates(Source::Tracker, &[addr(7)], rig.now);
    rig.wait(60);
    assert_eq!(rig.desk.dialled.len(), 1);
}

#[test]
fn our_own_address_is_not_connected_to_and_learned_if_it_is_reached() {
    let mut setup = config(4);
    setup.own_addrs = vec![addr(1)];
    let mut rig = Rig::new(setup);
    rig.torrent
        .handle_candidates(Source::Tracker, &[addr(1), addr(2)], rig.now);
    rig.settle();
    assert!(matches!(rig.desk.dialled[..], [(_, dialled)] if dialled == addr(2)));
    let (key, _) = rig.desk.dialled[0];
    rig.torrent.handle_connected(key, rig.now);
    rig.bytes(key, &handshake(US));
    assert!(rig.is_closed(key));
    rig.torrent
        .handle_candidates(Source::Operator, &[addr(2)], rig.now);
    rig.wait(10_000);
    assert_eq!(rig.desk.dialled.len(), 1);
}

#[test]
fn the_listening_port_that_a_caller_names_is_not_called_while_it_is_here() {
    let mut rig = Rig::new(config(4));
    let from = std::net::SocketAddr::new(addr(7).ip(), 50_000);
    let peer = rig.joins_from(from, peer_id(7), &set(4, [0]));
    let payload = ExtHandshake {
        listen_port: Some(6881),
        ..Default::default()
    }
    .encode();
    rig.says(
        peer,
        &[Message::Extended {
            id: 0,
            payload: &payload,
        }],
    );
    rig.torrent
        .handle_candidates(Source::Tracker, &[addr(7)], rig.now);
    rig.wait(100);
    assert_eq!(rig.desk.dialled, []);
    rig.ends(peer);
    rig.wait(40);
    assert!(matches!(rig.desk.dialled[..], [(_, dialled)] if dialled == addr(7)));
}

/// Two peers dial each other at once. Whichever handshake comes first at either end, both keep the
/// connection that the lower peer id opened.
#[test]
fn of_two_connections_made_at_once_both_ends_keep_the_same() {
    let lower = PeerId(*b"-AA0001-aaaaaaaaaaaa");
    let higher = PeerId(*b"-ZZ0001-zzzzzzzzzzzz");
    for their_id in [lower, higher] {
        for ours_first in [true, false] {
            let mut rig = Rig::new(config(4));
            rig.torrent
                .handle_candidates(Source::Tracker, &[addr(7)], rig.now);
            rig.settle();
            let (ours, _) = rig.desk.dialled[0];
            rig.torrent.handle_connected(ours, rig.now);
            let from = std::net::SocketAddr::new(addr(7).ip(), 50_000);
            let theirs = rig
                .torrent
                .handle_incoming(from, rig.now)
                .expect("it is wanted");
            let order = if ours_first {
                [ours, theirs]
            } else {
                [theirs, ours]
            };
            for key in order {
                rig.bytes(key, &handshake(their_id));
            }
            let kept = if US < their_id { ours } else { theirs };
            assert!(
                !rig.is_closed(kept),
                "{their_id:?}, ours first: {ours_first}"
            );
            assert_eq!(rig.desk.closed.len(), 1);
        }
    }
}

#[test]
fn a_second_connection_of_a_peer_that_has_been_here_for_long_goes() {
    let mut rig = Rig::new(config(4));
    let first = rig.joins(7, &set(4, []));
    rig.wait(TWIN_SECS + 1);
    let second = rig.joins_from(
        std::net::SocketAddr::new(addr(7).ip(), 9),
        peer_id(7),
        &set(4, []),
    );
    assert!(rig.is_closed(second) && !rig.is_closed(first));
    let clone = rig.joins_from(addr(8), peer_id(7), &set(4, []));
    assert!(
        !rig.is_closed(clone),
        "the same id at another address is another peer"
    );
}

#[test]
fn who_fetches_nothing_more_is_left_once_we_have_everything() {
    let mut setup = config(4);
    setup.have = Bitfield::full(4);
    let mut rig = Rig::new(setup);
    let seeder = rig.joins(1, &Bitfield::full(4));
    let leecher = rig.joins(2, &set(4, [1]));
    let upload_only = rig.joins(3, &set(4, [1]));
    let payload = ExtHandshake {
        upload_only: Some(true),
        ..Default::default()
    }
    .encode();
    rig.says(
        upload_only,
        &[Message::Extended {
            id: 0,
            payload: &payload,
        }],
    );
    assert!(rig.is_closed(seeder) && rig.is_closed(upload_only) && !rig.is_closed(leecher));
    let said = rig.said(leecher);
    let Some(Said::Ext(payload)) = said.iter().find(|said| matches!(said, Said::Ext(_))) else {
        panic!("{said:?}");
    };
    assert_eq!(
        ExtHandshake::decode(payload).expect("ours").upload_only,
        Some(true)
    );
}
