//! Rule `client/claims`: what an endpoint says it runs, and how it names itself.

use std::net::IpAddr;

use skep_evidence::record::Body;
use skep_wire::{Derived, PeerId, Said};

use crate::{group::Indexed, rule::Rule};

/// The rule.
pub const RULE: Rule = Rule {
    name: "client/claims",
    says: "Distinct peer ids with the client that each names (BEP 20), client names and listening \
           ports of extension handshakes (BEP 10), and protocol violations in order.",
    does_not_show: "Anyone can send any peer id and any client name. Equal ids do not show one machine, \
                    different ones not two.",
};

/// How many distinct values of each kind are kept; a hostile endpoint can send a new one each time.
pub const CLAIMS_MAX: usize = 16;

/// What an endpoint says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Peer ids and the client that each names.
    pub peer_ids: Vec<Said<(PeerId, String)>>,
    /// Client names in extension handshakes.
    pub names: Vec<Said<String>>,
    /// Listening ports that it names.
    pub listen_ports: Vec<Said<u16>>,
    /// Addresses by which it says it sees us.
    pub sees_us_as: Vec<Said<IpAddr>>,
    /// Whether it last said that it only uploads.
    pub upload_only: Option<Said<bool>>,
    /// More distinct values came than are kept.
    pub more: bool,
}

/// Everything that it says of itself.
pub fn client(records: &[Indexed<'_>]) -> Derived<Client> {
    let mut found = Client::default();
    let mut inputs = Vec::new();
    for entry in records {
        match &entry.record.body {
            Body::Joined {
                peer_id, client, ..
            } => {
                let claim = Said((*peer_id, client.clone()));
                found.more |= !keep(&mut found.peer_ids, claim);
            }
            Body::Extended {
                client,
                listen_port,
                upload_only,
                your_ip,
                ..
            } => {
                if let Some(name) = client {
                    found.more |= !keep(&mut found.names, Said(name.clone()));
                }
                if let Some(port) = listen_port {
                    found.more |= !keep(&mut found.listen_ports, Said(*port));
                }
                if let Some(ip) = your_ip {
                    found.more |= !keep(&mut found.sees_us_as, Said(*ip));
                }
                found.upload_only = upload_only.map(Said).or(found.upload_only);
            }
            _ => continue,
        }
        inputs.push(entry.index);
    }
    RULE.derive(found, inputs)
}

/// Adds a value unless it is known; false if there is no room for it.
fn keep<T: PartialEq>(known: &mut Vec<T>, value: T) -> bool {
    if known.contains(&value) {
        return true;
    }
    let room = known.len() < CLAIMS_MAX;
    if room {
        known.push(value);
    }
    room
}
