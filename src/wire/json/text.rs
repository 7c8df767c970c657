//! Writes JSON: members, numbers, strings and arrays, appended to a buffer.
//!
//! Inlined: most names are known at compile time, and short stores replace copies.

use crate::wire::json::plain_bytes::plain_bytes;

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

#[inline]
pub(in crate::wire) fn decimal(out: &mut Vec<u8>, value: u64) {
    // Many are codes and kinds.
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    long_decimal(out, value);
}

/// Appends a number of more than one digit: words of a fixed length, since those are stores and no copies.
fn long_decimal(out: &mut Vec<u8>, value: u64) {
    let (high, low) = (value / EIGHT_DIGITS, (value % EIGHT_DIGITS) as u32);
    if high == 0 {
        return first_digits(out, low);
    }
    let (highest, middle) = (high / EIGHT_DIGITS, (high % EIGHT_DIGITS) as u32);
    if highest == 0 {
        first_digits(out, middle);
    } else {
        first_digits(out, highest as u32);
        out.extend_from_slice(&eight_digits(middle));
    }
    out.extend_from_slice(&eight_digits(low));
}

/// Appends a number other than 0 and below `EIGHT_DIGITS`.
#[inline]
fn first_digits(out: &mut Vec<u8>, number: u32) {
    let digits = u64::from_le_bytes(eight_digits(number));
    let zeros = (digits ^ u64::from_le_bytes([b'0'; 8])).trailing_zeros() / 8;
    out.extend_from_slice(&(digits >> (8 * zeros)).to_le_bytes());
    out.truncate(out.len() - zeros as usize);
}

/// A number in decimal digits.
pub(in crate::wire) struct Digits {
    digits: [u8; Self::BYTES],
    start: usize,
}

/// As many numbers as there are of eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

impl Digits {
    /// Three times eight; the largest number has 20.
    const BYTES: usize = 24;

    /// Eight at a time.
    pub fn of(value: u64) -> Self {
        let mut digits = [b'0'; Self::BYTES];
        let mut rest = value;
        for eight in digits.as_rchunks_mut::<8>().1.iter_mut().rev() {
            *eight = eight_digits((rest % EIGHT_DIGITS) as u32);
            rest /= EIGHT_DIGITS;
            if rest == 0 {
                break;
            }
        }
        let (words, _) = digits.as_chunks::<8>();
        let zeros =
            |word: [u8; 8]| (u64::from_le_bytes(word) ^ u64::from_le_bytes([b'0'; 8])).trailing_zeros() as usize / 8;
        let mut start = 0;
        for word in words {
            start += zeros(*word);
            if zeros(*word) < 8 {
                break;
            }
        }
        // 0 has a digit too.
        Self { digits, start: start.min(Self::BYTES - 1) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// The eight digits of a number below `EIGHT_DIGITS`, with leading zeros. Halves, then quarters, then single digits are
/// divided in parallel within one word.
fn eight_digits(number: u32) -> [u8; 8] {
    let (high, low) = (u64::from(number / 10_000), u64::from(number % 10_000));
    let fours = high | (low << 32);
    // By 100: exact below 10,000.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    // By 10: exact below 100.
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | ((twos - tens * 10) << 8);
    (ones + u64::from_le_bytes([b'0'; 8])).to_le_bytes()
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
    use super::{Digits, decimal};

    #[test]
    fn a_number_has_the_digits_that_anybody_would_give_it() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let near = powers.flat_map(|power| [power - 1, power, power + 1, power.wrapping_mul(7)]);
        for number in near.chain(0..1_100).chain([u64::MAX]) {
            let mut appended = Vec::new();
            decimal(&mut appended, number);
            assert_eq!(appended, number.to_string().as_bytes());
            assert_eq!(Digits::of(number).as_bytes(), appended);
        }
    }
}
