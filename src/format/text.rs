//! The text forms of protocol 0: escaped strings, Python 2 string literals, decimal numbers.
//!
//! What is not in the plain form that picklers write is left to the interpreter, which knows all
//! forms and words the errors.

use super::utf8::Unit;

/// Appends `units`, the storage of a str, in raw-unicode-escape, as `_pickle` writes UNICODE.
///
/// Beside what the codec must escape (all above U+00FF, and the backslash), NUL, LF, CR and SUB
/// are: they would end the line, or the file where it is read as text (bpo-2876).
pub fn escape<U: Unit>(units: &[U], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(units.len());
    for &unit in units {
        let c: u32 = unit.into();
        match u8::try_from(c) {
            Ok(byte) if !matches!(byte, b'\\' | b'\0' | b'\n' | b'\r' | 0x1a) => out.push(byte),
            _ => {
                let (letter, top) = if c < 0x1_0000 { (b'u', 16) } else { (b'U', 32) };
                out.extend([b'\\', letter]);
                let digits = (0..top).step_by(4).rev();
                out.extend(digits.map(|shift| HEX[(c >> shift & 0xf) as usize]));
            }
        }
    }
}

/// The inside of a Python 2 string literal, the argument of STRING; None if it is not quoted.
///
/// Escapes are still in it.
pub fn unquote(line: &[u8]) -> Option<&[u8]> {
    match line {
        [quote @ (b'\'' | b'"'), inside @ .., end] if quote == end => Some(inside),
        _ => None,
    }
}

/// A decimal number in its only form without superfluous characters, if it is one and fits.
///
/// That form has the same value in every base detection that any version applies to INT, LONG, GET
/// and PUT.
#[inline]
pub fn decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // 18 digits cannot overflow.
    if digits.is_empty() || digits.len() > 18 || (digits[0] == b'0' && text.len() > 1) {
        return None;
    }
    let mut value = 0_i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}
