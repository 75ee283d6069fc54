//! Content, its torrent, and sessions around them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use skep_net::{
    create,
    disk::check::Watch,
    session::{Ended, EventSink, Session, SessionConfig, What},
};
use skep_wire::{
    Block,
    metainfo::{Draft, Metainfo, Version},
};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Content in a temporary folder, and its torrent.
pub(crate) struct Case {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) torrent: Arc<Metainfo>,
}

impl Case {
    pub(crate) fn file(len: usize, piece_len: u32) -> Self {
        Self::make(
            |root| std::fs::write(root, bytes(len, 1)).expect("written"),
            piece_len,
            Version::V1,
        )
    }

    pub(crate) fn folder(files: &[(&str, usize)], piece_len: u32) -> Self {
        Self::folder_of(Version::V1, files, piece_len)
    }

    pub(crate) fn folder_of(version: Version, files: &[(&str, usize)], piece_len: u32) -> Self {
        let write = |root: &Path| {
            for (n, (name, len)) in files.iter().enumerate() {
                let path = root.join(name);
                std::fs::create_dir_all(path.parent().expect("has one")).expect("created");
                std::fs::write(path, bytes(*len, n as u64)).expect("written");
            }
        };
        Self::make(write, piece_len, version)
    }

    /// What `write` makes in its folder, links as links.
    pub(crate) fn make(write: impl FnOnce(&Path), piece_len: u32, version: Version) -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().join("source/t");
        std::fs::create_dir_all(root.parent().expect("has one")).expect("created");
        write(&root);
        let options = create::Options {
            links: create::Links::Keep,
            executable: true,
        };
        let survey = create::survey(&root, options).expect("surveyed");
        let info = create::plan(&survey, version, piece_len)
            .and_then(|plan| create::hash(&survey, plan, &Watch::default()))
            .expect("hashed");
        let draft = Draft {
            info,
            tiers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
        };
        let torrent = Metainfo::from_bytes(&draft.encode().expect("encoded")).expect("read");
        Self {
            dir,
            torrent: Arc::new(torrent),
        }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("source/t")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(crate) fn resume_file(&self) -> PathBuf {
        self.out().join("t.skep-resume")
    }

    pub(crate) fn seed_config(&self) -> (SessionConfig, Heard) {
        listening(SessionConfig::seed(self.torrent.clone(), self.source()))
    }

    pub(crate) fn seed(&self) -> (Session, Heard) {
        let (config, heard) = self.seed_config();
        (Session::start(config).expect("started"), heard)
    }

    pub(crate) fn get(&self, peers: &[SocketAddr]) -> (SessionConfig, Heard) {
        self.get_into("out", peers)
    }

    pub(crate) fn get_into(&self, out: &str, peers: &[SocketAddr]) -> (SessionConfig, Heard) {
        let mut config = SessionConfig::get(self.torrent.clone(), self.dir.path().join(out));
        config.peers = peers.to_vec();
        listening(config)
    }

    pub(crate) fn assert_arrived(&self) {
        self.assert_arrived_in("out");
    }

    pub(crate) fn assert_arrived_in(&self, out: &str) {
        let files = &self.torrent.info.files;
        for file in files.iter().filter(|file| !file.padding) {
            let path = |root: PathBuf| file.path.iter().fold(root, |path, part| path.join(part));
            let expected = std::fs::read(path(self.source())).expect("read");
            let got = std::fs::read(path(self.dir.path().join(out).join("t"))).expect("arrived");
            assert!(got == expected, "{:?} differs", file.path);
        }
    }
}

fn listening(mut config: SessionConfig) -> (SessionConfig, Heard) {
    config.bind = LOOPBACK;
    let heard = Heard::default();
    let sink = heard.clone();
    config.events = EventSink::new(move |happened| {
        sink.0
            .lock()
            .expect("nobody panics with it")
            .push(happened.what);
    });
    (config, heard)
}

/// What a session said.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<What>>>);

impl Heard {
    pub(crate) fn all<T>(&self, pick: impl Fn(&What) -> Option<T>) -> Vec<T> {
        self.0
            .lock()
            .expect("nobody panics with it")
            .iter()
            .filter_map(pick)
            .collect()
    }

    pub(crate) fn count(&self, is: impl Fn(&What) -> bool) -> usize {
        self.all(|what| is(what).then_some(())).len()
    }

    pub(crate) fn has(&self, expected: &What) -> bool {
        self.count(|what| what == expected) > 0
    }

    pub(crate) fn blocks_sent(&self) -> Vec<Block> {
        self.all(|what| match what {
            What::BlockSent { block, .. } => Some(*block),
            _ => None,
        })
    }

    pub(crate) fn blocks_received(&self) -> Vec<Block> {
        self.all(|what| match what {
            What::BlockReceived { block, .. } => Some(*block),
            _ => None,
        })
    }
}

/// How many times slower than ours a machine may be before a test calls what is late missing.
const SLOWNESS: u32 = 5;

/// Waits for a condition that must come.
pub(crate) fn wait_until(secs: u64, done: impl Fn() -> bool) {
    let until = Instant::now() + SLOWNESS * Duration::from_secs(secs);
    while !done() {
        assert!(Instant::now() < until, "did not come within {secs} s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a session that must end.
pub(crate) fn join_within(session: Session, secs: u64) -> Ended {
    wait_until(secs, || session.is_over());
    session.join().expect("ended without error")
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}
