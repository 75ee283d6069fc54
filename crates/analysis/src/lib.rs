//! From records to findings to reports: pure functions.
//!
//! What it is: [`group`] sorts a ledger's records by endpoint, the rules in [`rule`] make
//! [`Derived`](skep_wire::Derived) values of them, [`finding`] holds the values, and [`report`] prints
//! them as CSV, JSON and HTML. The same records give the same bytes. What it is not: it knows neither
//! machines nor network nor the retained bytes, so it proves nothing. Whoever has the ledger can run
//! it again; whoever wants proof runs the verifier, which also makes the reports again and compares.

pub mod finding;
pub mod group;
pub mod report;
pub mod rule;
pub mod sheet;
pub mod text;
pub mod utc;

pub use finding::Findings;
