//! Honest peers among hostile company, on real sockets, found through the ordinary tracker.
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use skep_lab::{
    content::Work,
    honest::{Content, Honest, HonestPlan},
    hostile::{Announcement, Hostile, Kind, Stage, announce},
    loopback::Subnet,
    score::Truth,
    tracker::TrackerActor,
    truth::{self, Act, TruthLog, What},
};
use skep_wire::metainfo::Metainfo;

const PATIENCE: Duration = Duration::from_secs(180);

/// A seeder and three downloaders finish although most of what the tracker lists is hostile; the
/// content is identical, and the truth log tells of every piece and who sent it.
#[tokio::test]
async fn a_swarm_completes_among_liars_and_writes_down_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let mut subnet = Subnet::take();
    let work = Arc::new(Work::generate("work.bin", 5, 40 * 32_768 + 77, 32_768));
    let truth = TruthLog::create(&dir.path().join("truth.jsonl")).unwrap();
    truth.write("lab", Act::stage(&work));
    let stage = Stage { truth, work };
    let tracker = TrackerActor::start(subnet.next_ip(), &stage).unwrap();
    let torrent = Metainfo::from_bytes(&stage.work.torrent(&tracker.urls())).unwrap();
    let torrent = Arc::new(torrent);
    let mut hostile = Vec::new();
    for kind in Kind::ALL {
        let actor = Hostile::start(kind, kind.name(), subnet.next_ip(), &stage)
            .await
            .unwrap();
        if kind.announces() {
            let what = Announcement {
                kind,
                endpoint: actor.endpoint,
                left: 0,
            };
            announce(&stage, kind.name(), what, tracker.http())
                .await
                .unwrap();
        } else {
            tracker.list(actor.endpoint);
        }
        hostile.push(actor);
    }
    let file = dir.path().join("work.bin");
    std::fs::write(&file, &stage.work.bytes).unwrap();
    let mut plan = HonestPlan {
        name: "seeder".into(),
        role: "seeder".into(),
        ip: subnet.next_ip(),
        torrent,
        content: Content::Complete(file),
        upload_bytes_per_sec: 4 << 20,
        download_bytes_per_sec: u64::MAX,
        seed: 1,
    };
    let mut honest = vec![Honest::start(plan.clone(), &stage).unwrap()];
    for number in 0..3u64 {
        plan.name = format!("downloader-{number}");
        plan.ip = subnet.next_ip();
        plan.content = Content::FetchInto(dir.path().join(&plan.name));
        plan.seed = 2 + number;
        std::fs::create_dir(dir.path().join(&plan.name)).unwrap();
        honest.push(Honest::start(plan.clone(), &stage).unwrap());
    }
    let began = Instant::now();
    let size = stage.work.bytes.len() as u64;
    while honest.iter().any(|peer| peer.stats().bytes_held < size) {
        let held: Vec<_> = honest.iter().map(|peer| peer.stats().bytes_held).collect();
        assert!(began.elapsed() < PATIENCE, "{held:?} of {size}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    honest.iter().for_each(Honest::leave);
    while honest.iter().any(|peer| !peer.is_over()) {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    honest.into_iter().for_each(|peer| peer.join().unwrap());
    for actor in hostile {
        actor.stop().await;
    }
    tracker.stop();
    stage.truth.finish().unwrap();

    for number in 0..3 {
        let got = dir.path().join(format!("downloader-{number}/work.bin"));
        assert!(std::fs::read(got).unwrap() == stage.work.bytes);
    }
    check_truth(&dir.path().join("truth.jsonl"), &stage.work);
}

fn check_truth(path: &Path, work: &Work) {
    let lines = truth::read(path).unwrap();
    let truth = Truth::distill(&lines, "127.255.0.1".parse().unwrap()).unwrap();
    for (name, actor) in &truth.actors {
        if actor.honest {
            assert_eq!(actor.has.len() as u32, work.piece_count(), "{name}");
            assert!(
                actor.stays.iter().all(|stay| stay.to_us.is_some()),
                "{name}"
            );
        }
    }
    let sent = |line: &&truth::Line, wanted: bool| {
        matches!(line.act, Act::Sends { what: What::Block { genuine, .. }, .. }
            if genuine == Some(wanted))
    };
    let genuine: Vec<_> = lines.iter().filter(|line| sent(line, true)).collect();
    let blocks = u64::from(work.piece_count()) * 2;
    assert!(
        genuine.len() as u64 >= 3 * (blocks - 2),
        "{}",
        genuine.len()
    );
    assert!(
        lines
            .iter()
            .filter(|line| sent(line, false))
            .all(|line| line.actor == "garbage")
    );
    let handshakes = |name: &str| {
        let by = |line: &&truth::Line| line.actor == name;
        let sent = |line: &truth::Line| {
            matches!(
                &line.act,
                Act::Sends {
                    what: What::Handshake { .. },
                    ..
                }
            )
        };
        lines.iter().filter(by).any(sent)
    };
    assert!(handshakes("seeder") && handshakes("fake-seed") && !handshakes("echo"));
}
