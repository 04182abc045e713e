//! The text forms of protocol 0 that need more than copying: escaped strings.

use super::buf::NoMemory;
use super::utf8::Unit;

/// Appends `units`, the storage of a str, in raw-unicode-escape, as `_pickle` writes UNICODE.
///
/// Beside what the codec must escape (all above U+00FF, and the backslash), NUL, LF, CR and SUB
/// are: they would end the line, or the file where it is read as text (bpo-2876).
///
/// # Errors
/// [`NoMemory`]; nothing is then appended.
pub fn escape<U: Unit>(units: &[U], out: &mut Vec<u8>) -> Result<(), NoMemory> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let size = units.iter().try_fold(0_usize, |size, &unit| {
        let c: u32 = unit.into();
        size.checked_add(if is_plain(c) {
            1
        } else if c < 0x1_0000 {
            6
        } else {
            10
        })
    });
    out.try_reserve_exact(size.ok_or(NoMemory)?)
        .map_err(|_| NoMemory)?;
    for &unit in units {
        let c: u32 = unit.into();
        match u8::try_from(c) {
            Ok(byte) if is_plain(c) => out.push(byte),
            _ => {
                let (letter, top) = if c < 0x1_0000 { (b'u', 16) } else { (b'U', 32) };
                out.extend([b'\\', letter]);
                let digits = (0..top).step_by(4).rev();
                out.extend(digits.map(|shift| HEX[(c >> shift & 0xf) as usize]));
            }
        }
    }
    Ok(())
}

/// Whether a character stands for itself.
fn is_plain(c: u32) -> bool {
    c <= 0xff && ![0x5c, 0, 0x0a, 0x0d, 0x1a].contains(&c)
}
