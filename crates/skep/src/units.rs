//! Sizes, rates and times as people write and read them, and foreign text made safe to print.

use std::{fmt, time::Duration};

/// A number of bytes as the user wrote it: `300`, `64KiB`, `1.5M`. `K`, `M`, `G` and `T` are powers
/// of 1,024, with or without `iB` or `B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// A length of time as the user wrote it: `30s`, `10m`, `1h30m`, `2d`; a bare number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl std::str::FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size; write for example 300, 64KiB or 1.5M");
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let power = match unit.trim().to_ascii_lowercase().trim_end_matches('b') {
            "" => 0,
            "k" | "ki" => 1,
            "m" | "mi" => 2,
            "g" | "gi" => 3,
            "t" | "ti" => 4,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = number * 1024f64.powi(power);
        if bytes.is_finite() && bytes < 9e18 {
            Ok(Self(bytes as u64))
        } else {
            Err(wrong())
        }
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no length of time; write for example 90s, 10m or 1h30m");
        if let Ok(secs) = text.parse() {
            return Ok(Self(Duration::from_secs(secs)));
        }
        let mut total = 0u64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            let mut chars = rest[digits..].chars();
            let unit = match chars.next().ok_or_else(wrong)? {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return Err(wrong()),
            };
            total = number
                .checked_mul(unit)
                .and_then(|n| total.checked_add(n))
                .ok_or_else(wrong)?;
            rest = chars.as_str();
        }
        if text.is_empty() {
            Err(wrong())
        } else {
            Ok(Self(Duration::from_secs(total)))
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} bytes", self.0);
        }
        let mut size = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while size >= 1023.95 && unit + 1 < units.len() {
            size /= 1024.0;
            unit += 1;
        }
        if size.fract() == 0.0 {
            write!(f, "{size:.0} {}", units[unit])
        } else {
            write!(f, "{size:.1} {}", units[unit])
        }
    }
}

/// `text` with control characters, and those that turn the direction of writing, shown as escapes:
/// what a stranger wrote must not move our cursor or disguise a name.
pub(crate) fn shown(text: &str) -> String {
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| {
            if is_unsafe(c) {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        assert_eq!(read("300"), Ok(300));
        assert_eq!(read("64KiB"), Ok(65_536));
        assert_eq!(read("1.5m"), Ok(1_572_864));
        assert_eq!(read("2 GB"), Ok(2 << 30));
        for wrong in ["", "k", "-1", "1x", "1.2.3", "99999999999T"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs());
        assert_eq!(read("45"), Ok(45));
        assert_eq!(read("1h30m"), Ok(5_400));
        assert_eq!(read("2d"), Ok(172_800));
        for wrong in ["", "h", "5x", "1h30", "99999999999999999999s"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_shown_with_one_digit_at_most() {
        let show = |bytes| Bytes(bytes).to_string();
        assert_eq!(show(0), "0 bytes");
        assert_eq!(show(1 << 20), "1 MiB");
        assert_eq!(show(1_500_000), "1.4 MiB");
        assert_eq!(show((1 << 30) - 1), "1.0 GiB");
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(shown("a\u{1b}[2J\u{202e}b\nö"), "a\\u{1b}[2J\\u{202e}b\\nö");
    }
}
