//! Scenarios with known truth: swarms on loopback addresses in which every peer's every act is
//! written down by the peer itself, so that what an observer states can be counted as true, false
//! or missed.
//!
//! What it is: actors (honest ones are the ordinary engine; hostile ones are raw sockets with code
//! of their own, so that an error of ours is not made on both sides), the [`truth`] log that they
//! write, and the [`score`] that compares an exhibit with it. What it is not: nothing here is read
//! by the observer, and the truth log is opened only after the observation has ended.
//!
//! ```text
//!   actors ──────────── sockets ───────────▶ observer ──▶ ledger ──▶ exhibit
//!      └──▶ truth.jsonl ───────────────────────────────────▶ score ◀────┘
//! ```

pub mod content;
pub mod demo;
pub mod exam;
pub mod honest;
pub mod hostile;
pub mod interval;
pub mod loopback;
pub mod play;
pub mod scenario;
pub mod score;
pub mod tracker;
pub mod truth;
