use std::sync::Mutex;

use skep_hash::sha1;
use skep_wire::bencode::Dict;

use super::*;
use crate::{disk::keeper::Unkept, session::EventSink};

const PIECE_LEN: usize = 16_384;

fn torrent() -> Arc<Metainfo> {
    let content = vec![7; 2 * PIECE_LEN];
    let pieces = content.chunks(PIECE_LEN);
    let pieces: Vec<u8> = pieces.flat_map(|piece| sha1(piece).0).collect();
    let info = Dict::new()
        .with("length", content.len() as i64)
        .with("name", "t")
        .with("piece length", PIECE_LEN as i64)
        .with("pieces", pieces);
    let bytes = Dict::new().with("info", info).encode();
    Arc::new(Metainfo::from_bytes(&bytes).expect("a torrent"))
}

/// A sync fails and a piece is lost: it is had no more, that is said, peers are not read, and the writer's
/// threads forget what they hashed before anything is claimed. Then the disk takes a claim.
#[test]
fn what_the_disk_lost_is_had_no_more_and_nothing_is_read_until_a_claim_is_kept() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let torrent = torrent();
    let mut config = SessionConfig::get(torrent.clone(), dir.path().to_owned());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    config.events = EventSink::new(move |happened| {
        told.lock()
            .expect("nobody panics with it")
            .push(happened.what);
    });
    let resume_file = resume_path(&config);
    let layout = Arc::new(Layout::of(&torrent.info));
    let files = Files::new(layout, &config.place, "t", Access::Write);
    let mut have = Bitfield::empty(2);
    have.insert(PieceIndex(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        let addr = SocketAddr::from(([127, 0, 0, 1], 6881));
        let mut running = Running::start(config, files, resume_file, have, addr).expect("started");
        let has_room = |running: &Running| {
            let shared = running.shared.clone();
            shared.turn(|core, _| core.world.has_room(&core.torrent))
        };
        assert!(has_room(&running));

        running.keeping = Some(Kept::Part);
        let error = DiskError::io("sync", &dir.path().join("t"))(std::io::ErrorKind::Other.into());
        running.report(Report::Kept(Err(Unkept {
            error,
            in_doubt: true,
            lost: vec![PieceIndex(0)],
        })));
        let had = running.shared.turn(|core, _| core.torrent.have().count());
        assert_eq!((had, running.stats().phase), (0, Phase::DiskWait));
        assert!(!has_room(&running));
        let lost = What::PiecesLost { count: 1 };
        let is_failed =
            |what: &What| matches!(what, What::DiskFailed { path, .. } if path.ends_with("t"));
        {
            let heard = heard.lock().expect("nobody panics with it");
            assert!(heard.iter().any(is_failed) && heard.contains(&lost));
        }

        let doubting = |running: &Running| running.shared.turn(|core, _| core.world.doubting);
        assert!(doubting(&running) > 0);
        while doubting(&running) > 0 {
            let report = running.reports.recv().await.expect("each thread answers");
            running.report(report);
        }
        running.keeping = Some(Kept::Part);
        running.report(Report::Kept(Ok(Vec::new())));
        assert_eq!(running.stats().phase, Phase::Getting);
        assert!(has_room(&running));
        let heard = heard.lock().expect("nobody panics with it");
        assert!(heard.contains(&What::DiskRecovered));
    });
}
