//! Measuring skep beside its peers, with the scripts of bench/peers: the same code measures all of
//! them in the same run. Prints the medians; `--keep FILE` appends the raw JSON lines. `--meta v2` or
//! `--meta hybrid` makes, moves and checks torrents of that kind, `--dir DIR` has the content there rather than
//! in memory (on a disk, to which what earlier runs left is written first), `--cold` has it read from the disk each
//! time, `--piece KIB` gives the piece length. A peer that hangs is ended after a time that the size sets, and its
//! row says so.

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
    (MEMORY, &["$PY", "h2_transfer.py", "all", "all", "REPS"]),
    ("ledger", &["$PY", "h9_ledger.py", "REPS"]),
    ("hash", &["$SKEP_HASH", "REPS"]),
];

/// How much private memory a downloader takes: much content in large pieces, written to a disk. The content is
/// a hole in its file, so that it takes no space twice. Runs only when it is named.
const MEMORY: &str = "memory";

/// The pairs of that: one seeder, so that the downloaders differ in nothing else.
const PAIRS_MEMORY: &str = "skep:skep skep:libtorrent skep:aria2";

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

/// The pairs that take part, without --all.
fn pairs(bench: &str, meta: &str) -> &'static str {
    match (bench, meta) {
        (MEMORY, "v1") => PAIRS_MEMORY,
        (_, "v1") => PAIRS,
        _ => PAIRS_V2,
    }
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    let reps = value("--reps").unwrap_or_else(|| "3".into());
    let mib = value("--mib");
    let meta = value("--meta").unwrap_or_else(|| "v1".into());
    let piece_kib = value("--piece");
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let (all, cold) = (has("--all"), has("--cold"));
    let names: Vec<&String> = args
        .iter()
        .enumerate()
        .filter(|(at, _)| {
            let alone = ["--all", "--cold"];
            let before = args[..*at].last();
            let before = before.filter(|arg| !alone.contains(&arg.as_str()));
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
        let is_named = names.iter().any(|wanted| wanted.as_str() == *name);
        if !is_named && (!names.is_empty() || *name == MEMORY) {
            continue;
        }
        let (mib_usual, piece_usual) = match *name {
            "swarm" => ("512", "1024"),
            MEMORY => ("16384", "16384"),
            _ => ("1024", "1024"),
        };
        let mib = mib.as_deref().unwrap_or(mib_usual);
        let piece_kib = piece_kib.as_deref().unwrap_or(piece_usual);
        println!("== {name}, {mib} MiB, {reps} runs");
        let script = script.join(" ").replace("REPS", &reps);
        let line = format!("cd bench/peers && . ./env.sh && exec ./quiet.sh {script}");
        let mut command: Command = shell::command("bash", &["-c", &line]);
        if !all {
            command
                .env("CLIENTS", clients(name, &meta))
                .env("PAIRS", pairs(name, &meta));
        }
        let out = File::options()
            .create(true)
            .append(true)
            .open(&keep)
            .with_context(|| format!("open {}", keep.display()))?;
        let usual = (*name == MEMORY).then(|| "target/bench-disk".to_owned());
        if let Some(dir) = value("--dir").or(usual) {
            command.env("BENCH_DIR", shell::root().join(dir));
        }
        if *name == MEMORY {
            command.env("SPARSE", "1");
        }
        if cold {
            command.env("COLD", "1");
        }
        command
            .env("META", &meta)
            .env("PIECE_KIB", piece_kib)
            .env("SIZE_MIB", mib)
            .env("SWARM_MIB", mib)
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
