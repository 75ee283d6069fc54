//! What the operator decided before the run, and its one encoding.
//!
//! The encoding is a canonical bencoded dictionary, kept as a blob under its SHA-256, which the first
//! record of the run names:
//!
//! ```text
//! announce secs   integer
//! bind            address bytes (4 or 16)
//! connect ms      integer
//! conns max       integer
//! endpoints       list of [torrent's place, address bytes (4 or 16), port]
//! format          "skep observe configuration"
//! listen port     integer
//! pieces a visit  integer
//! revisit secs    integer
//! rule            the text of RULE
//! run             integer
//! seed            32 bytes
//! version         1
//! visit secs      integer
//! whole           0 or 1
//! ```

use std::net::{IpAddr, SocketAddr};

use skep_wire::bencode::{self, Dict, Item, Limits, Node};

/// The version of the configuration's format, and of [`RULE`].
pub const CONFIG_VERSION: i64 = 1;

/// What the first field of every configuration says.
pub const CONFIG_FORMAT: &str = "skep observe configuration";

/// Greatest number of endpoints that an operator may name.
pub const OPERATOR_ENDPOINTS_MAX: usize = 10_000;

/// Greatest number of seconds in a plan: a year. No run is longer, and sums of a few of them are far from
/// overflow.
pub const PLAN_SECS_MAX: u32 = 365 * 24 * 60 * 60;

/// The longest that a connect may be given, in milliseconds: ten minutes, several times what any system
/// waits by itself.
pub const CONNECT_MS_MAX: u32 = 600_000;

/// Greatest number of connections at once that we open: what is made and kept for each is the machine's
/// greatest share of memory.
pub const CONNS_PLANNED_MAX: u32 = 10_000;

/// The rule by which endpoints and pieces are chosen, committed to with every configuration. The code
/// that keeps it is [`crate::Observer`].
pub const RULE: &str = "\
Every tracker of every tier of every target is asked, each independently of the others, at once and then \
every 'announce secs', or later if it asks for later. \
Every endpoint that a tracker lists, that a peer names by peer exchange, that the operator names, or that \
is named as listening port on an incoming connection is contacted, in the order in which it was first \
named, except those with port 0 and those with an unspecified, multicast or broadcast address; while \
'conns max' connections that we opened stand, the rest wait in that order. \
A visit lasts 'visit secs', and longer while blocks of a piece that was begun keep coming (in whole mode, \
of any piece); the next one \
begins 'revisit secs' after its end, twice as long after each visit in a row without a handshake, up to \
one hour. \
An incoming connection is kept while it lasts, and counts as a visit of its own, and as another after \
each 'visit secs' and 'revisit secs'; but it is left once its pieces have come if the listening port that it \
names was visited, had a handshake, and has delivered no verified piece: many clients allow an address one \
connection. \
On a visit 'pieces a visit' pieces are asked for (in whole mode every \
piece), begun one after the other, a few at once, each whole and on this one connection, as soon as the \
endpoint unchokes us or allows a piece. A piece is drawn among those that it claims and now offers and that it has not \
delivered verified in this run (among all that it offers if there is no other), by SplitMix64 whose state \
comes from SHA-256 of \"skep piece\", the seed, the info-hash, the endpoint and the number of the visit. \
A torrent of two versions is two swarms, each watched under its info-hash for itself; but an endpoint that is \
known in both is visited in one at a time, in the other as soon as that visit ends. \
Our peer id comes from SHA-256 of \"skep peer id\", the seed, the info-hash and the endpoint. \
The clock is sampled every 10 seconds, and what came of a connect is written down when its 'connect ms' are \
over: both before anything that comes later. All else is done at the first entry of the journal at which it \
is due. Where that entry comes a second or more after something was due, the observer was stalled, which is \
recorded: for a second from then on it takes up what came, and no time of waiting ends; rounds on an incoming \
connection that the stall swallowed are not made up for.";

/// What the operator decided before the run. Encoded canonically (bencode) into a blob that
/// `RunStarted` commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which run of the ledger, from 1.
    pub run: u32,
    /// The source address of all that we send, and where we listen; unspecified leaves it to the
    /// system.
    pub bind: IpAddr,
    /// Our listening port, announced to trackers and in extension handshakes.
    pub listen_port: u16,
    /// From this the peer ids and every random choice are derived; drawn before the run.
    pub seed: [u8; 32],
    /// Endpoints that the operator names (the torrent's place in the list, endpoint), each for every swarm of
    /// the torrent.
    pub endpoints: Vec<(u32, SocketAddr)>,
    /// Pieces asked of a willing peer in one visit.
    pub pieces_per_visit: u32,
    /// Whether to fetch the whole content from a willing peer over its visits (grade `Whole`).
    pub whole: bool,
    /// Seconds between the end of a visit and the next one to the same endpoint.
    pub revisit_secs: u32,
    /// Seconds that a visit lasts at most: how long a connection is kept to listen to haves.
    pub visit_secs: u32,
    /// Milliseconds until an unanswered connect counts as timed out.
    pub connect_ms: u32,
    /// Greatest number of connections at once that we open; as many may come in.
    pub conns_max: u32,
    /// Seconds between announces to one tracker, unless it asks for longer.
    pub announce_secs: u32,
}

/// Why bytes are not a configuration of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not canonical bencode.
    #[error("configuration: {0}")]
    Bencode(#[from] bencode::DecodeError),
    /// Another format.
    #[error("not a configuration of an observer")]
    Format,
    /// Another format version.
    #[error("configuration has version {got}, this observer reads {expected}")]
    Version {
        /// What it says.
        got: i64,
        /// What we read.
        expected: i64,
    },
    /// A field is missing or not of its type and range.
    #[error("configuration field \"{field}\" is missing, of another type or out of range")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// The rule is not the one that this version follows.
    #[error("configuration names another rule for choosing endpoints")]
    Rule,
    /// There is more in it than this version writes.
    #[error("configuration holds more than its version defines")]
    Surplus,
    /// A number of the plan is beyond what any run is made for.
    #[error("configuration field \"{field}\" is {got}, it may be {least} to {most}")]
    Plan {
        /// The field.
        field: &'static str,
        /// What it says.
        got: u32,
        /// The least that it may be.
        least: u32,
        /// The most that it may be.
        most: u32,
    },
    /// More endpoints than [`OPERATOR_ENDPOINTS_MAX`].
    #[error("configuration names {got} endpoints, the limit is {limit}")]
    Endpoints {
        /// How many.
        got: usize,
        /// The limit.
        limit: usize,
    },
}

impl Config {
    /// The canonical encoding, the blob that `RunStarted` commits to.
    pub fn encode(&self) -> Vec<u8> {
        let int = |n: u32| Item::Int(i64::from(n));
        let endpoints = self.endpoints.iter().map(|&(target, addr)| {
            let ip = Item::Bytes(ip_bytes(addr.ip()));
            Item::List(vec![int(target), ip, int(addr.port().into())])
        });
        Dict::new()
            .with("announce secs", int(self.announce_secs))
            .with("bind", Item::Bytes(ip_bytes(self.bind)))
            .with("connect ms", int(self.connect_ms))
            .with("conns max", int(self.conns_max))
            .with("endpoints", Item::List(endpoints.collect()))
            .with("format", Item::Bytes(CONFIG_FORMAT.into()))
            .with("listen port", int(self.listen_port.into()))
            .with("pieces a visit", int(self.pieces_per_visit))
            .with("revisit secs", int(self.revisit_secs))
            .with("rule", Item::Bytes(RULE.into()))
            .with("run", int(self.run))
            .with("seed", Item::Bytes(self.seed.to_vec()))
            .with("version", Item::Int(CONFIG_VERSION))
            .with("visit secs", int(self.visit_secs))
            .with("whole", int(self.whole.into()))
            .encode()
    }

    /// Whether a run can be made by it: a driver asks before it begins, and nothing else is read back.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Plan`] or [`ConfigError::Endpoints`].
    pub fn check(&self) -> Result<(), ConfigError> {
        // A plan by which nobody is contacted, or nobody gets the time to answer, would explain every
        // attempt that was left out or failed.
        for (field, got, least, most) in [
            ("conns max", self.conns_max, 1, CONNS_PLANNED_MAX),
            ("connect ms", self.connect_ms, 1, CONNECT_MS_MAX),
            ("announce secs", self.announce_secs, 0, PLAN_SECS_MAX),
            ("revisit secs", self.revisit_secs, 0, PLAN_SECS_MAX),
            ("visit secs", self.visit_secs, 0, PLAN_SECS_MAX),
        ] {
            if !(least..=most).contains(&got) {
                return Err(ConfigError::Plan {
                    field,
                    got,
                    least,
                    most,
                });
            }
        }
        let (got, limit) = (self.endpoints.len(), OPERATOR_ENDPOINTS_MAX);
        if got > limit {
            return Err(ConfigError::Endpoints { got, limit });
        }
        Ok(())
    }

    /// Reads [`Config::encode`]'s bytes and no others.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which field is not as this version writes it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConfigError> {
        let node = bencode::decode(bytes, Limits::CANONICAL)?;
        if node.get_bytes("format") != Some(CONFIG_FORMAT.as_bytes()) {
            return Err(ConfigError::Format);
        }
        let version = node
            .get_int("version")
            .ok_or(ConfigError::Field { field: "version" })?;
        if version != CONFIG_VERSION {
            return Err(ConfigError::Version {
                got: version,
                expected: CONFIG_VERSION,
            });
        }
        if node.get_bytes("rule") != Some(RULE.as_bytes()) {
            return Err(ConfigError::Rule);
        }
        let config = Self {
            run: int(&node, "run")?,
            bind: node
                .get_bytes("bind")
                .and_then(ip_from)
                .ok_or(ConfigError::Field { field: "bind" })?,
            listen_port: int(&node, "listen port")?,
            seed: node
                .get_bytes("seed")
                .and_then(|seed| seed.try_into().ok())
                .ok_or(ConfigError::Field { field: "seed" })?,
            endpoints: endpoints(&node)?,
            pieces_per_visit: int(&node, "pieces a visit")?,
            whole: int::<u8>(&node, "whole")? == 1,
            revisit_secs: int(&node, "revisit secs")?,
            visit_secs: int(&node, "visit secs")?,
            connect_ms: int(&node, "connect ms")?,
            conns_max: int(&node, "conns max")?,
            announce_secs: int(&node, "announce secs")?,
        };
        config.check()?;
        if config.encode() != bytes {
            return Err(ConfigError::Surplus);
        }
        Ok(config)
    }
}

fn int<T: TryFrom<i64>>(node: &Node<'_>, field: &'static str) -> Result<T, ConfigError> {
    node.get_int(field)
        .and_then(|int| T::try_from(int).ok())
        .ok_or(ConfigError::Field { field })
}

fn endpoints(node: &Node<'_>) -> Result<Vec<(u32, SocketAddr)>, ConfigError> {
    let field = ConfigError::Field { field: "endpoints" };
    let list = node.get_list("endpoints").ok_or(field.clone())?;
    if list.len() > OPERATOR_ENDPOINTS_MAX {
        return Err(ConfigError::Endpoints {
            got: list.len(),
            limit: OPERATOR_ENDPOINTS_MAX,
        });
    }
    let one = |item: &Node<'_>| {
        let [target, ip, port] = item.as_list()? else {
            return None;
        };
        let ip = ip_from(ip.as_bytes()?)?;
        let port = u16::try_from(port.as_int()?).ok()?;
        Some((
            u32::try_from(target.as_int()?).ok()?,
            SocketAddr::new(ip, port),
        ))
    };
    list.iter().map(one).collect::<Option<_>>().ok_or(field)
}

fn ip_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn ip_from(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            run: 3,
            bind: IpAddr::from([127, 0, 0, 2]),
            listen_port: 51_413,
            seed: [7; 32],
            endpoints: vec![
                (0, SocketAddr::from(([127, 0, 0, 9], 6881))),
                (1, SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 6882))),
            ],
            pieces_per_visit: 2,
            whole: true,
            revisit_secs: 60,
            visit_secs: 30,
            connect_ms: 5_000,
            conns_max: 200,
            announce_secs: 300,
        }
    }

    #[test]
    fn a_configuration_comes_back_as_it_went() {
        assert_eq!(Config::decode(&config().encode()), Ok(config()));
    }

    /// What is not written by `encode` is refused, so that a configuration has one encoding and one
    /// hash: another version, rule or value of `whole`, and a field more.
    #[test]
    fn any_other_encoding_is_refused() {
        let bytes = config().encode();
        let with = |from: &str, to: &str| {
            let at = bytes
                .windows(from.len())
                .position(|part| part == from.as_bytes())
                .expect("the field is there");
            let mut out = bytes[..at].to_vec();
            out.extend(to.as_bytes());
            out.extend(&bytes[at + from.len()..]);
            Config::decode(&out)
        };
        assert_eq!(
            with("7:versioni1e", "7:versioni2e"),
            Err(ConfigError::Version {
                got: 2,
                expected: 1
            })
        );
        assert_eq!(
            with("Every tracker", "Some trackers"),
            Err(ConfigError::Rule)
        );
        assert_eq!(with("5:wholei1e", "5:wholei2e"), Err(ConfigError::Surplus));
        assert_eq!(
            with("5:wholei1e", "5:wholei1e1:xi1e"),
            Err(ConfigError::Surplus)
        );
        assert_eq!(
            with("11:listen porti51413e", "11:listen porti70000e"),
            Err(ConfigError::Field {
                field: "listen port"
            })
        );
        assert_eq!(
            with("9:conns maxi200e", "9:conns maxi0e"),
            Err(ConfigError::Plan {
                field: "conns max",
                got: 0,
                least: 1,
                most: CONNS_PLANNED_MAX
            })
        );
        assert!(matches!(Config::decode(b"le"), Err(ConfigError::Format)));
        assert!(matches!(
            Config::decode(&bytes[1..]),
            Err(ConfigError::Bencode(_))
        ));
    }

    /// Each number of a plan has a least and a greatest value, which are taken, and the next is not.
    #[test]
    fn a_plan_beyond_what_a_run_is_made_for_is_refused() {
        type Set = fn(&mut Config, u32);
        let numbers: [(Set, u32, u32); 5] = [
            (|c, n| c.conns_max = n, 1, CONNS_PLANNED_MAX),
            (|c, n| c.connect_ms = n, 1, CONNECT_MS_MAX),
            (|c, n| c.announce_secs = n, 0, PLAN_SECS_MAX),
            (|c, n| c.revisit_secs = n, 0, PLAN_SECS_MAX),
            (|c, n| c.visit_secs = n, 0, PLAN_SECS_MAX),
        ];
        let read = |set: Set, to: u32| {
            let mut config = config();
            set(&mut config, to);
            Config::decode(&config.encode()).map(|_| ())
        };
        for (set, least, most) in numbers {
            assert_eq!((read(set, least), read(set, most)), (Ok(()), Ok(())));
            let beyond = [most + 1, u32::MAX].into_iter().chain(least.checked_sub(1));
            for to in beyond {
                let refused = read(set, to);
                assert!(
                    matches!(refused, Err(ConfigError::Plan { got, .. }) if got == to),
                    "{refused:?}"
                );
            }
        }
        let mut config = config();
        config.endpoints = vec![config.endpoints[0]; OPERATOR_ENDPOINTS_MAX];
        assert_eq!(config.check(), Ok(()));
        config.endpoints.push(config.endpoints[0]);
        let (got, limit) = (OPERATOR_ENDPOINTS_MAX + 1, OPERATOR_ENDPOINTS_MAX);
        assert_eq!(config.check(), Err(ConfigError::Endpoints { got, limit }));
    }
}
