//! Everything that builds, checks and measures skep: `cargo xtask`.

fn main() {}
