//! Numbers as people write them on a command line.

use std::time::Duration;

use jiff::SignedDuration;
use warden::wire::PriorityName;

/// A day, the longest that the API waits for anything.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// `120s`, `2m30s`, `500ms`; a bare number has no unit and is refused.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = match text.trim() {
        "0" => SignedDuration::ZERO,
        text => text
            .parse()
            .map_err(|_| "write a number with its unit, as in 120s, 2m or 500ms".to_owned())?,
    };
    let duration = Duration::try_from(parsed).map_err(|_| "it is negative".to_owned())?;
    if duration > MOST {
        return Err("24h is the most".to_owned());
    }
    Ok(duration)
}

/// As [`duration`], and above zero.
pub fn period(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be more than nothing".to_owned()),
        period => Ok(period),
    }
}

/// Seconds as a number, or as [`period`].
pub fn interval(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => match Duration::try_from_secs_f64(seconds) {
            Ok(interval) if !interval.is_zero() && interval <= MOST => Ok(interval),
            _ => Err("it must be more than nothing, and 24h at most".to_owned()),
        },
        Err(_) => period(text),
    }
}

/// Memory in MiB from `8GiB`, `512MiB`, `24GB`: a unit is needed, and what is no whole MiB is
/// rounded up.
pub fn memory_mib(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("b", 1),
    ];
    let how = || "write a number with its unit, as in 8GiB or 512MiB".to_owned();
    let text = text.trim().to_ascii_lowercase();
    let (number, bytes) = UNITS
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)))
        .ok_or_else(how)?;
    let number: f64 = number.trim().parse().map_err(|_| how())?;
    let mib = (number * bytes as f64 / (1_u64 << 20) as f64).ceil();
    if !(1.0..=1e12).contains(&mib) {
        return Err("it must be at least 1 MiB, and of this world".to_owned());
    }
    // In range by the line above.
    Ok(mib as u64)
}

/// 0–255, or a name that the broker's policy may know.
pub fn priority(text: &str) -> Result<PriorityName, String> {
    if let Ok(number) = text.parse::<i64>() {
        return match number {
            0..=255 => Ok(PriorityName::Number(number)),
            _ => Err("0 to 255 is the range".to_owned()),
        };
    }
    let is_name = text.starts_with(|first: char| first.is_ascii_alphabetic());
    match is_name {
        true => Ok(PriorityName::Name(text.to_owned())),
        false => Err("write mic, console, default, dreamer or a number from 0 to 255".to_owned()),
    }
}

/// Milliseconds, as the API counts.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time span for people: `850 ms`, `42 s`, `3 min 05 s`, `2 h 10 min`.
pub fn spoken(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_wants_a_unit_and_rounds_up() {
        assert_eq!(memory_mib("8GiB"), Ok(8192));
        assert_eq!(memory_mib("1.5 gib"), Ok(1536));
        assert_eq!(memory_mib("1MB"), Ok(1));
        assert_eq!(memory_mib("2097153b"), Ok(3));
        for bad in [
            "8", "0GiB", "-1GiB", "GiB", "nanGiB", "infGiB", "1e30TiB", "",
        ] {
            assert!(memory_mib(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_want_a_unit_but_for_zero() {
        assert_eq!(duration("120s"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("2m30s"), Ok(Duration::from_secs(150)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["120", "-1s", "25h", "soon", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(period("0s").is_err());
        assert!(interval("nan").is_err() && interval("-1").is_err());
    }

    #[test]
    fn priorities_are_in_range_or_names() {
        assert_eq!(priority("255"), Ok(PriorityName::Number(255)));
        assert_eq!(priority("mic"), Ok(PriorityName::Name("mic".to_owned())));
        for bad in ["256", "-1", "", "+", "1.5"] {
            assert!(priority(bad).is_err(), "{bad}");
        }
    }
}
