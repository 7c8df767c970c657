//! Writes JSON: members, numbers, strings and arrays, appended to a buffer.
//!
//! Inlined: most names are known at compile time, and short stores replace copies.

use crate::wire::json::scan::plain_bytes;

#[inline]
pub(in crate::wire) fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Appends a further member's name; the caller appends its value next.
#[inline]
pub(in crate::wire) fn name(out: &mut Vec<u8>, name: &str) {
    text(out, ",\"");
    text(out, name);
    text(out, "\":");
}

/// Appends a further member with a number.
#[inline]
pub(in crate::wire) fn member(out: &mut Vec<u8>, called: &str, value: u64) {
    name(out, called);
    decimal(out, value);
}

/// Appends a further member with a string.
#[inline]
pub(in crate::wire) fn text_member(out: &mut Vec<u8>, called: &str, value: &str) {
    name(out, called);
    string(out, value);
}

/// Appends a further member with a boolean.
pub(in crate::wire) fn flag_member(out: &mut Vec<u8>, called: &str, value: bool) {
    name(out, called);
    text(out, if value { "true" } else { "false" });
}

/// Appends an array; `write` appends each element.
pub(in crate::wire) fn array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

pub(in crate::wire) fn signed(out: &mut Vec<u8>, value: i64) {
    text(out, if value < 0 { "-" } else { "" });
    decimal(out, value.unsigned_abs());
}

pub(in crate::wire) fn decimal(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(Digits::of(value).as_bytes());
}

/// The digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// A number in decimal digits.
pub(in crate::wire) struct Digits {
    digits: [u8; 20],
    start: usize,
}

impl Digits {
    /// Two at a time.
    pub fn of(mut value: u64) -> Self {
        let mut digits = [0_u8; 20];
        let mut start = digits.len();
        while value >= 10 {
            start -= 2;
            [digits[start], digits[start + 1]] = PAIRS[(value % 100) as usize];
            value /= 100;
        }
        // One is left over; or it is 0.
        if value > 0 || start == digits.len() {
            start -= 1;
            digits[start] = b'0' + value as u8;
        }
        Self { digits, start }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// Appends a number as a string, because some clients' numbers are doubles.
pub(in crate::wire) fn quoted_decimal(out: &mut Vec<u8>, value: u64) {
    out.push(b'"');
    decimal(out, value);
    out.push(b'"');
}

/// Appends a JSON string, with the escapes that JSON requires.
pub(in crate::wire) fn string(out: &mut Vec<u8>, value: &str) {
    const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = value.as_bytes();
    loop {
        let (plain, marked) = rest.split_at(plain_bytes(rest));
        out.extend_from_slice(plain);
        let Some((byte, behind)) = marked.split_first() else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEXADECIMAL[usize::from(byte >> 4)], HEXADECIMAL[usize::from(byte & 15)]]);
            }
        }
        rest = behind;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::Digits;

    #[test]
    fn a_number_has_the_digits_that_anybody_would_give_it() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let near = powers.flat_map(|power| [power - 1, power, power + 1, power.wrapping_mul(7)]);
        for number in near.chain(0..1_100).chain([u64::MAX]) {
            assert_eq!(Digits::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
