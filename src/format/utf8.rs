//! UTF-8 from the storage forms of a str, lone surrogates included (`surrogatepass`).
//!
//! Sizes are counted first, so that a length can be written in front and memory is reserved
//! once. A pair of surrogates in two-byte storage stays two three-byte sequences, as CPython has it.

/// A storage unit of a str.
pub trait Unit: Copy + Into<u32> {}
impl Unit for u8 {}
impl Unit for u16 {}
impl Unit for u32 {}

/// Bytes of the UTF-8 form of `units`.
#[inline]
pub fn size<U: Unit>(units: &[U]) -> usize {
    let extra: usize = units
        .iter()
        .map(|&unit| {
            let c: u32 = unit.into();
            usize::from(c >= 0x80) + usize::from(c >= 0x800) + usize::from(c >= 0x1_0000)
        })
        .sum();
    units.len() + extra
}

/// Writes the UTF-8 form of `units` to the front of `out` and returns its size.
///
/// # Panics
/// If `out` is shorter than [`size`] says.
#[inline]
pub fn encode<U: Unit>(units: &[U], out: &mut [u8]) -> usize {
    let mut n = 0;
    for &unit in units {
        let c: u32 = unit.into();
        let tail = |shift: u32| 0x80 | (c >> shift) as u8 & 0x3f;
        if c < 0x80 {
            out[n] = c as u8;
            n += 1;
        } else if c < 0x800 {
            out[n..n + 2].copy_from_slice(&[0xc0 | (c >> 6) as u8, tail(0)]);
            n += 2;
        } else if c < 0x1_0000 {
            out[n..n + 3].copy_from_slice(&[0xe0 | (c >> 12) as u8, tail(6), tail(0)]);
            n += 3;
        } else {
            out[n..n + 4].copy_from_slice(&[0xf0 | (c >> 18) as u8, tail(12), tail(6), tail(0)]);
            n += 4;
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        let text: String = (0..0x11_0000)
            .step_by(37)
            .filter_map(char::from_u32)
            .collect();
        let units: Vec<u32> = text.chars().map(u32::from).collect();
        let mut out = vec![0; size(&units)];
        assert_eq!(encode(&units, &mut out), text.len());
        assert_eq!(out, text.as_bytes());
    }

    #[test]
    fn lone_surrogates_pass() {
        let mut out = [0; 3];
        assert_eq!(size(&[0xd800_u16]), 3);
        assert_eq!(encode(&[0xd800_u16], &mut out), 3);
        assert_eq!(out, [0xed, 0xa0, 0x80]);
    }
}
