//! Milliseconds since 1970 as a date.

const MS_PER_DAY: u64 = 86_400_000;
/// The Gregorian calendar repeats after 400 years of so many days.
const DAYS_PER_ERA: u64 = 146_097;
/// From 1 March of the year 0 to 1 January 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

/// RFC 3339 in UTC with milliseconds: `2026-11-20T19:33:32.955Z`. The date is Howard Hinnant's
/// `civil_from_days` ("chrono-Compatible Low-Level Date Algorithms"), which is exact: the year is
/// counted from March, so that the leap day is its last.
pub(super) fn rfc3339(millis: u64) -> String {
    let (days, ms) = (millis / MS_PER_DAY, millis % MS_PER_DAY);
    let shifted = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (shifted / DAYS_PER_ERA, shifted % DAYS_PER_ERA);
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let mut date = String::with_capacity(24);
    for (number, digits, behind) in [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (hour, 2, ':'),
        (minute, 2, ':'),
        (second, 2, '.'),
        (ms % 1_000, 3, 'Z'),
    ] {
        push_digits(&mut date, number, digits);
        date.push(behind);
    }
    date
}

/// At least so many digits. Each record has such a date, and formatting takes longer than all else
/// of it.
fn push_digits(text: &mut String, number: u64, digits: usize) {
    if number >= 10 || digits > 1 {
        push_digits(text, number / 10, digits.saturating_sub(1));
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::Hlc;

    #[test]
    fn known_dates() {
        for (millis, date) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_795_203_212_955, "2026-11-20T19:33:32.955Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (Hlc::MAX.millis(), "2199-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(millis), date);
        }
    }

    /// Counts the days one by one, with the rule for leap years as everyone knows it.
    #[test]
    fn every_day_until_2200() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=Hlc::MAX.millis() / MS_PER_DAY {
            let date = format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z");
            assert_eq!(rfc3339(days * MS_PER_DAY), date);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2200, 1, 1));
    }
}
