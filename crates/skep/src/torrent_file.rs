//! Reading and writing torrent files, with errors that name the file.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use skep_wire::metainfo::{FILE_BYTES_MAX, Metainfo};

use crate::ui::CmdError;

/// Reads the torrent file at `path`; returns its bytes too.
pub(crate) fn read(path: &Path) -> Result<(Metainfo, Vec<u8>), CmdError> {
    let shown = path.display();
    let text = path.to_string_lossy();
    if text.starts_with("magnet:") {
        return Err(CmdError::usage(anyhow::anyhow!(
            "{shown}: magnet links are not supported yet"
        ))
        .hint("give a torrent file"));
    }
    if ["http://", "https://", "ftp://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
    {
        return Err(CmdError::usage(anyhow::anyhow!(
            "{shown} is an address in the web; skep reads torrent files"
        ))
        .hint(format!(
            "fetch it first, for example with: curl --location --remote-name '{shown}'"
        )));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("read {shown}"))
        .map_err(CmdError::usage)?;
    let torrent = Metainfo::from_bytes(&bytes)
        .with_context(|| shown.to_string())
        .map_err(|error| CmdError::usage(error).hint("is this a torrent file, and a whole one?"))?;
    Ok((torrent, bytes))
}

/// Whether an existing file may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    Yes,
    No,
}

/// Writes `bytes` to `path` so that the file is whole or not there.
pub(crate) fn write(path: &Path, bytes: &[u8], replace: Replace) -> Result<(), CmdError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = dir.join(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create_new(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        match replace {
            Replace::Yes => std::fs::rename(&fresh, path),
            // A link fails if the name is taken, also if it was taken a moment ago.
            Replace::No => {
                std::fs::hard_link(&fresh, path).and_then(|()| std::fs::remove_file(&fresh))
            }
        }
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        let taken = error.kind() == std::io::ErrorKind::AlreadyExists;
        let failed = anyhow::Error::new(error).context(format!("write {}", path.display()));
        if taken {
            already_there(path)
        } else {
            CmdError::surroundings(failed)
        }
    })
}

/// Where a file goes that the user wants at `out`: in a folder that is there it gets the `name` that it
/// would have without `out`, as with `cp`.
pub(crate) fn place(out: PathBuf, name: impl AsRef<Path>) -> PathBuf {
    if out.is_dir() { out.join(name) } else { out }
}

/// The error for a file that is in the way.
pub(crate) fn already_there(path: &Path) -> CmdError {
    CmdError::usage(anyhow::anyhow!("{} is there already", path.display()))
        .hint("choose another name with --out, or replace it with --force")
}
