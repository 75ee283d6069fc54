//! Names compiler, target and profile, which every run's first record commits to.

use std::{env, process::Command};

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version.as_deref().map_or("unknown compiler", str::trim);
    let target = env::var("TARGET").unwrap_or_else(|_| "unknown target".into());
    let profile = env::var("PROFILE").unwrap_or_else(|_| "unknown profile".into());
    println!("cargo::rustc-env=SKEP_BUILD={version}, {target}, {profile}");
    println!("cargo::rerun-if-changed=build.rs");
}
