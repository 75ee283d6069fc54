//! From an exhibit's rows to the statements that they make.

use std::net::SocketAddr;

use skep_analysis::{Findings, finding::Endpoint};
use skep_evidence::{
    clock::UtcInterval,
    grade::Grade,
    record::{NamedBy, Record},
};

use super::{Statement, When};

/// The statements of the exhibit: of each endpoint its grade, and every grade below it that the
/// ladder includes. The highest carries the time of the record that it rests on.
pub fn exhibit(findings: &Findings, records: &[(u64, Record)]) -> Vec<Statement<SocketAddr>> {
    let rows = findings.swarms.iter().flat_map(|swarm| &swarm.endpoints);
    rows.chain(&findings.strays)
        .flat_map(|row| statements(row, records))
        .collect()
}

/// `Listed` stands beside the ladder: it is stated only where a tracker or a peer named the
/// endpoint, not where it came to us.
fn statements(row: &Endpoint, records: &[(u64, Record)]) -> Vec<Statement<SocketAddr>> {
    let top = row.grade.value;
    let listed = row.named.value.iter().any(|naming| match naming.by {
        NamedBy::Tracker { .. } | NamedBy::Pex { .. } => true,
        NamedBy::Incoming | NamedBy::ListenPort { .. } | NamedBy::Operator => false,
    });
    let when = row.grade.inputs.first().and_then(|index| {
        let at = records
            .binary_search_by_key(index, |(index, _)| *index)
            .ok()?;
        Some(When::from(records[at].1.utc))
    });
    let stated = Grade::ALL.into_iter().filter(|grade| match grade {
        Grade::Listed => listed,
        _ => *grade <= top,
    });
    stated
        .map(|grade| Statement {
            subject: row.endpoint,
            grade,
            when: when.filter(|_| grade == top && grade != Grade::Listed),
        })
        .collect()
}

impl From<UtcInterval> for When {
    fn from(utc: UtcInterval) -> Self {
        Self {
            earliest_us: utc.earliest_us,
            latest_us: utc.latest_us,
        }
    }
}
