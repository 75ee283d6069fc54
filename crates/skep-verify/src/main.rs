//! `skep-verify`: checks a bundle, offline.

fn main() {}
