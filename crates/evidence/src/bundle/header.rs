//! A ustar header (POSIX.1-2017, "ustar Interchange Format"), of which there is one for each path and
//! length.
//!
//! ```text
//!   0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 | 148 chksum 8
//! 156 typeflag 1 | 157 linkname 100 | 257 magic 6 | 263 version 2 | 265 uname 32 | 297 gname 32
//! 329 devmajor 8 | 337 devminor 8 | 345 prefix 155 | 500 padding 12
//! ```

use super::{BLOCK_LEN, PATH_LEN_MAX};

/// A block.
pub(super) type Block = [u8; BLOCK_LEN as usize];

/// Where each field begins, for naming the one that is wrong.
const FIELDS: [(usize, &str); 17] = [
    (0, "name"),
    (100, "mode"),
    (108, "uid"),
    (116, "gid"),
    (124, "size"),
    (136, "mtime"),
    (148, "chksum"),
    (156, "typeflag"),
    (157, "linkname"),
    (257, "magic"),
    (263, "version"),
    (265, "uname"),
    (297, "gname"),
    (329, "devmajor"),
    (337, "devminor"),
    (345, "prefix"),
    (500, "padding"),
];

/// The header of a file. The path is at most [`PATH_LEN_MAX`] bytes, the length at most
/// [`super::FILE_LEN_MAX`]; the caller has checked both.
pub(super) fn render(path: &str, len: u64) -> Block {
    let mut block = [0; BLOCK_LEN as usize];
    put(&mut block, 0, path.as_bytes());
    put(&mut block, 100, b"0000644\0");
    put(&mut block, 108, b"0000000\0");
    put(&mut block, 116, b"0000000\0");
    put(&mut block, 124, format!("{len:011o}\0").as_bytes());
    put(&mut block, 136, b"00000000000\0");
    put(&mut block, 148, b"        ");
    put(&mut block, 156, b"0");
    put(&mut block, 257, b"ustar\x0000");
    put(&mut block, 329, b"0000000\0");
    put(&mut block, 337, b"0000000\0");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block
}

fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Whether anything speaks for a tar header: one of the format's two marks stands in its place. One
/// changed byte spoils one of them at most, and is then named as the field that it is in.
pub(super) fn is_ustar(block: &Block) -> bool {
    &block[257..263] == b"ustar\0" || &block[100..108] == b"0000644\0"
}

/// The path and the length that a header names; they decide what the header must be.
pub(super) fn read(block: &Block) -> (String, Option<u64>) {
    let name = &block[..PATH_LEN_MAX];
    let end = name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(PATH_LEN_MAX);
    let path = name[..end].escape_ascii().to_string();
    let digits = &block[124..135];
    let octal = |len: Option<u64>, &digit: &u8| match digit {
        b'0'..=b'7' => Some(len? * 8 + u64::from(digit - b'0')),
        _ => None,
    };
    (path, digits.iter().fold(Some(0), octal))
}

/// The first field in which two headers differ.
pub(super) fn differs(block: &Block, canonical: &Block) -> Option<&'static str> {
    let at = block
        .iter()
        .zip(canonical)
        .position(|(got, expected)| got != expected)?;
    FIELDS
        .iter()
        .rev()
        .find(|(begin, _)| *begin <= at)
        .map(|(_, name)| *name)
}
