//! Scenarios with known truth.
