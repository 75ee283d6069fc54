//! Prints docs/record-fields.md; `cargo xtask docs` keeps it.

fn main() {
    print!("{}", skep_evidence::record::fields::page());
}
