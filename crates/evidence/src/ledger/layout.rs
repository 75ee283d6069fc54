//! Where things are in a ledger's folder.
