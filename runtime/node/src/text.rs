//! Moments as people and other programs read them.

/// Milliseconds since 1970 as RFC 3339 in UTC: `2026-11-20T19:33:32.955Z`.
///
/// The date is computed as in Howard Hinnant's "chrono-compatible low-level date algorithms", from
/// days counted in eras of 400 years that begin in March.
pub(crate) fn rfc3339(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    let from_march = days + 719_468;
    let (era, of_era) = (from_march / 146_097, from_march % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The other way round, for queries: to the second or the millisecond, in UTC. None: it is no such
/// moment.
pub(crate) fn parse_rfc3339(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
        if all_digits { digits.parse::<u64>().ok() } else { None }
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let milli = match text.get(19..)? {
        "Z" => 0,
        rest if rest.len() == 5 && rest.starts_with('.') && rest.ends_with('Z') => number(20..23)?,
        _ => return None,
    };
    if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let from_march = (month + 9) % 12;
    let year_from_march = year - u64::from(month <= 2);
    let era_days =
        365 * year_from_march + year_from_march / 4 - year_from_march / 100 + year_from_march / 400;
    let days =
        (era_days + (153 * from_march + 2) / 5 + day.checked_sub(1)?).checked_sub(719_468)?;
    let ms = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + milli;
    // Days such as the 31st of June, and other separators, do not come back as they were.
    let back = rfc3339(ms);
    let whole = if text.len() == 20 { back.replace(".000Z", "Z") } else { back };
    (whole == text).then_some(ms)
}

/// A duration in the largest unit that it is a whole number of: `500ms`, `90s`, `10m`, `1h`.
pub(crate) fn duration(ms: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let whole = units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None if ms == 0 => "0s".to_owned(),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_203_212_955, "2026-11-20T19:33:32.955Z"),
            (7_258_118_399_999, "2199-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
            assert_eq!(parse_rfc3339(text), Some(ms));
        }
        assert_eq!(parse_rfc3339("2026-11-20T19:33:32Z"), Some(1_795_203_212_000));
        for bad in [
            "",
            "2026-11-20",
            "2026-02-30T00:00:00Z",
            "2026-11-20 19:33:32Z",
            "2026-13-01T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T19:33:32+01:00",
            "1969-12-31T23:59:59Z",
            "2026-11-20T19:33:32.9Z",
            "é026-11-20T19:33:32Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        let shown = [0, 1, 1000, 1500, 90_000, 600_000, 7_200_000].map(duration);
        assert_eq!(shown, ["0s", "1ms", "1s", "1500ms", "90s", "10m", "2h"]);
    }
}
