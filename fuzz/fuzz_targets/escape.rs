//! raw-unicode-escape gives any text back, on one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxipickle::format::text;

fuzz_target!(|units: Vec<u32>| {
    let units: Vec<u32> = units.into_iter().map(|unit| unit % 0x11_0000).collect();
    let mut line = Vec::new();
    text::escape(&units, &mut line);
    assert!(
        !line
            .iter()
            .any(|byte| matches!(byte, b'\0' | b'\n' | b'\r' | 0x1a))
    );

    let mut back = Vec::new();
    let mut rest = &line[..];
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
    assert_eq!(back, units);
});
