//! What must hold for any bytes that the parsers of `skep-wire` are given: no panic, bounded
//! memory, and the laws asserted here. Used by the fuzz targets, and by the ordinary test that
//! replays corpus and findings.

use skep_wire::{
    Bitfield, PeerId, PieceIndex,
    bencode::{self, Dict, Item, Limits, Node, Value},
    metainfo::{Draft, Edit, File, Info, Link, Metainfo, Version, Warning},
    peer::{
        self, HANDSHAKE_LEN, Handshake, HashRequest, Message, MessageId,
        ext::{ExtHandshake, Pex, decode_dont_have, encode_dont_have},
        hashes::{HASH_LAYERS_MAX, HASHES_MAX, digests},
    },
};

use crate::Law;

/// Every target on parsers of this crate.
pub const LAWS: &[Law] = &[
    ("bencode", bencode),
    ("metainfo", metainfo),
    ("peer_messages", peer_messages),
    ("peer_extensions", peer_extensions),
    ("handshake", handshake),
];

/// Canonical input is the only encoding of its value; every part decodes by itself to the same.
pub fn bencode(data: &[u8]) {
    let tolerant = Limits {
        depth_max: 20,
        values_max: 1_000,
        canonical: false,
    };
    let strict = Limits {
        canonical: true,
        ..tolerant
    };
    let Ok((node, noted)) = bencode::decode_noting(data, tolerant) else {
        assert!(
            bencode::decode(data, strict).is_err(),
            "strict accepts no more than tolerant"
        );
        return;
    };
    let canonical = bencode::decode(data, strict);
    assert_eq!(canonical.is_ok(), noted.is_empty());
    if let Ok(canonical) = canonical {
        assert_eq!(canonical, node);
        assert_eq!(item(&node).encode(), data);
    }
    assert_eq!(
        bencode::decode_prefix(data, tolerant),
        Ok((node.clone(), &[][..]))
    );
    parts(&node, tolerant);
}

fn parts(node: &Node<'_>, limits: Limits) {
    assert_eq!(bencode::decode(node.raw, limits).as_ref(), Ok(node));
    match &node.value {
        Value::Int(_) | Value::Bytes(_) => {}
        Value::List(items) => items.iter().for_each(|node| parts(node, limits)),
        Value::Dict(entries) => entries.iter().for_each(|(_, node)| parts(node, limits)),
    }
}

fn item(node: &Node<'_>) -> Item {
    match &node.value {
        Value::Int(int) => Item::Int(*int),
        Value::Bytes(bytes) => Item::Bytes(bytes.to_vec()),
        Value::List(items) => Item::list(items.iter().map(item)),
        Value::Dict(entries) => {
            let mut dict = Dict::new();
            entries
                .iter()
                .for_each(|(key, node)| dict.put(key, item(node)));
            Item::Dict(dict)
        }
    }
}

/// A torrent that is accepted adds up, names only sane paths, and can be written again.
pub fn metainfo(data: &[u8]) {
    let Ok(torrent) = Metainfo::from_bytes(data) else {
        return;
    };
    let info = &torrent.info;
    let (v1, v2) = (
        skep_hash::sha1(&torrent.info_bytes).0,
        skep_hash::sha256(&torrent.info_bytes),
    );
    let v2 = info.version.has_v2().then_some(v2.0);
    assert_eq!(torrent.info_hash_v2.map(|hash| hash.0), v2);
    let hashes: Vec<_> = torrent.info_hashes().map(|hash| hash.0.to_vec()).collect();
    let expected = [
        info.version.has_v1().then(|| v1.to_vec()),
        v2.map(|hash| hash[..20].to_vec()),
    ];
    assert_eq!(hashes, expected.into_iter().flatten().collect::<Vec<_>>());
    assert_eq!(torrent.info_hash.0.to_vec(), hashes[0]);
    assert!(
        data.windows(torrent.info_bytes.len())
            .any(|window| window == torrent.info_bytes)
    );
    let mut end = 0;
    let mut sum = 0;
    for (n, file) in info.files.iter().enumerate() {
        let begin = match info.version {
            Version::V2 if file.len > 0 => u64::next_multiple_of(end, info.piece_len.into()),
            Version::V1 | Version::V2 | Version::Hybrid => end,
        };
        assert_eq!(file.offset, begin);
        end = begin + file.len;
        sum += file.len;
        assert_eq!(file.path.is_empty(), info.single_file);
        file.path.iter().for_each(|name| sane(name));
        let has_tree = info.version.has_v2() && file.len > 0 && !file.padding;
        assert_eq!(file.root.is_some(), has_tree);
        assert_eq!(info.file_layer(n).is_empty(), !has_tree);
        match &file.attr.link {
            Some(Link::To(target)) => {
                assert!(file.len == 0 && !target.is_empty());
                target.iter().for_each(|name| sane(name));
            }
            Some(Link::Astray) => assert_eq!(file.len, 0),
            None => {}
        }
    }
    sane(&info.name);
    assert_eq!(info.size_bytes, end);
    assert_eq!(info.payload_bytes() + info.padding_bytes(), sum);
    let pieces = u64::from(info.piece_count());
    assert_eq!(pieces, end.div_ceil(info.piece_len.into()));
    let sizes = info.piece_sizes();
    for piece in (0..info.piece_count()).map(PieceIndex) {
        let spans: u64 = info.piece_spans(piece).map(|span| span.len).sum();
        assert_eq!(spans, u64::from(info.piece_size(piece)));
        assert_eq!(sizes.size(piece), info.piece_size(piece));
        assert_eq!(info.piece_v2(piece).is_some(), info.version.has_v2());
    }
    let spans = info.spans(0, u64::MAX).map(|span| span.len).sum::<u64>();
    assert_eq!(spans, sum);
    // An edit changes what it names, and never the info dictionary.
    assert_eq!(Edit::default().apply(data).as_deref(), Ok(data));
    let edit = Edit {
        comment: Some(Some("edited".to_owned())),
        ..Edit::default()
    };
    let edited = edit.apply(data).expect("a torrent takes a comment");
    let edited = Metainfo::from_bytes(&edited).expect("it is one still");
    assert_eq!(edited.comment.as_deref(), Some("edited"));
    assert_eq!(edited.info_bytes, torrent.info_bytes);
    assert_eq!(edited.info, torrent.info);
    assert_eq!(edited.tiers, torrent.tiers);
    assert_eq!(edited.web_seeds, torrent.web_seeds);

    // What had to be shown otherwise than it came (names that are not UTF-8) sorts otherwise, and a
    // folder of one file cannot be told from the file: version 2 writes those as another torrent.
    let is_own = |warning: &Warning| {
        matches!(
            warning,
            Warning::NameNotUtf8 { .. } | Warning::NameOfFile { .. }
        )
    };
    let top = |file: &File| file.path.len() == 1;
    let is_one = info.files.len() == 1 && info.files.iter().all(top);
    if info.version.has_v2() && (torrent.warnings.iter().any(is_own) || is_one || has_names(info)) {
        return;
    }

    let draft = Draft {
        info: info.clone(),
        tiers: torrent.tiers.clone(),
        web_seeds: torrent.web_seeds.clone(),
        comment: torrent.comment.clone(),
        created_by: torrent.created_by.clone(),
        creation_date: torrent.creation_date,
    };
    let again = draft.encode().expect("what was read can be written");
    let again = Metainfo::from_bytes(&again).expect("what was written can be read");
    assert_eq!(again.info, torrent.info);
    assert_eq!(again.tiers, torrent.tiers);
    assert_eq!(again.web_seeds, torrent.web_seeds);
    assert_eq!(again.comment, torrent.comment);
}

/// Whether a name is not what it is in the file: warnings end at a limit, so they do not say it all.
fn has_names(info: &Info) -> bool {
    let mut names = info.files.iter().flat_map(|file| &file.path);
    info.name.contains('%') || names.any(|name| name.contains('%'))
}

fn sane(name: &str) {
    assert!(!matches!(name, "" | "." | ".."), "{name:?}");
    assert!(!name.contains(['/', '\\', '\0']), "{name:?}");
    assert!(name.len() <= 255, "{name:?}");
}

/// A stream of messages, each of which is written as it was read.
pub fn peer_messages(mut data: &[u8]) {
    while let Some((len, rest)) = data.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len);
        let body = match rest.first() {
            Some(&id) if len > 0 => peer::body_len(len, MessageId(id)) as usize,
            _ => 0,
        };
        let Some((body, rest)) = rest.split_at_checked(body) else {
            return;
        };
        if let Ok(message) = peer::decode(len, body) {
            let written = message.to_bytes();
            assert_eq!(written, data[..4 + body.len()]);
            match message {
                Message::Bitfield(bits) => bitfield(bits),
                Message::HashRequest(request) => hash_request(request),
                Message::Hashes { hashes, .. } => {
                    let digests: Vec<u8> = digests(hashes).flat_map(|digest| digest.0).collect();
                    assert_eq!(digests, hashes);
                }
                _ => {}
            }
        }
        // The payload of a block is random bytes and would hide what follows it.
        data = rest;
    }
}

/// What can be answered has an answer of a bounded length.
fn hash_request(request: HashRequest) {
    if request.check().is_ok() {
        assert!(request.hash_count() >= u64::from(request.length));
        assert!(request.hash_count() <= u64::from(HASHES_MAX + HASH_LAYERS_MAX));
        assert!(u64::from(request.index) + u64::from(request.length) <= 1 << 32);
    }
}

fn bitfield(bits: &[u8]) {
    let piece_count = bits.len() as u32 * 8;
    for piece_count in piece_count.saturating_sub(9)..=piece_count {
        if let Ok(set) = Bitfield::from_bytes(bits, piece_count) {
            assert_eq!(set.as_bytes(), bits);
            assert_eq!(set.count() as usize, set.iter().count());
            assert!(set.share_ppm() <= 1_000_000);
        }
    }
}

/// What is read of an extension message is what is read when it is written again.
pub fn peer_extensions(data: &[u8]) {
    if let Ok(mut read) = ExtHandshake::decode(data) {
        // Read in the order of the input, written in that of the keys.
        read.ids.sort();
        assert_eq!(ExtHandshake::decode(&read.encode()).as_ref(), Ok(&read));
        assert!(read.ids.len() <= peer::ext::EXT_NAMES_MAX);
    }
    if let Ok(piece) = decode_dont_have(data) {
        assert_eq!(encode_dont_have(piece), data);
    }
    if let Ok(read) = Pex::decode(data) {
        let kept = Pex {
            left_out: 0,
            ..read
        };
        assert_eq!(Pex::decode(&kept.encode()).as_ref(), Ok(&kept));
        assert!(kept.added.len() <= 2 * peer::ext::PEX_PEERS_MAX);
        assert!(kept.dropped.len() <= 2 * peer::ext::PEX_PEERS_MAX);
    }
}

/// A handshake is written as it was read, is known from every prefix, and names a printable client.
pub fn handshake(data: &[u8]) {
    for len in 0..data.len().min(HANDSHAKE_LEN) {
        if Handshake::check_prefix(&data[..len]).is_err() {
            assert!(Handshake::check_prefix(data).is_err());
        }
    }
    if let Some(id) = data.last_chunk::<20>() {
        assert!(!PeerId(*id).client().contains(char::is_control));
    }
    let Some(bytes) = data.first_chunk::<HANDSHAKE_LEN>() else {
        return;
    };
    if let Ok(handshake) = Handshake::decode(bytes) {
        assert_eq!(&handshake.encode(), bytes);
    }
}
