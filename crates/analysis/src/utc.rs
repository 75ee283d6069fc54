//! Times as a reader sees them: UTC after the proleptic Gregorian calendar, without a library.

use skep_evidence::clock::UtcInterval;

const US_PER_SEC: i64 = 1_000_000;
const SECS_PER_DAY: i64 = 86_400;

/// A calendar day and the time in it.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    secs: i64,
    us: i64,
}

/// Days are counted in eras of 400 years that begin on 1 March, so that the leap day is the last
/// of its year and no month table is needed.
fn civil(us: i64) -> Civil {
    let secs = us.div_euclid(US_PER_SEC);
    let days = secs.div_euclid(SECS_PER_DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
        secs: secs.rem_euclid(SECS_PER_DAY),
        us: us.rem_euclid(US_PER_SEC),
    }
}

/// `2012-03-30T10:15:00.123456Z` (RFC 3339) for microseconds since 1970.
pub fn rfc3339(us: i64) -> String {
    let at = civil(us);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        at.year,
        at.month,
        at.day,
        at.secs / 3_600,
        at.secs / 60 % 60,
        at.secs % 60,
        at.us
    )
}

/// `2012-03-30` for microseconds since 1970.
pub fn date(us: i64) -> String {
    let at = civil(us);
    format!("{:04}-{:02}-{:02}", at.year, at.month, at.day)
}

/// `10:15:00` for microseconds since 1970.
pub fn clock(us: i64) -> String {
    let at = civil(us);
    format!(
        "{:02}:{:02}:{:02}",
        at.secs / 3_600,
        at.secs / 60 % 60,
        at.secs % 60
    )
}

/// `2012-03-30 10:15:00.123 ± 0.004 s`: the middle of the interval and the half-width, both in
/// milliseconds, the half-width rounded up so that the printed interval holds the recorded one.
pub fn plus_minus(interval: UtcInterval) -> String {
    let (earliest, latest) = (
        interval.earliest_us,
        interval.latest_us.max(interval.earliest_us),
    );
    let middle_ms = (earliest + (latest - earliest) / 2).div_euclid(1_000);
    let above = latest - middle_ms * 1_000;
    let below = middle_ms * 1_000 - earliest;
    let half_ms = (above.max(below).max(0) + 999) / 1_000;
    let at = civil(middle_ms * 1_000);
    format!(
        "{} {}.{:03} ± {}.{:03} s",
        date(middle_ms * 1_000),
        clock(middle_ms * 1_000),
        at.us / 1_000,
        half_ms / 1_000,
        half_ms % 1_000
    )
}

/// The middle of an interval: where drawings put it. Within a run all times share the clock's error,
/// so the middles keep their distances.
pub fn middle_us(interval: UtcInterval) -> i64 {
    let width = interval
        .latest_us
        .saturating_sub(interval.earliest_us)
        .max(0);
    interval.earliest_us + width / 2
}

/// How the clock stood, in the words that reports use.
pub fn state(interval: UtcInterval) -> &'static str {
    if interval.synchronised {
        "synchronised"
    } else {
        "unsynchronised"
    }
}

/// `1 h 02 min`, `3 min 20 s`, `12.4 s`.
pub fn duration(us: i64) -> String {
    let us = us.max(0);
    let secs = us / US_PER_SEC;
    match secs {
        0..60 => format!("{}.{} s", secs, us % US_PER_SEC / 100_000),
        60..3_600 => format!("{} min {:02} s", secs / 60, secs % 60),
        3_600..86_400 => format!("{} h {:02} min", secs / 3_600, secs / 60 % 60),
        86_400.. => format!("{} d {:02} h", secs / 86_400, secs / 3_600 % 24),
        ..0 => unreachable!("clamped above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_printed_as_the_calendar_has_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(rfc3339(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(
            rfc3339(1_333_102_500_123_456),
            "2012-03-30T10:15:00.123456Z"
        );
        assert_eq!(
            rfc3339(4_107_542_400_000_000),
            "2100-03-01T00:00:00.000000Z"
        );
    }

    #[test]
    fn the_printed_interval_holds_the_recorded_one() {
        let interval = |earliest_us, latest_us| UtcInterval {
            earliest_us,
            latest_us,
            synchronised: true,
        };
        assert_eq!(
            plus_minus(interval(0, 0)),
            "1970-01-01 00:00:00.000 ± 0.000 s"
        );
        assert_eq!(
            plus_minus(interval(0, 1)),
            "1970-01-01 00:00:00.000 ± 0.001 s"
        );
        assert_eq!(
            plus_minus(interval(-2_000, 2_000)),
            "1970-01-01 00:00:00.000 ± 0.002 s"
        );
    }

    #[test]
    fn durations_read_well_at_every_size() {
        let texts = [
            400_000,
            12_400_000,
            200_000_000,
            3_720_000_000,
            90_000_000_000,
        ]
        .map(duration);
        assert_eq!(
            texts,
            ["0.4 s", "12.4 s", "3 min 20 s", "1 h 02 min", "1 d 01 h"]
        );
    }
}
