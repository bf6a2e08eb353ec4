//! Times as options give them, and as people read them.

use std::time::Duration;

use okta_anypoint::clock::{Clock as _, SystemClock, rfc3339};

/// `90s`, `30m`, `12h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a time like 90s, 30m, 12h or 7d";
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => return Err(EXPECTED.to_owned()),
    };
    let number = &text[..text.len() - 1];
    let number: u32 = number.parse().map_err(|_| EXPECTED.to_owned())?;
    Ok(Duration::from_secs(u64::from(number) * unit))
}

/// The time that long ago, in milliseconds since the epoch.
pub fn that_long_ago(age: Duration) -> i64 {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    SystemClock.now_ms().saturating_sub(age)
}

/// How long ago a time is: `5s`, `12m`, `3h`, `9d`.
pub fn ago(at_ms: i64) -> String {
    let seconds = SystemClock.now_ms().saturating_sub(at_ms).max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A time without its milliseconds.
pub fn to_the_second(at_ms: i64) -> String {
    rfc3339(at_ms.div_euclid(1000) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "5", "h", "-1h", "1w", "1.5h", "1é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
