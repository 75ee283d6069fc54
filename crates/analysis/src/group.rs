//! Which record speaks of which endpoint: the first step of every finding.
//!
//! Records name a connection by its number; the record that opens the connection names the
//! endpoint. This pass follows the numbers, so that each rule is a function of one endpoint's
//! records alone. It reads a slice of `(ledger index, record)` in ledger order and copies nothing.
//!
//! An incoming connection is an endpoint of its own (address and source port), apart from a
//! listed endpoint of the same address and port. One that came in and never named a swarm has
//! none: it is a *stray*.

use std::{collections::BTreeMap, net::SocketAddr};

use skep_evidence::{
    journal::ConnId,
    record::{Body, NamedBy, Record, TargetIndex},
};
use skep_wire::InfoHash;

/// A record and its place in the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Indexed<'a> {
    /// The place, from 0.
    pub index: u64,
    /// The record.
    pub record: &'a Record,
}

/// All that is recorded of one endpoint in one swarm.
#[derive(Debug)]
pub struct EndpointRecords<'a> {
    /// Its address and port.
    pub endpoint: SocketAddr,
    /// Whether it connected to us; then the port is its source port.
    pub incoming: bool,
    /// The records, in ledger order.
    pub records: Vec<Indexed<'a>>,
}

/// All that is recorded of one swarm.
#[derive(Debug)]
pub struct SwarmRecords<'a> {
    /// The `Target` record that introduced it.
    pub target: Indexed<'a>,
    /// What was recorded of each tracker, by URL.
    pub trackers: BTreeMap<&'a str, Vec<Indexed<'a>>>,
    /// Its endpoints in the order of their first records.
    pub endpoints: Vec<EndpointRecords<'a>>,
}

/// All that is recorded of one run as such.
#[derive(Debug)]
pub struct RunRecords<'a> {
    /// Its number.
    pub run: u32,
    /// Start, clock samples, marks and end.
    pub records: Vec<Indexed<'a>>,
    /// Index of the last record of any kind in it.
    pub last: Indexed<'a>,
}

/// A ledger's records, grouped.
#[derive(Debug, Default)]
pub struct Groups<'a> {
    /// Runs, ascending.
    pub runs: Vec<RunRecords<'a>>,
    /// Swarms in the order of their first `Target` records.
    pub swarms: Vec<SwarmRecords<'a>>,
    /// Connections that came in and named no swarm that we watch.
    pub strays: Vec<EndpointRecords<'a>>,
    /// Records that no rule here reads: of connections whose opening is not among the records, of
    /// targets that are not, and of unknown kinds. A report says how many there are.
    pub unread: Vec<u64>,
}

/// Where the records of a connection go.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Endpoint {
        swarm: usize,
        endpoint: usize,
    },
    Stray(usize),
    /// A tracker's; its traffic is no endpoint's.
    Tracker,
}

/// Groups `records`, which are in ledger order.
pub fn group<'a>(records: &'a [(u64, Record)]) -> Groups<'a> {
    let mut pass = Pass::default();
    for (index, record) in records {
        pass.take(Indexed {
            index: *index,
            record,
        });
    }
    let mut groups = pass.groups;
    groups.strays.retain(|stray| !stray.records.is_empty());
    for swarm in &mut groups.swarms {
        swarm
            .endpoints
            .sort_by_key(|endpoint| endpoint.records.first().map(|first| first.index));
    }
    groups
}

#[derive(Default)]
struct Pass<'a> {
    groups: Groups<'a>,
    swarm_by_hash: BTreeMap<InfoHash, usize>,
    swarm_by_target: BTreeMap<(u32, TargetIndex), usize>,
    endpoint_by_key: BTreeMap<(usize, SocketAddr, bool), usize>,
    owners: BTreeMap<(u32, ConnId), Owner>,
}

impl<'a> Pass<'a> {
    fn take(&mut self, entry: Indexed<'a>) {
        let run = entry.record.run;
        self.note_run(entry);
        match &entry.record.body {
            Body::RunStarted { .. }
            | Body::Clock { .. }
            | Body::Mark { .. }
            | Body::RunCut { .. }
            | Body::Stalled { .. }
            | Body::RunEnded { .. } => {}
            Body::Target {
                target, info_hash, ..
            } => self.note_target(entry, *target, *info_hash),
            Body::TrackerAsked {
                target, url, conn, ..
            } => {
                if let Some(conn) = conn {
                    self.owners.insert((run, *conn), Owner::Tracker);
                }
                self.note_tracker(entry, *target, url);
            }
            Body::TrackerAnswered { target, url, .. } | Body::TrackerFailed { target, url, .. } => {
                self.note_tracker(entry, *target, url);
            }
            Body::Listed {
                target,
                endpoint,
                by,
                ..
            } => {
                let incoming = *by == NamedBy::Incoming;
                if let Some(owner) = self.endpoint(run, *target, *endpoint, incoming) {
                    self.push(owner, entry);
                } else {
                    self.groups.unread.push(entry.index);
                }
            }
            Body::Attempted {
                target,
                conn,
                endpoint,
                ..
            } => {
                self.open(entry, Some(*target), *conn, *endpoint, false);
            }
            Body::Reached {
                target,
                conn,
                endpoint,
                incoming,
                ..
            } => {
                self.open(entry, *target, *conn, *endpoint, *incoming);
            }
            Body::Joined { target, conn, .. } => self.join(entry, *target, *conn),
            Body::AttemptFailed { conn, .. }
            | Body::Extended { conn, .. }
            | Body::ClaimedSet { conn, .. }
            | Body::ClaimedGain { conn, .. }
            | Body::Offers { conn, .. }
            | Body::PieceAsked { conn, .. }
            | Body::Refused { conn, .. }
            | Body::Delivered { conn, .. }
            | Body::Verified { conn, .. }
            | Body::Refuted { conn, .. }
            | Body::Whole { conn }
            | Body::Violated { conn, .. }
            | Body::Closed { conn, .. } => match self.owners.get(&(run, *conn)) {
                Some(&owner) => self.push(owner, entry),
                None => self.groups.unread.push(entry.index),
            },
            Body::Limited { conn, .. } => {
                if let Some(&owner) = conn.and_then(|conn| self.owners.get(&(run, conn))) {
                    self.push(owner, entry);
                }
            }
            Body::Unknown { .. } => self.groups.unread.push(entry.index),
        }
    }

    fn note_run(&mut self, entry: Indexed<'a>) {
        let run = entry.record.run;
        let place = match self
            .groups
            .runs
            .binary_search_by_key(&run, |known| known.run)
        {
            Ok(place) => place,
            Err(place) => {
                self.groups.runs.insert(
                    place,
                    RunRecords {
                        run,
                        records: vec![],
                        last: entry,
                    },
                );
                place
            }
        };
        let known = &mut self.groups.runs[place];
        known.last = entry;
        if matches!(
            entry.record.body,
            Body::RunStarted { .. }
                | Body::Clock { .. }
                | Body::Mark { .. }
                | Body::RunCut { .. }
                | Body::Limited { .. }
                | Body::Stalled { .. }
                | Body::RunEnded { .. }
        ) {
            known.records.push(entry);
        }
    }

    fn note_target(&mut self, entry: Indexed<'a>, target: TargetIndex, info_hash: InfoHash) {
        let swarms = &mut self.groups.swarms;
        let swarm = *self.swarm_by_hash.entry(info_hash).or_insert_with(|| {
            swarms.push(SwarmRecords {
                target: entry,
                trackers: BTreeMap::new(),
                endpoints: vec![],
            });
            swarms.len() - 1
        });
        self.swarm_by_target
            .insert((entry.record.run, target), swarm);
    }

    fn note_tracker(&mut self, entry: Indexed<'a>, target: TargetIndex, url: &'a str) {
        match self.swarm_by_target.get(&(entry.record.run, target)) {
            Some(&swarm) => {
                self.groups.swarms[swarm]
                    .trackers
                    .entry(url)
                    .or_default()
                    .push(entry);
            }
            None => self.groups.unread.push(entry.index),
        }
    }

    /// The endpoint's place, made if it is new; `None` if the target is unknown.
    fn endpoint(
        &mut self,
        run: u32,
        target: TargetIndex,
        endpoint: SocketAddr,
        incoming: bool,
    ) -> Option<Owner> {
        let swarm = *self.swarm_by_target.get(&(run, target))?;
        let known = &mut self.groups.swarms[swarm].endpoints;
        let place = *self
            .endpoint_by_key
            .entry((swarm, endpoint, incoming))
            .or_insert_with(|| {
                known.push(EndpointRecords {
                    endpoint,
                    incoming,
                    records: vec![],
                });
                known.len() - 1
            });
        Some(Owner::Endpoint {
            swarm,
            endpoint: place,
        })
    }

    fn open(
        &mut self,
        entry: Indexed<'a>,
        target: Option<TargetIndex>,
        conn: ConnId,
        endpoint: SocketAddr,
        incoming: bool,
    ) {
        let run = entry.record.run;
        if matches!(self.owners.get(&(run, conn)), Some(Owner::Tracker)) {
            return;
        }
        let owner = match target {
            Some(target) => self.endpoint(run, target, endpoint, incoming),
            None => {
                self.groups.strays.push(EndpointRecords {
                    endpoint,
                    incoming,
                    records: vec![],
                });
                Some(Owner::Stray(self.groups.strays.len() - 1))
            }
        };
        match owner {
            Some(owner) => {
                self.owners.insert((run, conn), owner);
                self.push(owner, entry);
            }
            None => self.groups.unread.push(entry.index),
        }
    }

    /// A handshake names the swarm: what a stray did so far goes to its endpoint there.
    fn join(&mut self, entry: Indexed<'a>, target: TargetIndex, conn: ConnId) {
        let run = entry.record.run;
        let owner = match self.owners.get(&(run, conn)).copied() {
            Some(Owner::Stray(stray)) => {
                let known = &mut self.groups.strays[stray];
                let (remote, incoming) = (known.endpoint, known.incoming);
                let before = std::mem::take(&mut known.records);
                let owner = self.endpoint(run, target, remote, incoming);
                if let Some(owner) = owner {
                    self.owners.insert((run, conn), owner);
                    before.into_iter().for_each(|entry| self.push(owner, entry));
                } else {
                    self.groups.strays[stray].records = before;
                }
                owner
            }
            other => other,
        };
        match owner {
            Some(owner) => self.push(owner, entry),
            None => self.groups.unread.push(entry.index),
        }
    }

    fn push(&mut self, owner: Owner, entry: Indexed<'a>) {
        match owner {
            Owner::Endpoint { swarm, endpoint } => {
                let records = &mut self.groups.swarms[swarm].endpoints[endpoint].records;
                // A stray that joins late brings earlier records; places stay in ledger order.
                let place = records.partition_point(|known| known.index < entry.index);
                records.insert(place, entry);
            }
            Owner::Stray(stray) => self.groups.strays[stray].records.push(entry),
            Owner::Tracker => {}
        }
    }
}
