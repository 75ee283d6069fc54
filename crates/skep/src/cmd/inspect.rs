//! `skep inspect`: everything that is in a torrent file.

use std::{fmt::Write as _, path::PathBuf};

use skep_wire::{
    bencode::{self, Node, Value},
    metainfo::{File, Info, Link, Metainfo, Version, Warning},
};

use crate::{
    torrent_file,
    ui::{self, CmdError, Context, Outcome},
    units::{Bytes, shown},
};

/// Print everything that is in a torrent file
///
/// Of each file its length and path are listed, with (x) if it may be run, (h) if it is hidden, and where it
/// points to if it is a symbolic link. Padding files are counted; --files lists them, too. What a torrent
/// file says of itself (date, creator, comment) is a claim of whoever made it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The torrent file.
    torrent: PathBuf,
    /// List of each file its number, length, pieces, flags (p padding, h hidden, x may be run, l link) and, in
    /// version 2, the root of its Merkle tree.
    #[arg(long, conflicts_with = "json")]
    files: bool,
    /// Print JSON, with each piece's hashes.
    #[arg(long)]
    json: bool,
}

/// Keys that are printed by name; any other is printed as it is.
const KEYS_KNOWN: [&str; 8] = [
    "announce",
    "announce-list",
    "comment",
    "created by",
    "creation date",
    "info",
    "piece layers",
    "url-list",
];

/// The same, within the info dictionary.
const INFO_KEYS_KNOWN: [&str; 9] = [
    "file tree",
    "files",
    "length",
    "meta version",
    "name",
    "piece length",
    "pieces",
    "private",
    "source",
];

/// As much of an unknown value is printed.
const VALUE_CHARS_MAX: usize = 200;

pub(crate) fn run(args: Args, _ctx: &Context) -> Result<Outcome, CmdError> {
    let (torrent, bytes) = torrent_file::read(&args.torrent)?;
    let others = other_fields(&bytes);
    if args.json {
        ui::print(json(&torrent, &others) + "\n")?;
    } else {
        let files = if args.files {
            file_table(&torrent.info)
        } else {
            file_list(&torrent.info)
        };
        ui::print(text(&torrent, &others) + &files)?;
    }
    Ok(Outcome::Done)
}

/// Fields that skep does not read, as path and shown value.
fn other_fields(bytes: &[u8]) -> Vec<(String, String)> {
    let limits = bencode::Limits {
        depth_max: bencode::DEPTH_MAX,
        values_max: 8_000_000,
        canonical: false,
    };
    let Ok(root) = bencode::decode(bytes, limits) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut add = |prefix: &str, node: &Node<'_>, known: &[&str]| {
        for (key, value) in node.as_dict().unwrap_or_default() {
            let key = String::from_utf8_lossy(key);
            if !known.contains(&key.as_ref()) {
                let mut text = String::new();
                show_value(value, &mut text);
                if text.chars().count() > VALUE_CHARS_MAX {
                    text = text
                        .chars()
                        .take(VALUE_CHARS_MAX)
                        .chain("...".chars())
                        .collect();
                }
                found.push((shown(&format!("{prefix}{key}")), text));
            }
        }
    };
    add("", &root, &KEYS_KNOWN);
    if let Some(info) = root.get("info") {
        add("info.", info, &INFO_KEYS_KNOWN);
    }
    found
}

/// Writes a value like JSON, with what is unsafe to print escaped; byte strings that are not text as
/// hexadecimal.
fn show_value(node: &Node<'_>, out: &mut String) {
    if out.len() > 4 * VALUE_CHARS_MAX {
        return;
    }
    match &node.value {
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => {
                let _ = write!(out, "{text:?}");
            }
            Err(_) => {
                out.push_str("0x");
                for byte in bytes.iter().take(VALUE_CHARS_MAX) {
                    let _ = write!(out, "{byte:02x}");
                }
            }
        },
        Value::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                show_value(item, out);
            }
            out.push(']');
        }
        Value::Dict(entries) => {
            out.push('{');
            for (n, (key, value)) in entries.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                let _ = write!(out, "{:?}: ", String::from_utf8_lossy(key));
                show_value(value, out);
            }
            out.push('}');
        }
    }
}

fn text(torrent: &Metainfo, others: &[(String, String)]) -> String {
    let info = &torrent.info;
    let mut out = String::new();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<14}{value}");
    };
    row("name", shown(&info.name));
    row("version", version(info.version).to_owned());
    if info.version.has_v1() {
        row("info-hash", torrent.info_hash.to_string());
    }
    if let Some(hash) = torrent.info_hash_v2 {
        row("info-hash v2", hash.to_string());
    }
    row("size", bytes(info.payload_bytes()));
    let padding = info.files.iter().filter(|file| file.padding).count();
    if padding > 0 {
        let size = bytes(info.padding_bytes());
        row("padding", format!("{size} in {}", count(padding, "file")));
    }
    row(
        "pieces",
        format!("{} of {}", info.piece_count(), Bytes(info.piece_len.into())),
    );
    if info.version.has_v2() {
        let layers = info
            .files
            .iter()
            .map(|file| file.len.div_ceil(info.piece_len.into()));
        let layers: Vec<u64> = layers.filter(|&pieces| pieces > 1).collect();
        let hashes: u64 = layers.iter().sum();
        let layers = count(layers.len(), "file");
        row(
            "piece layers",
            format!("{hashes} hashes of {layers} longer than a piece"),
        );
    }
    row(
        "private",
        if info.private { "yes" } else { "no" }.to_owned(),
    );
    for (name, value) in [
        ("source", &info.source),
        ("comment", &torrent.comment),
        ("created by", &torrent.created_by),
    ] {
        if let Some(value) = value {
            row(name, shown(value));
        }
    }
    if let Some(secs) = torrent.creation_date {
        row("created", date(secs));
    }
    for (n, tier) in torrent.tiers.iter().enumerate() {
        for url in tier {
            row(&format!("tracker {}", n + 1), shown(url));
        }
    }
    for url in &torrent.web_seeds {
        row("web seed", shown(url));
    }
    for warning in &torrent.warnings {
        row("warning", shown(&warning_text(warning)));
    }
    for (key, value) in others {
        row("field", format!("{key} = {value}"));
    }
    row("files", (info.files.len() - padding).to_string());
    out
}

fn version(version: Version) -> &'static str {
    match version {
        Version::V1 => "1",
        Version::V2 => "2",
        Version::Hybrid => "hybrid (1 and 2)",
    }
}

fn bytes(len: u64) -> String {
    match Bytes(len).to_string() {
        text if len < 1024 => text,
        text => format!("{text} ({len} bytes)"),
    }
}

fn count(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn path(info: &Info, path: &[String]) -> String {
    let mut names = vec![info.name.as_str()];
    names.extend(path.iter().map(String::as_str));
    shown(&names.join("/"))
}

/// The path of a file, and where it points to if it is a link.
fn path_and_target(info: &Info, file: &File) -> String {
    let own = path(info, &file.path);
    match &file.attr.link {
        Some(Link::To(target)) => format!("{own} -> {}", path(info, target)),
        Some(Link::Astray) => format!("{own} -> nothing in the torrent"),
        None => own,
    }
}

fn file_list(info: &Info) -> String {
    let mut out = String::new();
    for file in info.files.iter().filter(|file| !file.padding) {
        let flags = match (file.attr.hidden, file.attr.executable) {
            (true, true) => " (h) (x)",
            (true, false) => " (h)",
            (false, true) => " (x)",
            (false, false) => "",
        };
        let path = path_and_target(info, file);
        let _ = writeln!(out, "{:>14}  {path}{flags}", file.len);
    }
    out
}

fn file_table(info: &Info) -> String {
    let root_head = match info.version {
        Version::V1 => String::new(),
        Version::V2 | Version::Hybrid => format!("  {:<64}", "root"),
    };
    let (number, length, pieces, flags) = ("number", "length", "pieces", "flags");
    let mut out = format!("{number:>6}  {length:>14}  {pieces:>15}  {flags}{root_head}  path\n");
    for (n, file) in info.files.iter().enumerate() {
        let pieces = info.file_pieces(n);
        let pieces = match pieces.len() {
            0 => "-".to_owned(),
            1 => pieces.start.to_string(),
            _ => format!("{}-{}", pieces.start, pieces.end - 1),
        };
        let root = match (info.version, file.root) {
            (Version::V1, _) => String::new(),
            (Version::V2 | Version::Hybrid, Some(root)) => format!("  {root}"),
            (Version::V2 | Version::Hybrid, None) => format!("  {:<64}", "-"),
        };
        let (len, path) = (file.len, path_and_target(info, file));
        let _ = writeln!(
            out,
            "{n:>6}  {len:>14}  {pieces:>15}  {:<5}{root}  {path}",
            flags_of(file)
        );
    }
    out
}

fn flags_of(file: &File) -> String {
    [
        (file.padding, 'p'),
        (file.attr.hidden, 'h'),
        (file.attr.executable, 'x'),
        (file.attr.link.is_some(), 'l'),
    ]
    .into_iter()
    .map(|(is_set, flag)| if is_set { flag } else { '-' })
    .collect()
}

fn json(torrent: &Metainfo, others: &[(String, String)]) -> String {
    let info = &torrent.info;
    let file = |(n, file): (usize, &File)| {
        let pieces = info.file_pieces(n);
        serde_json::json!({
            "path": file.path,
            "length": file.len,
            "offset": file.offset,
            "first_piece": (!pieces.is_empty()).then_some(pieces.start),
            "piece_count": pieces.len(),
            "padding": file.padding,
            "executable": file.attr.executable,
            "hidden": file.attr.hidden,
            "link": file.attr.link.as_ref().map(|link| match link {
                Link::To(target) => serde_json::json!({ "to": target }),
                Link::Astray => serde_json::json!("astray"),
            }),
            "root": file.root.map(|root| root.to_string()),
        })
    };
    let files: Vec<_> = info.files.iter().enumerate().map(file).collect();
    let pieces: Vec<String> = info.pieces.iter().map(ToString::to_string).collect();
    let pieces_v2: Vec<String> = info.pieces_v2.iter().map(ToString::to_string).collect();
    let v1 = info.version.has_v1().then(|| torrent.info_hash.to_string());
    let warnings: Vec<String> = torrent.warnings.iter().map(warning_text).collect();
    let others: serde_json::Map<_, _> = others
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    let value = serde_json::json!({
        "name": info.name,
        "version": match info.version {
            Version::V1 => "1",
            Version::V2 => "2",
            Version::Hybrid => "hybrid",
        },
        "info_hash": torrent.info_hash.to_string(),
        "info_hash_v1": v1,
        "info_hash_v2": torrent.info_hash_v2.map(|hash| hash.to_string()),
        "size_bytes": info.size_bytes,
        "payload_bytes": info.payload_bytes(),
        "padding_bytes": info.padding_bytes(),
        "piece_length": info.piece_len,
        "piece_count": info.piece_count(),
        "private": info.private,
        "source": info.source,
        "single_file": info.single_file,
        "comment": torrent.comment,
        "created_by": torrent.created_by,
        "creation_date": torrent.creation_date,
        "trackers": torrent.tiers,
        "web_seeds": torrent.web_seeds,
        "warnings": warnings,
        "other_fields": others,
        "files": files,
        "pieces": pieces,
        "pieces_v2": pieces_v2,
    });
    serde_json::to_string_pretty(&value).expect("strings and numbers are JSON")
}

/// A date as claimed, in UTC; the bare number where it is beyond the calendar.
fn date(secs: i64) -> String {
    const YEAR_10000_SECS: i64 = 253_402_300_800;
    if !(0..YEAR_10000_SECS).contains(&secs) {
        return format!("{secs} seconds since 1970");
    }
    let text = skep_analysis::utc::rfc3339(secs * 1_000_000);
    text.replace(".000000Z", "Z")
}

fn warning_text(warning: &Warning) -> String {
    match warning {
        Warning::NotCanonical(noted) => format!("byte {}: {}", noted.offset, noted.oddity),
        Warning::NameOfFile { name } => {
            format!("the torrent is named {name}, its one file otherwise: the file's name counts")
        }
        Warning::FolderEmpty { path } => format!("a folder without files is left out: {path}"),
        Warning::LinkAstray { path } => {
            format!("a symbolic link leads to nothing in the torrent and is not made: {path}")
        }
        Warning::NameNotUtf8 { name } => format!("a name is not UTF-8: {}", name.escape_ascii()),
        Warning::CaseConflict { path } => format!("differs from another path only in case: {path}"),
        Warning::FieldIgnored { field } => format!("{field} has no usable value and is left out"),
        Warning::NameDeceives { name } => {
            format!("has control characters, or such as turn the direction of text: {name}")
        }
        Warning::NameNotPortable { name } => {
            format!("other systems cannot hold a file of this name: {name}")
        }
        Warning::ListCut { field, limit } => format!("{field} is cut after {limit} entries"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A warning is a sentence, and no value as the compiler writes it.
    #[test]
    fn a_deceptive_or_unportable_name_is_warned_of_in_words() {
        let name = || "a\u{202e}b".to_owned();
        for warning in [
            Warning::NameDeceives { name: name() },
            Warning::NameNotPortable { name: name() },
        ] {
            let text = warning_text(&warning);
            assert!(text.ends_with(&name()) && !text.contains('{'), "{text}");
        }
    }

    /// A field that nobody knows may hold anything; each unsafe character is escaped once.
    #[test]
    fn a_strange_field_cannot_move_the_cursor() {
        let others = other_fields("d3:abc9:\u{1b}[2J\u{202e}\n\"e".as_bytes());
        let said = r#""\u{1b}[2J\u{202e}\n\"""#;
        assert_eq!(others, [("abc".to_owned(), said.to_owned())]);
    }
}
