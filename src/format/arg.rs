//! Decodes the argument of one opcode from bytes in memory.

use super::opcode::Arg;

/// An argument as it stands in the pickle: numbers decoded, text and payloads untouched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// There is no argument.
    None,
    /// A fixed-size int without a sign.
    Unsigned(u64),
    /// A fixed-size int with a sign.
    Signed(i32),
    /// A fixed-size float.
    Float(f64),
    /// A line, without its newline.
    Line(&'a [u8]),
    /// Two lines, without their newlines.
    Lines(&'a [u8], &'a [u8]),
    /// What a length stood in front of.
    Counted(&'a [u8]),
}

/// Why there is no argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The data ends before the argument does.
    Truncated,
    /// A length is negative, or larger than memory can be.
    BadLength,
}

/// Decodes the argument at the start of `data`, and returns what is left after it.
///
/// # Errors
/// See [`Error`]. A length is compared with the data that is there before anything else happens, so
/// that no length can cost memory.
pub fn decode(arg: Arg, data: &[u8]) -> Result<(Value<'_>, &[u8]), Error> {
    match arg {
        Arg::None => Ok((Value::None, data)),
        Arg::Uint1 | Arg::Uint2 | Arg::Uint4 | Arg::Uint8 => {
            let size = match arg {
                Arg::Uint1 => 1,
                Arg::Uint2 => 2,
                Arg::Uint4 => 4,
                _ => 8,
            };
            let (number, rest) = unsigned(data, size)?;
            Ok((Value::Unsigned(number), rest))
        }
        Arg::Int4 => {
            let (bytes, rest) = fixed(data)?;
            Ok((Value::Signed(i32::from_le_bytes(bytes)), rest))
        }
        Arg::Float8 => {
            let (bytes, rest) = fixed(data)?;
            Ok((Value::Float(f64::from_be_bytes(bytes)), rest))
        }
        Arg::DecimalnlShort
        | Arg::DecimalnlLong
        | Arg::Floatnl
        | Arg::Stringnl
        | Arg::StringnlNoescape
        | Arg::Unicodestringnl => {
            let (text, rest) = line(data)?;
            Ok((Value::Line(text), rest))
        }
        Arg::StringnlNoescapePair => {
            let (first, rest) = line(data)?;
            let (second, rest) = line(rest)?;
            Ok((Value::Lines(first, second), rest))
        }
        Arg::String1 | Arg::Long1 | Arg::Bytes1 | Arg::Unicodestring1 => counted(data, 1),
        Arg::Bytes4 | Arg::Unicodestring4 => counted(data, 4),
        Arg::Bytes8 | Arg::Bytearray8 | Arg::Unicodestring8 => counted(data, 8),
        Arg::String4 | Arg::Long4 => {
            let (bytes, _) = fixed(data)?;
            if i32::from_le_bytes(bytes) < 0 {
                return Err(Error::BadLength);
            }
            counted(data, 4)
        }
    }
}

fn fixed<const N: usize>(data: &[u8]) -> Result<([u8; N], &[u8]), Error> {
    let (bytes, rest) = data.split_first_chunk().ok_or(Error::Truncated)?;
    Ok((*bytes, rest))
}

fn unsigned(data: &[u8], size: usize) -> Result<(u64, &[u8]), Error> {
    let (bytes, rest) = data.split_at_checked(size).ok_or(Error::Truncated)?;
    let number = bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte));
    Ok((number, rest))
}

fn line(data: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let end = data
        .iter()
        .position(|&byte| byte == b'\n')
        .ok_or(Error::Truncated)?;
    Ok((&data[..end], &data[end + 1..]))
}

fn counted(data: &[u8], size: usize) -> Result<(Value<'_>, &[u8]), Error> {
    let (count, rest) = unsigned(data, size)?;
    if count > i64::MAX as u64 {
        return Err(Error::BadLength);
    }
    let count = usize::try_from(count).map_err(|_| Error::BadLength)?;
    let (payload, rest) = rest.split_at_checked(count).ok_or(Error::Truncated)?;
    Ok((Value::Counted(payload), rest))
}
