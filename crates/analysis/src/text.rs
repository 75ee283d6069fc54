//! Values as printed text: what strangers said, per cents, sizes, lists of record numbers.

/// How many characters of a stranger's text are printed.
pub const STRANGER_CHARS_MAX: usize = 160;

/// A stranger's text as a report quotes it: in single quotation marks (so that no spreadsheet takes
/// it for a formula), with control, formatting and direction characters as escapes (so that it
/// cannot rearrange what stands beside it), and cut at [`STRANGER_CHARS_MAX`].
pub fn quoted(text: &str) -> String {
    format!("'{}'", plain(text))
}

/// The same without quotation marks, for headings.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    for char in chars.by_ref().take(STRANGER_CHARS_MAX) {
        match char {
            '"' => out.push('"'),
            '\'' => out.push('\''),
            other => out.extend(other.escape_debug()),
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// Parts per million as per cent, cut (never rounded up) at four decimals: `99.9999`, `37.5`, `100`.
pub fn percent(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A size with a binary unit, and the bytes where a unit is used.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit; 128 bits, because ten times 2^64 does not fit 64.
    let mut tenths = u128::from(bytes) * 10 / 1_024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A number with thin groups of three digits: `1 234 567` with no-break spaces.
pub fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

/// Ascending record numbers as ranges: `3-5 9 12-13`.
pub fn ranges(numbers: &[u64]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < numbers.len() {
        let mut end = at;
        while end + 1 < numbers.len() && numbers[end + 1] == numbers[end] + 1 {
            end += 1;
        }
        if at > 0 {
            out.push(' ');
        }
        out.push_str(&numbers[at].to_string());
        if end > at {
            out.push('-');
            out.push_str(&numbers[end].to_string());
        }
        at = end + 1;
    }
    out
}

/// `text` with the five characters that mean something in HTML and SVG replaced.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_can_neither_calculate_nor_rearrange_nor_flood() {
        assert_eq!(quoted("=1+1"), "'=1+1'");
        assert_eq!(quoted("a\u{202e}b\nc\0"), "'a\\u{202e}b\\nc\\0'");
        assert_eq!(
            quoted(&"x".repeat(1_000)).chars().count(),
            STRANGER_CHARS_MAX + 3
        );
    }

    #[test]
    fn per_cents_are_never_rounded_up() {
        let texts = [0, 1, 375_000, 999_999, 1_000_000].map(percent);
        assert_eq!(texts, ["0", "0.0001", "37.5", "99.9999", "100"]);
    }

    #[test]
    fn sizes_and_numbers_read_well() {
        assert_eq!(size(1_023), "1023 B");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16383.9 PiB");
        assert_eq!(grouped(1_234_567), "1\u{a0}234\u{a0}567");
    }

    #[test]
    fn record_numbers_are_printed_as_ranges() {
        assert_eq!(ranges(&[3, 4, 5, 9, 12, 13]), "3-5 9 12-13");
        assert_eq!(ranges(&[]), "");
    }
}
