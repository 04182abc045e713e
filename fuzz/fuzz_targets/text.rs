//! Text in each of a str's storage forms: raw-unicode-escape gives it back from one line, and UTF-8 gives it
//! back as well, lone surrogates included. Both reserve no more than a small multiple of it.
#![no_main]

mod allocation;

use libfuzzer_sys::fuzz_target;
use oxipickle::format::text;
use oxipickle::format::utf8::{self, Unit};

fn unescape(line: &[u8]) -> Vec<u32> {
    let mut back = Vec::new();
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'\\' {
            back.push(u32::from(byte));
            rest = after;
            continue;
        }
        let digits = if after[0] == b'u' { 4 } else { 8 };
        let number = std::str::from_utf8(&after[1..=digits]).unwrap();
        back.push(u32::from_str_radix(number, 16).unwrap());
        rest = &after[digits + 1..];
    }
    back
}

fn decode(bytes: &[u8]) -> Vec<u32> {
    let mut back = Vec::new();
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let (size, bits) = match first {
            0..0x80 => (0, u32::from(first)),
            0xc0..0xe0 => (1, u32::from(first & 0x1f)),
            0xe0..0xf0 => (2, u32::from(first & 0x0f)),
            _ => (3, u32::from(first & 0x07)),
        };
        let (tail, after) = after.split_at(size);
        back.push(tail.iter().fold(bits, |c, &byte| {
            assert_eq!(byte & 0xc0, 0x80);
            c << 6 | u32::from(byte & 0x3f)
        }));
        rest = after;
    }
    back
}

fn check<U: Unit>(units: &[U]) {
    let wide: Vec<u32> = units.iter().map(|&unit| unit.into()).collect();

    let (line, reserved) = allocation::counted(|| {
        let mut line = Vec::new();
        text::escape(units, &mut line).unwrap();
        line
    });
    // Ten bytes for one unit at most; the vector doubles.
    assert!(line.len() <= 10 * units.len() && reserved <= 41 * units.len() + 64);
    let ends = |byte: &u8| matches!(byte, b'\0' | b'\n' | b'\r' | 0x1a);
    assert!(!line.iter().any(ends));
    assert_eq!(unescape(&line), wide);

    let size = utf8::size(units);
    let mut out = vec![0; size];
    let (n, reserved) = allocation::counted(|| utf8::encode(units, &mut out));
    assert_eq!((n, reserved), (size, 0));
    assert_eq!(decode(&out), wide);
    if let Some(text) = wide.iter().copied().map(char::from_u32).collect::<Option<String>>() {
        assert_eq!(text.as_bytes(), out);
    }
}

fuzz_target!(|units: Vec<u32>| {
    let wide: Vec<u32> = units.iter().map(|unit| unit % 0x11_0000).collect();
    check(&wide);
    check(&units.iter().map(|&unit| unit as u16).collect::<Vec<_>>());
    check(&units.iter().map(|&unit| unit as u8).collect::<Vec<_>>());
});
