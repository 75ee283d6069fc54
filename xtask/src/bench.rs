//! Measuring skep beside its peers, with the scripts of bench/peers: the same code measures all of
//! them in the same run. Prints the medians; `--keep FILE` appends the raw JSON lines. `--meta v2` or
//! `--meta hybrid` moves and checks torrents of that kind, `--dir DIR` has the content there rather than in
//! memory, `--piece KIB` gives the piece length.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Name, and the script with its arguments (`REPS` is replaced).
const BENCHES: &[(&str, &[&str])] = &[
    ("create", &["$PY", "h1_create.py", "REPS"]),
    ("recheck", &["$PY", "h3_recheck.py", "REPS"]),
    ("transfer", &["$PY", "h2_transfer.py", "all", "all", "REPS"]),
    ("swarm", &["$PY", "h4_swarm.py", "all", "8", "REPS"]),
    ("ledger", &["$PY", "h9_ledger.py", "REPS"]),
    ("hash", &["$SKEP_HASH", "REPS"]),
];

/// Seeder and leecher, without --all: of the peers that interoperation tests install anyway.
const PAIRS: &str = "libtorrent:libtorrent skep:skep libtorrent:skep skep:libtorrent \
                     libtorrent:aria2 skep:aria2";

/// The same for torrents that only libtorrent and skep know.
const PAIRS_V2: &str = "libtorrent:libtorrent skep:skep libtorrent:skep skep:libtorrent";

/// Who takes part, without --all.
fn clients(bench: &str, meta: &str) -> &'static str {
    match (bench, meta) {
        ("swarm", "v1") => "skep libtorrent aria2",
        (_, "v1") => "skep skep-1core libtorrent libtorrent-hash2 transmission aria2",
        ("swarm", _) => "skep libtorrent",
        _ => "skep skep-1core libtorrent libtorrent-hash2",
    }
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    let reps = value("--reps").unwrap_or_else(|| "3".into());
    let mib = value("--mib").unwrap_or_else(|| "1024".into());
    let meta = value("--meta").unwrap_or_else(|| "v1".into());
    let piece_kib = value("--piece").unwrap_or_else(|| "1024".into());
    let all = args.iter().any(|arg| arg == "--all");
    let names: Vec<&String> = args
        .iter()
        .enumerate()
        .filter(|(at, _)| {
            let before = args[..*at].last().filter(|arg| *arg != "--all");
            !args[*at].starts_with("--") && before.is_none_or(|arg| !arg.starts_with("--"))
        })
        .map(|(_, arg)| arg)
        .collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| BENCHES.iter().all(|(have, _)| *have != name.as_str()))
    {
        bail!("no bench is called {unknown}");
    }
    let release = ["build", "--release", "--package"];
    let examples = ["--example", "ledger-appends", "--example", "hash-lanes"];
    shell::run(shell::cargo(
        &[&release[..], &["skep-net"], &examples].concat(),
    ))?;
    // Hashing is compared with itself.
    if names.is_empty() || names.iter().any(|name| *name != "hash") {
        shell::run(shell::cargo(&[&release[..], &["skep"]].concat()))?;
        let install = ["bench/peers/install.sh", "bench"];
        shell::run(shell::command("bash", &install[..if all { 2 } else { 1 }]))?;
    }
    let keep = value("--keep").unwrap_or_else(|| "target/bench.jsonl".into());
    let keep = shell::root().join(keep);
    let start = fs::metadata(&keep).map_or(0, |meta| meta.len());
    for (name, script) in BENCHES {
        if !names.is_empty() && !names.iter().any(|wanted| wanted.as_str() == *name) {
            continue;
        }
        println!("== {name}, {mib} MiB, {reps} runs");
        let script = script.join(" ").replace("REPS", &reps);
        let line = format!("cd bench/peers && . ./env.sh && exec ./quiet.sh {script}");
        let mut command: Command = shell::command("bash", &["-c", &line]);
        if !all {
            command
                .env("CLIENTS", clients(name, &meta))
                .env("PAIRS", if meta == "v1" { PAIRS } else { PAIRS_V2 });
        }
        let out = File::options()
            .create(true)
            .append(true)
            .open(&keep)
            .with_context(|| format!("open {}", keep.display()))?;
        if let Some(dir) = value("--dir") {
            command.env("BENCH_DIR", shell::root().join(dir));
        }
        command
            .env("META", &meta)
            .env("PIECE_KIB", &piece_kib)
            .env("SIZE_MIB", &mib)
            .env("NET", "10.77")
            .env("SKEP", shell::root().join("target/release/skep"))
            .env(
                "SKEP_LEDGER",
                shell::root().join("target/release/examples/ledger-appends"),
            )
            .env(
                "SKEP_HASH",
                shell::root().join("target/release/examples/hash-lanes"),
            )
            .stdout(out)
            .stderr(Stdio::inherit());
        shell::run(command).with_context(|| format!("bench {name}"))?;
    }
    summarize(&keep, start)
}

/// Prints the medians of the lines of `keep` from `start` on.
fn summarize(keep: &Path, start: u64) -> Result<()> {
    let lines = fs::read(keep).with_context(|| format!("read {}", keep.display()))?;
    let latest = shell::root().join("target/bench-latest.jsonl");
    fs::write(&latest, lines.get(start as usize..).unwrap_or_default())?;
    let latest = latest.to_str().context("path is not UTF-8")?.to_owned();
    shell::run(shell::command(
        "python3",
        &["bench/peers/summarize.py", &latest],
    ))
}
