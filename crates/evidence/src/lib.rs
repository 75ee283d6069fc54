//! What skep may say and how it is kept: grades, records, journal, capture, ledger and bundle, as
//! values and bytes. No file, socket, clock or key store here: whoever owns those feeds this crate.

pub mod bundle;
pub mod capture;
pub mod clock;
mod codec;
pub mod file;
pub mod grade;
pub mod journal;
pub mod ledger;
pub mod record;

pub use codec::FieldError;
