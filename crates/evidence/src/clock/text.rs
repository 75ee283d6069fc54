//! UTC as text.

/// Microseconds since 1970 as RFC 3339 with six decimals: `2026-11-23T02:13:20.000000Z`.
///
/// The proleptic Gregorian calendar without leap seconds, as POSIX counts. A year outside 0 to 9999,
/// which RFC 3339 cannot write, gets its sign and as many digits as it needs.
pub fn rfc3339(utc_us: i64) -> String {
    let (secs, micros) = (utc_us.div_euclid(1_000_000), utc_us.rem_euclid(1_000_000));
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let year = if (0..=9999).contains(&year) {
        format!("{year:04}")
    } else {
        format!("{year:+}")
    };
    format!(
        "{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Counted in eras of 400 years (146,097 days) whose years begin in March, so that the leap day is
/// the last of a year and the months before it have the lengths 31, 30, 31, 30, 31 over and over.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // 1970-01-01 in days since 0000-03-01.
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153; // Five months have 153 days.
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(rfc3339(951_868_799_999_999), "2000-02-29T23:59:59.999999Z");
        assert_eq!(
            rfc3339(4_107_542_400_000_000),
            "2100-03-01T00:00:00.000000Z"
        );
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            rfc3339(1_795_400_000_000_000),
            "2026-11-23T02:13:20.000000Z"
        );
    }

    #[test]
    fn every_day_of_800_years_follows_the_day_before() {
        let length = |year: i64, month: i64| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = date(-146_097);
        for day in -146_097..146_097 {
            assert_eq!(date(day), expected);
            let (year, month, day) = expected;
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                _ if day == length(year, month) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
        assert_eq!(date(0), (1970, 1, 1));
    }

    #[test]
    fn no_number_of_microseconds_panics() {
        assert!(rfc3339(i64::MIN).starts_with("-290308-"));
        assert!(rfc3339(i64::MAX).starts_with("+294247-"));
    }
}
