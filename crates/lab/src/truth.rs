//! The truth log: what every actor did, written by the actor itself.
//!
//! One line of JSON an act, in the order in which the acts were logged. Times are microseconds of
//! UTC by the same clock that the observer samples, taken by the actor just before it sends and
//! just after it has received. Nothing but the scoring reads the log, and that only when the
//! observation is over.
//!
//! ```text
//! {"utc_us":1790000000000000,"actor":"seeder","act":"accepts","local":"127.9.1.2:40001","remote":"127.9.1.9:51313"}
//! {"utc_us":1790000000000200,"actor":"seeder","act":"sends","local":"…","remote":"…","what":{"handshake":{…}},"bytes":68}
//! ```

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::content::Work;

/// One act of one actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When: microseconds since 1970-01-01T00:00:00Z.
    pub utc_us: i64,
    /// Who: the actor's name, unique in its scenario.
    pub actor: String,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// What an actor did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// The stage is set: what the swarm shares. The first line of a log.
    Stage {
        /// Info-hash in hexadecimal.
        info_hash: String,
        /// Size of the content in bytes.
        size_bytes: u64,
        /// Length of every piece but the last.
        piece_len: u32,
        /// How many pieces there are.
        piece_count: u32,
    },
    /// The actor is up.
    Enters {
        /// What it is.
        role: String,
        /// Whether it is a peer that keeps to the protocol; a tracker is no peer.
        honest: bool,
        /// Where it listens, or would be found.
        endpoint: SocketAddr,
    },
    /// The actor is gone.
    Leaves,
    /// A tracker's list has this endpoint from now on: it announced itself, or the list is bogus.
    Lists {
        /// The endpoint.
        endpoint: SocketAddr,
        /// Whether it was put there without having announced itself.
        bogus: bool,
    },
    /// A tracker named these endpoints to someone who asked.
    Names {
        /// Who asked.
        to: SocketAddr,
        /// What it was told.
        endpoints: Vec<SocketAddr>,
    },
    /// A connection that the actor opened stands.
    Connects {
        /// The actor's end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// A connection came in.
    Accepts {
        /// The actor's end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// The actor sends.
    Sends {
        /// The actor's end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// What it sends.
        what: What,
        /// How many bytes, framing included.
        bytes: u64,
    },
    /// Something came.
    Receives {
        /// The actor's end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// What came.
        what: What,
        /// How many bytes, framing included.
        bytes: u64,
    },
    /// The actor has this piece from now on, hash checked.
    Has {
        /// The piece.
        piece: u32,
    },
    /// A connection is over.
    Closes {
        /// The actor's end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
}

/// What was sent or received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A handshake that the sender made itself.
    Handshake {
        /// The info-hash in it, in hexadecimal.
        info_hash: String,
    },
    /// Bytes of the other end, sent back.
    Echo,
    /// A whole set of pieces: `bitfield`, `have_all` or `have_none`.
    Set {
        /// How many pieces it claims.
        pieces: u32,
    },
    /// `have`.
    Have {
        /// The piece.
        piece: u32,
    },
    /// `request`.
    Request {
        /// The piece.
        piece: u32,
        /// Offset in the piece.
        begin: u32,
        /// Length in bytes.
        len: u32,
    },
    /// `piece`: the bytes of a block.
    Block {
        /// The piece.
        piece: u32,
        /// Offset in the piece.
        begin: u32,
        /// Length in bytes.
        len: u32,
        /// Whether the bytes are those of the content; left out by a receiver, who cannot tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        genuine: Option<bool>,
    },
    /// Another message, by its id.
    Message {
        /// The id.
        id: u8,
    },
    /// HTTP.
    Http,
    /// Bytes that are no message.
    Raw,
}

impl Act {
    /// The first line of a log: what `work` is.
    pub fn stage(work: &Work) -> Self {
        Self::Stage {
            info_hash: work.info_hash.to_string(),
            size_bytes: work.bytes.len() as u64,
            piece_len: work.piece_len,
            piece_count: work.piece_count(),
        }
    }
}

/// Where actors write. Clones share one file.
#[derive(Debug, Clone)]
pub struct TruthLog {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    out: BufWriter<File>,
    path: PathBuf,
    lines: u64,
    /// The first error; later acts are dropped and [`TruthLog::finish`] reports it.
    broken: Option<std::io::Error>,
}

/// The truth log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The system refused.
    #[error("truth log {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A line is not one of ours.
    #[error("line {line} of truth log {path}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Now, in microseconds since 1970, by the system's clock.
pub fn utc_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl TruthLog {
    /// Starts a log, replacing what was at `path`.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub fn create(path: &Path) -> Result<Self, TruthError> {
        let file = File::create(path).map_err(|source| TruthError::Io {
            path: path.to_owned(),
            source,
        })?;
        let shared = Shared {
            out: BufWriter::with_capacity(1 << 16, file),
            path: path.to_owned(),
            lines: 0,
            broken: None,
        };
        Ok(Self {
            shared: Arc::new(Mutex::new(shared)),
        })
    }

    /// Writes that `actor` does `act` now.
    pub fn write(&self, actor: &str, act: Act) {
        self.write_at(actor, act, utc_us());
    }

    /// Writes that `actor` did `act` at `utc_us`.
    pub fn write_at(&self, actor: &str, act: Act, utc_us: i64) {
        let mut line = serde_json::to_vec(&Line {
            utc_us,
            actor: actor.to_owned(),
            act,
        })
        .expect("an act has only string keys");
        line.push(b'\n');
        let mut shared = self
            .shared
            .lock()
            .expect("nothing panics while it holds the lock");
        if shared.broken.is_some() {
            return;
        }
        match shared.out.write_all(&line) {
            Ok(()) => shared.lines += 1,
            Err(error) => shared.broken = Some(error),
        }
    }

    /// Brings everything written to the file and returns how many lines that are. Actors may go on.
    ///
    /// # Errors
    ///
    /// The first thing that the system refused since the log was made.
    pub fn finish(&self) -> Result<u64, TruthError> {
        let mut shared = self
            .shared
            .lock()
            .expect("nothing panics while it holds the lock");
        let broken = match shared.broken.take() {
            Some(error) => Err(error),
            None => shared.out.flush(),
        };
        match broken {
            Ok(()) => Ok(shared.lines),
            Err(source) => Err(TruthError::Io {
                path: shared.path.clone(),
                source,
            }),
        }
    }
}

/// Reads a log.
///
/// # Errors
///
/// The file cannot be read, or a line is not one of ours.
pub fn read(path: &Path) -> Result<Vec<Line>, TruthError> {
    let io = |source| TruthError::Io {
        path: path.to_owned(),
        source,
    };
    let file = BufReader::new(File::open(path).map_err(io)?);
    let mut lines = Vec::new();
    for (number, text) in file.lines().enumerate() {
        let line = serde_json::from_str(&text.map_err(io)?).map_err(|source| TruthError::Line {
            path: path.to_owned(),
            line: number + 1,
            source,
        })?;
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_actors_write_is_what_the_scoring_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth.jsonl");
        let log = TruthLog::create(&path).unwrap();
        let (local, remote) = (
            "127.1.2.3:4".parse().unwrap(),
            "127.1.2.4:5".parse().unwrap(),
        );
        let acts = [
            Act::Enters {
                role: "seeder".into(),
                honest: true,
                endpoint: local,
            },
            Act::Accepts { local, remote },
            Act::Sends {
                local,
                remote,
                what: What::Block {
                    piece: 3,
                    begin: 16_384,
                    len: 9,
                    genuine: Some(false),
                },
                bytes: 22,
            },
            Act::Sends {
                local,
                remote,
                what: What::Echo,
                bytes: 68,
            },
            Act::Leaves,
        ];
        for (time, act) in acts.iter().enumerate() {
            log.write_at("seeder", act.clone(), time as i64);
        }
        assert_eq!(log.finish().unwrap(), 5);

        let lines = read(&path).unwrap();
        assert_eq!(
            lines
                .iter()
                .map(|line| line.act.clone())
                .collect::<Vec<_>>(),
            acts
        );
        assert_eq!(lines[4].utc_us, 4);

        std::fs::write(&path, "{\"utc_us\":1,\"actor\":\"x\",\"act\":\"flies\"}\n").unwrap();
        assert!(matches!(read(&path), Err(TruthError::Line { line: 1, .. })));
    }
}
