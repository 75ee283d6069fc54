//! Behaviour of the evidence formats, as one test program.
// Tests run tshark, read golden files and write temporary ones; the crate itself does not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod capture;
mod golden;
mod grade;
mod ledger;
mod note;
mod records;
mod samples;
mod stranger;
