//! gzip (RFC 1952), inflated with a hard limit.
//!
//! The header and the trailer are read here; DEFLATE itself is miniz_oxide, which stops at the
//! limit, so that a small body cannot become a large allocation.

use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

/// Why a body is no gzip member that fits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GzipError {
    /// It does not begin with the gzip magic number and method 8.
    #[error("no gzip header")]
    NoHeader,
    /// It ends early.
    #[error("truncated after {len} bytes")]
    Truncated {
        /// Its length.
        len: usize,
    },
    /// It inflates to more than is allowed.
    #[error("inflates to more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The DEFLATE stream is damaged.
    #[error("damaged deflate stream")]
    BadStream,
    /// The checksum differs.
    #[error("crc {got:#010x}, expected {expected:#010x}")]
    WrongCrc {
        /// Of what was inflated.
        got: u32,
        /// As the trailer says.
        expected: u32,
    },
    /// The length differs.
    #[error("inflated to {got} bytes, expected {expected}")]
    WrongLen {
        /// Of what was inflated.
        got: usize,
        /// As the trailer says, modulo 2^32.
        expected: u32,
    },
}

const FLAG_HCRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
/// CRC-32 and length, 4 bytes each.
const TRAILER_LEN: usize = 8;

/// Inflates one gzip member that fills `bytes`, to at most `limit` bytes.
///
/// # Errors
///
/// [`GzipError`] with what is wrong.
pub fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    let rest = skip_header(bytes)?;
    let truncated = GzipError::Truncated { len: bytes.len() };
    let (deflated, trailer) = rest
        .split_last_chunk::<TRAILER_LEN>()
        .ok_or(truncated.clone())?;
    let out = decompress_to_vec_with_limit(deflated, limit).map_err(|e| match e.status {
        TINFLStatus::HasMoreOutput => GzipError::TooLong { limit },
        TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => truncated,
        _ => GzipError::BadStream,
    })?;
    let [a, b, c, d, e, f, g, h] = *trailer;
    let expected = u32::from_le_bytes([e, f, g, h]);
    if u32::try_from(out.len()) != Ok(expected) {
        return Err(GzipError::WrongLen {
            got: out.len(),
            expected,
        });
    }
    let expected = u32::from_le_bytes([a, b, c, d]);
    let got = crc32(&out);
    if got != expected {
        return Err(GzipError::WrongCrc { got, expected });
    }
    Ok(out)
}

fn skip_header(bytes: &[u8]) -> Result<&[u8], GzipError> {
    let truncated = || GzipError::Truncated { len: bytes.len() };
    let [0x1f, 0x8b, 8, flags, _, _, _, _, _, _, rest @ ..] = bytes else {
        return Err(GzipError::NoHeader);
    };
    let mut rest = rest;
    if flags & FLAG_EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
        rest = after
            .get(usize::from(u16::from_le_bytes(*len))..)
            .ok_or_else(truncated)?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let end = rest
                .iter()
                .position(|&byte| byte == 0)
                .ok_or_else(truncated)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & FLAG_HCRC != 0 {
        rest = rest.get(2..).ok_or_else(truncated)?;
    }
    Ok(rest)
}

/// CRC-32 as gzip uses it (reflected polynomial 0xEDB88320).
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc_table();
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
}
