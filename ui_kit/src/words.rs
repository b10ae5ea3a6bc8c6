//! Figures as people read them. Every duration has a fixed number of figures for its size, so that
//! text beside a ticking one stays where it is.

use warden_view::Clock;

/// A duration in two units at most: `38 s`, `1 m 42 s`, `2 h 07 m`, `3 d 04 h`. Below zero it is
/// zero.
pub fn span(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} m {:02} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {:02} m", s / 3_600, s / 60 % 60),
        _ => format!("{} d {:02} h", s / 86_400, s / 3_600 % 24),
    }
}

/// The same, and never fewer than two units, for a column: `0 m 04 s`.
pub fn span_in_column(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    if s < 60 {
        format!("0 m {s:02} s")
    } else {
        span(ms)
    }
}

/// The same in its larger unit alone: `6 m`.
pub fn span_short(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} m", s / 60),
        3_600..86_400 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

/// A whole number, with a thousands separator from five digits on: `1024`, `10,482`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// MiB as GiB: `24`, `17.2`.
pub fn gib(mib: u64) -> String {
    let tenths = (mib * 10 + 512) / 1024;
    if tenths.is_multiple_of(10) {
        number(tenths / 10)
    } else {
        format!("{}.{}", number(tenths / 10), tenths % 10)
    }
}

/// An id, shortened in the middle: `dream-7f3a…c41e`.
pub fn id(id: &str) -> String {
    const HEAD: usize = 10;
    const TAIL: usize = 4;
    let count = id.chars().count();
    if count <= HEAD + TAIL + 1 {
        return id.to_owned();
    }
    let head: String = id.chars().take(HEAD).collect();
    let tail: String = id.chars().skip(count - TAIL).collect();
    format!("{head}…{tail}")
}

/// A GPU's designation: `GPU-00`.
pub fn gpu(index: u32) -> String {
    format!("GPU-{index:02}")
}

/// The local date and time with its zone: `2026-11-21 14:02:11 +01:00 Europe/Berlin`.
pub fn instant(ms: i64, clock: &Clock) -> String {
    let days = (ms.div_euclid(1000) + i64::from(clock.utc_offset_s)).div_euclid(86_400);
    let (year, month, day) = civil(days);
    let sign = if clock.utc_offset_s < 0 { '-' } else { '+' };
    let offset = clock.utc_offset_s.unsigned_abs() / 60;
    let time = clock.time(ms);
    let zone = match &*clock.zone {
        "" => String::new(),
        zone => format!(" {zone}"),
    };
    format!(
        "{year:04}-{month:02}-{day:02} {time} {sign}{:02}:{:02}{zone}",
        offset / 60,
        offset % 60
    )
}

/// The date of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A sentence as it is spoken: without the marks that set code apart.
pub fn spoken(sentence: &str) -> String {
    sentence.replace('`', "")
}

/// `1 waiter`, `7 waiters`.
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(n as u64), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_two_units_at_most() {
        let cases = [
            (-5, "0 s", "0 m 00 s"),
            (999, "0 s", "0 m 00 s"),
            (59_999, "59 s", "0 m 59 s"),
            (60_000, "1 m 00 s", "1 m 00 s"),
            (7_620_000, "2 h 07 m", "2 h 07 m"),
            (273_600_000, "3 d 04 h", "3 d 04 h"),
        ];
        for (ms, plain, column) in cases {
            assert_eq!(span(ms), plain);
            assert_eq!(span_in_column(ms), column);
        }
    }

    #[test]
    fn separators_come_from_five_digits_on() {
        let cases = [
            (0, "0"),
            (9_999, "9999"),
            (10_482, "10,482"),
            (1_234_567, "1,234,567"),
        ];
        for (n, text) in cases {
            assert_eq!(number(n), text);
        }
        assert_eq!(gib(24_576), "24");
        assert_eq!(gib(17_613), "17.2");
    }

    #[test]
    fn ids_lose_their_middle() {
        assert_eq!(id("dream-7f3a09b1c41e"), "dream-7f3a…c41e");
        assert_eq!(id("short-enough-1"), "short-enough-1");
        assert_eq!(id("ünïcödé-ünïcödé-ünïcödé"), "ünïcödé-ün…cödé");
    }

    #[test]
    fn instants_are_local() {
        let clock = |utc_offset_s, zone: &str| Clock {
            now_ms: 0,
            utc_offset_s,
            zone: zone.into(),
        };
        let instant = |ms, utc_offset_s, zone| instant(ms, &clock(utc_offset_s, zone));
        assert_eq!(instant(0, 0, "UTC"), "1970-01-01 00:00:00 +00:00 UTC");
        assert_eq!(
            instant(1_709_164_799_000, 3_600, "Europe/Berlin"),
            "2024-02-29 00:59:59 +01:00 Europe/Berlin"
        );
        assert_eq!(instant(-1_000, -19_800, ""), "1969-12-31 18:29:59 -05:30");
    }
}
