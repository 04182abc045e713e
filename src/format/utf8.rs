//! UTF-8 from the storage forms of a str, lone surrogates included (`surrogatepass`).
//!
//! Sizes are counted first, so that a length can be written in front and memory is reserved
//! once. A pair of surrogates in two-byte storage stays two three-byte sequences, as CPython has it.

use super::buf::{Form, Run};

/// A storage unit of a str.
pub trait Unit: Copy + Into<u32> {}
impl Unit for u8 {}
impl Unit for u16 {}
impl Unit for u32 {}

/// Units whose extra bytes, three at most for each, are counted in a byte: compilers make vectors of that, and the
/// count of Latin-1 takes an eighth of the instructions.
const COUNTED: usize = 64;

/// Bytes of the UTF-8 form of `units`.
#[inline]
pub fn size<U: Unit>(units: &[U]) -> usize {
    let extra = |units: &[U]| -> u8 {
        let more = |&unit: &U| {
            let c: u32 = unit.into();
            u8::from(c >= 0x80) + u8::from(c >= 0x800) + u8::from(c >= 0x1_0000)
        };
        units.iter().map(more).sum()
    };
    let extra: usize = units
        .chunks(COUNTED)
        .map(|part| usize::from(extra(part)))
        .sum();
    units.len() + extra
}

/// Writes the UTF-8 form of `units`, for which there is room ([`size`]).
///
/// # Panics
/// If there is none.
#[inline]
pub fn encode<U: Unit>(units: &[U], out: &mut Run<'_>) {
    const PART: usize = 4;
    let plain = |part: &[U; PART]| {
        let all = part.iter().fold(0, |all, &unit| all | unit.into());
        (all < 0x80).then(|| part.map(|unit| unit.into() as u8))
    };
    for &unit in out.put_parts(units, plain, form) {
        out.put_slice(form(unit).bytes());
    }
}

#[inline(always)]
fn form<U: Unit>(unit: U) -> Form {
    let c: u32 = unit.into();
    let tail = |shift: u32| 0x80 | (c >> shift) as u8 & 0x3f;
    if c < 0x80 {
        Form::One([c as u8])
    } else if c < 0x800 {
        Form::Two([0xc0 | (c >> 6) as u8, tail(0)])
    } else if c < 0x1_0000 {
        Form::Three([0xe0 | (c >> 12) as u8, tail(6), tail(0)])
    } else {
        Form::Four([0xf0 | (c >> 18) as u8, tail(12), tail(6), tail(0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::buf::Buf;

    fn encoded<U: Unit>(units: &[U]) -> Vec<u8> {
        let size = size(units);
        let mut out = Buf::new(Vec::new());
        out.make_room(size).unwrap();
        out.put_with(size, |out| encode(units, out));
        assert_eq!(out.len(), size);
        out.bytes().to_vec()
    }

    #[test]
    fn agrees_with_the_standard_library() {
        let text: String = (0..0x11_0000)
            .step_by(37)
            .filter_map(char::from_u32)
            .collect();
        let units: Vec<u32> = text.chars().map(u32::from).collect();
        assert_eq!(encoded(&units), text.as_bytes());
        // At every place in a part, and as the last.
        for from in 0..5 {
            for upto in from..12 {
                let part = &units[from..upto];
                let text: String = part.iter().filter_map(|&c| char::from_u32(c)).collect();
                assert_eq!(encoded(part), text.as_bytes());
            }
        }
    }

    #[test]
    fn latin1_of_every_length_agrees() {
        let units: Vec<u8> = (0..=255).chain(0..=255).collect();
        // Miri takes a thousand times as long.
        for upto in (0..units.len()).step_by(if cfg!(miri) { 61 } else { 1 }) {
            let text: String = units[..upto].iter().map(|&unit| char::from(unit)).collect();
            assert_eq!(encoded(&units[..upto]), text.as_bytes());
        }
    }

    #[test]
    fn lone_surrogates_pass() {
        assert_eq!(encoded(&[0xd800_u16]), [0xed, 0xa0, 0x80]);
    }
}
