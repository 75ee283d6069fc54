//! `skep recheck`: is what lies here what the torrent says?

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use skep_net::{
    disk::{
        check::{self, Watch},
        files::{Access, Files},
        layout::Layout,
    },
    session::Place,
};
use skep_wire::{Bitfield, PieceIndex, metainfo::Info};

use crate::{
    progress, torrent_file,
    ui::{self, CmdError, Context, Outcome},
    units::{Bytes, shown},
};

/// Check content against its torrent file
///
/// Reads every byte on all cores and changes nothing. The exit code is 0 if all is there and right,
/// and 1 if not; the files that miss something are listed. Empty files and symbolic links have no bytes, and
/// are not looked at.
///
/// In version 2 and hybrids a piece lies in one file, so the stretches of the file that are missing or
/// wrong are listed, too, as exactly as the torrent knows them: to the piece. (The hashes of single blocks
/// are not in a torrent file. Peers have them, and skep get asks for them.)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The torrent file.
    torrent: PathBuf,
    /// The file or folder that should be the torrent's content.
    path: PathBuf,
    /// Look for SHA-1 collision attacks, too; the exit code is 1 if one is found.
    ///
    /// Two pieces with the same SHA-1 can be made together, and either be put in the other's place. Both bear
    /// marks of it. To look for them takes several times as long as hashing. Version 2 does not use SHA-1.
    #[arg(long)]
    detect_collisions: bool,
}

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let (torrent, _) = torrent_file::read(&args.torrent)?;
    let info = &torrent.info;
    if let Err(error) = args.path.metadata() {
        let error = anyhow::Error::new(error).context(format!("look at {}", args.path.display()));
        return Err(CmdError::usage(error));
    }
    let layout = Arc::new(Layout::of(info));
    let files = Files::new(layout, &Place::At(args.path), &info.name, Access::Read);
    let watch = if args.detect_collisions {
        Watch::for_attacks()
    } else {
        Watch::default()
    };
    let bar = progress::bytes_bar(ctx, "checking", info.size_bytes);
    let done = || watch.bytes_done.load(Ordering::Relaxed);
    let there = progress::follow(&bar, done, || {
        check::pieces_there(&files, info, None, &watch)
    })
    .map_err(CmdError::surroundings)?;
    let check::Found { there, torn } = there;
    if let Some((piece, has_v1)) = torn {
        let (has, lacks) = if has_v1 { (1, 2) } else { (2, 1) };
        ui::print(format!(
            "the torrent contradicts itself: piece {} has its hash of version {has} and not that of version {lacks}\n",
            piece.0
        ))?;
    }

    let bad = info.piece_count() - there.count();
    let mut found = format!(
        "{} of {} pieces are there and right\n",
        there.count(),
        info.piece_count()
    );
    for (file, missing) in files_missing(info, &there) {
        let path = shown(&files.path(file).display().to_string());
        let note = len_note(info, &files, file);
        found += &format!("{path}: {missing} of its pieces missing or wrong, {note}\n");
        if info.version.has_v2() {
            found += &stretches_text(&stretches(info, file, &there));
        }
    }
    let attacked = watch.attacked();
    if args.detect_collisions {
        found += &attacks_text(&attacked);
    }
    ui::print(found)?;
    Ok(if bad == 0 && attacked.is_empty() {
        Outcome::Done
    } else {
        Outcome::Negative
    })
}

/// More pieces with marks of an attack are counted, not listed.
const ATTACKED_SHOWN_MAX: usize = 20;

fn attacks_text(attacked: &[PieceIndex]) -> String {
    if attacked.is_empty() {
        return "no SHA-1 collision attack was found\n".to_owned();
    }
    let line = |piece: &PieceIndex| {
        let says = "bears the marks of a SHA-1 collision attack: other bytes have its hash, too";
        format!("piece {} {says}\n", piece.0)
    };
    let shown = attacked.iter().take(ATTACKED_SHOWN_MAX);
    let mut text: String = shown.map(line).collect();
    let rest = attacked.len().saturating_sub(ATTACKED_SHOWN_MAX);
    if rest > 0 {
        text += &format!("and {rest} more pieces\n");
    }
    text
}

/// The files that are touched by a piece that is not there, each with the number of such pieces.
fn files_missing(info: &Info, there: &Bitfield) -> Vec<(usize, u32)> {
    let mut missing = vec![0; info.files.len()];
    for piece in (0..info.piece_count())
        .map(PieceIndex)
        .filter(|&piece| !there.has(piece))
    {
        for span in info.piece_spans(piece) {
            if !info.files[span.file].padding {
                missing[span.file] += 1;
            }
        }
    }
    missing
        .into_iter()
        .enumerate()
        .filter(|&(_, count)| count > 0)
        .collect()
}

/// More stretches of one file are counted, not listed.
const STRETCHES_SHOWN_MAX: usize = 20;

/// The stretches of a file that its missing pieces are, as offsets in the file of the first byte and of the
/// first byte after; neighbours are one. For version 2 and hybrids, where a piece lies in one file.
fn stretches(info: &Info, file: usize, there: &Bitfield) -> Vec<(u64, u64)> {
    let mut stretches: Vec<(u64, u64)> = Vec::new();
    let missing = info.file_pieces(file).map(PieceIndex);
    for piece in missing.filter(|&piece| !there.has(piece)) {
        let own = info.piece_spans(piece).filter(|span| span.file == file);
        for span in own {
            match stretches.last_mut() {
                Some((_, end)) if *end == span.offset => *end += span.len,
                _ => stretches.push((span.offset, span.offset + span.len)),
            }
        }
    }
    stretches
}

fn stretches_text(stretches: &[(u64, u64)]) -> String {
    let shown = stretches.iter().take(STRETCHES_SHOWN_MAX);
    let line = |(begin, end): &(u64, u64)| {
        let len = Bytes(end - begin);
        format!("  bytes {begin} to {}, {len}\n", end - 1)
    };
    let mut text: String = shown.map(line).collect();
    let rest = stretches.len().saturating_sub(STRETCHES_SHOWN_MAX);
    if rest > 0 {
        text += &format!("  and {rest} more stretches\n");
    }
    text
}

fn len_note(info: &Info, files: &Files, file: usize) -> String {
    let expected = info.files[file].len;
    match files.stamp(file) {
        Ok(None) => "it is not there".to_owned(),
        Ok(Some(stamp)) if stamp.len != expected => {
            format!("it has {} of {}", Bytes(stamp.len), Bytes(expected))
        }
        Ok(Some(_)) => "its length is right".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_attacked_pieces_are_counted() {
        let many: Vec<_> = (0..23).map(PieceIndex).collect();
        let text = attacks_text(&many);
        assert_eq!(text.lines().count(), ATTACKED_SHOWN_MAX + 1);
        assert!(text.ends_with("\nand 3 more pieces\n"), "{text}");
    }

    #[test]
    fn many_stretches_are_counted() {
        let many: Vec<_> = (0..23).map(|n| (n * 10, n * 10 + 1)).collect();
        let text = stretches_text(&many);
        assert!(
            text.starts_with("  bytes 0 to 0, 1 bytes\n  bytes 10 to 10"),
            "{text}"
        );
        assert!(
            text.ends_with("  bytes 190 to 190, 1 bytes\n  and 3 more stretches\n"),
            "{text}"
        );
    }
}
