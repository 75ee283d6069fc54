//! The rules of docs/style.md that a compiler does not know.
//!
//! Every rule is a function from the tree to complaints; a complaint names the file and says what to
//! do. Nothing here can be switched off for one place: where a rule is wrong, the rule changes.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Who may import whom: the table of ARCHITECTURE.md. A crate that is not here may not exist.
const IMPORTS: &[(&str, &[&str])] = &[
    ("skep-hash", &[]),
    ("skep-wire", &["skep-hash"]),
    ("skep-proto", &["skep-wire", "skep-hash"]),
    ("skep-evidence", &["skep-wire", "skep-hash"]),
    (
        "skep-observe",
        &["skep-wire", "skep-hash", "skep-proto", "skep-evidence"],
    ),
    (
        "skep-analysis",
        &["skep-wire", "skep-hash", "skep-evidence"],
    ),
    (
        "skep-verify",
        &[
            "skep-wire",
            "skep-hash",
            "skep-proto",
            "skep-evidence",
            "skep-observe",
            "skep-analysis",
        ],
    ),
    ("skep-sim", PURE),
    ("skep-laws", PURE),
    ("skep-net", PURE),
    (
        "skep-lab",
        &[
            "skep-hash",
            "skep-wire",
            "skep-proto",
            "skep-evidence",
            "skep-observe",
            "skep-analysis",
            "skep-verify",
            "skep-sim",
            "skep-net",
        ],
    ),
    (
        "skep",
        &[
            "skep-hash",
            "skep-wire",
            "skep-proto",
            "skep-evidence",
            "skep-observe",
            "skep-analysis",
            "skep-verify",
            "skep-net",
            "skep-lab",
        ],
    ),
    (
        "skep-verify-bin",
        &["skep-verify", "skep-evidence", "skep-wire", "skep-hash"],
    ),
    ("xtask", &[]),
];

/// The pure crates.
const PURE: &[&str] = &[
    "skep-hash",
    "skep-wire",
    "skep-proto",
    "skep-evidence",
    "skep-observe",
    "skep-analysis",
    "skep-verify",
    "skep-sim",
];

/// Folders of the pure crates.
const PURE_FOLDERS: &[&str] = &[
    "hash", "wire", "proto", "evidence", "observe", "analysis", "verify", "sim",
];

/// The files that may hold unsafe code, each with its reason.
const UNSAFE: &[&str] = &[
    // One call of the kernel that no kept crate wraps.
    "crates/net/src/observe/clock.rs",
    // Vector loads and stores, and calls into code for a feature that was detected.
    "crates/hash/src/lanes/avx2.rs",
    "crates/hash/src/lanes/avx512.rs",
    "crates/hash/src/lanes/sha_ni.rs",
];

/// Lines without tests above which a file holds more than one concept.
const FILE_LINES_MAX: usize = 800;

pub(crate) fn run() -> Result<()> {
    let mut complaints = Vec::new();
    imports(&mut complaints)?;
    clippy_bans(&mut complaints)?;
    for file in shell::files()? {
        if file.ends_with(".rs") {
            let text = fs::read_to_string(shell::root().join(&file))
                .with_context(|| format!("read {file}"))?;
            source(&file, &text, &mut complaints);
        }
    }
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    if complaints.is_empty() {
        println!("tidy: nothing to say");
        Ok(())
    } else {
        bail!("{} complaints", complaints.len())
    }
}

/// Compares the workspace's own edges with the table, both ways for crates.
fn imports(complaints: &mut Vec<String>) -> Result<()> {
    let metadata = shell::output(shell::cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let table: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let packages = metadata["packages"]
        .as_array()
        .context("metadata has no packages")?;
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let Some(allowed) = table.get(name) else {
            complaints.push(format!(
                "{name} is not in the import table of xtask/src/tidy.rs"
            ));
            continue;
        };
        for dependency in package["dependencies"]
            .as_array()
            .context("no dependencies")?
        {
            let import = dependency["name"]
                .as_str()
                .context("a dependency has no name")?;
            let ours = dependency["path"].is_string();
            let dev = dependency["kind"].as_str() == Some("dev");
            let dev_allowed =
                import == "skep-sim" || (import == "skep-lab" && !PURE.contains(&name));
            if ours && !allowed.contains(&import) && !(dev && dev_allowed) {
                complaints.push(format!("{name} may not import {import} (ARCHITECTURE.md)"));
            }
            let async_runtime = ["tokio", "socket2", "rustix", "getrandom"].contains(&import);
            if PURE.contains(&name) && async_runtime && !dev {
                complaints.push(format!(
                    "{name} is a pure crate and may not import {import}"
                ));
            }
        }
    }
    Ok(())
}

/// Every pure crate has the same list of banned calls.
fn clippy_bans(complaints: &mut Vec<String>) -> Result<()> {
    let read = |folder: &str| {
        fs::read_to_string(shell::root().join(format!("crates/{folder}/clippy.toml")))
    };
    let first = read(PURE_FOLDERS[0]).context("read crates/hash/clippy.toml")?;
    for folder in PURE_FOLDERS {
        if read(folder).ok().as_ref() != Some(&first) {
            complaints.push(format!(
                "crates/{folder}/clippy.toml must equal crates/{}/clippy.toml",
                PURE_FOLDERS[0]
            ));
        }
    }
    Ok(())
}

/// What can be judged from one file's text.
fn source(file: &str, text: &str, complaints: &mut Vec<String>) {
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = product.lines().count();
    let in_tests = file.ends_with("/build.rs")
        || file.contains("/tests/")
        || file.starts_with("fuzz/")
        || file.contains("/benches/");
    if lines > FILE_LINES_MAX {
        complaints.push(format!(
            "{file}: {lines} lines without tests; split it by concept"
        ));
    }
    if file.ends_with("/mod.rs") {
        complaints.push(format!(
            "{file}: the module tree has no mod.rs; use NAME.rs beside NAME/"
        ));
    }
    if file == "xtask/src/tidy.rs" {
        return;
    }
    let is_unsafe = text.contains("allow(\n    unsafe_code") || text.contains("allow(unsafe_code");
    if is_unsafe && !UNSAFE.contains(&file) {
        complaints.push(format!("{file}: unsafe code is for {}", UNSAFE.join(", ")));
    }
    if text.contains("#[ignore") {
        complaints.push(format!(
            "{file}: no ignored tests; assert what is wrong today and say why"
        ));
    }
    if !in_tests && (product.contains("todo!(") || product.contains("unimplemented!(")) {
        complaints.push(format!("{file}: holds a todo!()"));
    }
    let krate = file
        .strip_prefix("crates/")
        .and_then(|rest| rest.split('/').next());
    let Some(krate) = krate else { return };
    let prints = ["println!(", "print!(", "io::stdout("];
    let speaks = ["skep", "skep-verify"].contains(&krate);
    for (number, line) in product.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let is_print = prints.iter().any(|print| {
            code.find(print)
                .is_some_and(|at| !code[..at].ends_with('e') || print.starts_with("io"))
        });
        if is_print && !speaks && !in_tests && !file.contains("/examples/") {
            complaints.push(format!(
                "{file}:{}: only skep and skep-verify write to standard output",
                number + 1
            ));
        }
        let serialises = code.contains("derive(") && code.contains("Serialize");
        if serialises
            && !["evidence", "analysis", "lab", "web", "skep", "skep-verify"].contains(&krate)
        {
            complaints.push(format!(
                "{file}:{}: a serialized type is a promise; derive Serialize in evidence, analysis, \
                 lab, web or a binary",
                number + 1
            ));
        }
        let ends_here = code.contains("use std::{") || code.contains("use std::");
        let impure = [
            "std::fs",
            "std::thread",
            "std::sync::mpsc",
            "async fn ",
            "tokio::",
        ];
        if PURE_FOLDERS.contains(&krate)
            && !in_tests
            && (ends_here || code.contains("async fn ") || code.contains("tokio::"))
            && impure.iter().any(|word| code.contains(word))
        {
            complaints.push(format!(
                "{file}:{}: not in a pure crate: {}",
                number + 1,
                code.trim()
            ));
        }
    }
}
