//! Times as options give them.

use std::time::Duration;

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
