//! Rule `naming/sources`: who named an endpoint.

use skep_evidence::record::{Body, NamedBy};
use skep_wire::Derived;

use crate::{
    group::Indexed,
    rule::{Rule, When},
};

/// The rule.
pub const RULE: Rule = Rule {
    name: "naming/sources",
    says: "Each source that named the endpoint, when first and when last.",
    does_not_show: "A tracker or a peer can name any address, also one that never ran BitTorrent.",
};

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Who.
    pub by: NamedBy,
    /// When first.
    pub first: When,
    /// When last.
    pub last: When,
    /// How often it is recorded.
    pub count: u64,
}

/// The sources in the order in which they first named it.
pub fn sources(records: &[Indexed<'_>]) -> Derived<Vec<Naming>> {
    let mut found: Vec<Naming> = Vec::new();
    let mut inputs = Vec::new();
    for &entry in records {
        let Body::Listed { by, .. } = &entry.record.body else {
            continue;
        };
        let when = When::from(entry);
        inputs.push(entry.index);
        match found
            .iter_mut()
            .find(|known| same_source(known, by, when.run))
        {
            Some(known) => {
                known.last = when;
                known.count += 1;
            }
            None => found.push(Naming {
                by: by.clone(),
                first: when,
                last: when,
                count: 1,
            }),
        }
    }
    RULE.derive(found, inputs)
}

/// Connections are numbered per run; trackers keep their name.
fn same_source(known: &Naming, by: &NamedBy, run: u32) -> bool {
    known.by == *by
        && (!matches!(by, NamedBy::Pex { .. } | NamedBy::ListenPort { .. })
            || known.first.run == run)
}
