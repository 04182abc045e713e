//! The text forms of protocol 0 that need more than copying: escaped strings.

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
