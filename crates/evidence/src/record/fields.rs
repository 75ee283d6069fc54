//! The table of record fields, from which `docs/record-fields.md` is made.
