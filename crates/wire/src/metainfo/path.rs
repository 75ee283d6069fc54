//! Names and paths that may reach a file system, and those that may not.

use super::{
    NAME_BYTES_MAX, WARNINGS_MAX,
    error::{Field, MetainfoError, NameFault, Warning},
};

/// Text for a name as it came. Bytes that are no UTF-8 become `%XX`, so that the name is shown
/// without loss and can be a file's name; the raw bytes stay in the info dictionary.
///
/// Rejected: replacement characters, which make different names one; refusing, because many old
/// torrents have names in the code page of their maker.
pub(super) fn text(name: &[u8], warnings: &mut Vec<Warning>) -> String {
    if let Ok(text) = std::str::from_utf8(name) {
        return text.to_owned();
    }
    warn(warnings, || Warning::NameNotUtf8 {
        name: name.to_vec(),
    });
    let mut out = String::new();
    for chunk in name.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk
            .invalid()
            .iter()
            .for_each(|byte| out.push_str(&format!("%{byte:02X}")));
    }
    out
}

/// Checks one component of a path.
pub(super) fn check_name(
    name: &str,
    field: Field,
    warnings: &mut Vec<Warning>,
) -> Result<(), MetainfoError> {
    if let Some(fault) = fault(name) {
        return Err(MetainfoError::BadName {
            field,
            name: name.to_owned(),
            fault,
        });
    }
    if name.contains(deceives) {
        warn(warnings, || Warning::NameDeceives {
            name: name.to_owned(),
        });
    }
    if name.contains(['<', '>', ':', '"', '|', '?', '*']) || name.ends_with(['.', ' ']) {
        warn(warnings, || Warning::NameNotPortable {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// What is wrong with a name, if it must not reach a file system.
pub(super) fn fault(name: &str) -> Option<NameFault> {
    let (len, limit) = (name.len(), NAME_BYTES_MAX);
    match name {
        "" => Some(NameFault::Empty),
        "." => Some(NameFault::ThisFolder),
        ".." => Some(NameFault::ParentFolder),
        _ if name.starts_with(['/', '\\']) || is_drive(name) => Some(NameFault::Absolute),
        _ if name.contains(['/', '\\']) => Some(NameFault::Separator),
        _ if name.contains('\0') => Some(NameFault::Nul),
        _ if is_device(name) => Some(NameFault::Reserved),
        _ if len > limit => Some(NameFault::TooLong { len, limit }),
        _ => None,
    }
}

/// `C:` or `C:\...`.
fn is_drive(name: &str) -> bool {
    let bytes = name.as_bytes();
    let drive = matches!(bytes, [letter, b':', ..] if letter.is_ascii_alphabetic());
    drive && matches!(bytes.get(2), None | Some(b'\\' | b'/'))
}

/// A device name of Windows, with or without an extension: `nul`, `COM1.txt`, `Aux .c`.
fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        _ => {
            let port = stem
                .strip_prefix("COM")
                .or_else(|| stem.strip_prefix("LPT"));
            // The superscript digits count as digits there.
            port.is_some_and(|n| {
                let mut chars = n.chars();
                let digit = matches!(
                    chars.next(),
                    Some('1'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}')
                );
                digit && chars.next().is_none()
            })
        }
    }
}

/// Control characters, and those that turn the direction of the text after them.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks that no two files claim one place. `paths` are those of the files that are written, each
/// with its index in the torrent.
pub(super) fn check_conflicts(
    mut paths: Vec<(&[String], usize)>,
    warnings: &mut Vec<Warning>,
) -> Result<(), MetainfoError> {
    // Component by component, so that a folder stands right before what is in it.
    paths.sort_unstable();
    for pair in paths.windows(2) {
        let [(a, first), (b, second)] = [pair[0], pair[1]];
        if a == b {
            return Err(MetainfoError::DuplicatePath {
                path: a.join("/"),
                first,
                second,
            });
        }
        if b.starts_with(a) {
            let path = a.join("/");
            return Err(MetainfoError::FileIsFolder {
                path,
                file: first,
                inside: second,
            });
        }
    }
    let fold = |path: &[String]| {
        path.iter()
            .map(|name| name.to_lowercase())
            .collect::<Vec<_>>()
    };
    let mut folded: Vec<(Vec<String>, usize)> = paths
        .iter()
        .enumerate()
        .map(|(n, (path, _))| (fold(path), n))
        .collect();
    folded.sort_unstable();
    for pair in folded.windows(2) {
        if pair[1].0.starts_with(&pair[0].0) {
            warn(warnings, || Warning::CaseConflict {
                path: paths[pair[1].1].0.join("/"),
            });
        }
    }
    Ok(())
}

/// Adds a warning unless there are [`WARNINGS_MAX`] already.
pub(super) fn warn(warnings: &mut Vec<Warning>, warning: impl FnOnce() -> Warning) {
    if warnings.len() < WARNINGS_MAX {
        warnings.push(warning());
    }
}
