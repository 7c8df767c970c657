//! Values of flags: users and durations.

use crate::model::UserId;
use crate::terminal::failure::Failure;

pub fn parse_user(text: &str) -> Result<UserId, Failure> {
    UserId::new(text).map_err(|error| Failure::new(format!("the user id {text:?} {error}")).caused_by(error))
}

/// Parses a number with a unit; at least 1 ms.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("expected a number and ms, s, m, h or d, such as 90s or 1h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "the number before the unit is missing or too large".to_owned())?;
    number.checked_mul(unit_ms).filter(|&ms| ms > 0).ok_or_else(|| "the duration is 0 or too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let read = |text| parse_duration_ms(text).ok();
        assert_eq!(
            ["250ms", "90s", "5m", "1h", "7d"].map(read),
            [250, 90_000, 300_000, 3_600_000, 604_800_000].map(Some)
        );
        assert_eq!(
            ["", "1", "h", "1y", "-1h", "0s", "99999999999999999999h", "9999999999999999d"].map(read),
            [None; 8]
        );
    }
}
