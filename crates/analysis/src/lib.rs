//! Findings and reports from records.
