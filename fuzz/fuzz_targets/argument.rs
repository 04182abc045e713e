//! The argument of every opcode, decoded from any bytes: what is decoded says what the bytes say, what is left is
//! the rest of them, and no length costs memory.
#![no_main]

mod allocation;

use libfuzzer_sys::fuzz_target;
use oxipickle::format::arg::{self, Error, Value};
use oxipickle::format::opcode::{Arg, Op};

fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

/// Size of the length in front of a payload.
fn width(arg: Arg) -> Option<usize> {
    match arg {
        Arg::String1 | Arg::Long1 | Arg::Bytes1 | Arg::Unicodestring1 => Some(1),
        Arg::String4 | Arg::Long4 | Arg::Bytes4 | Arg::Unicodestring4 => Some(4),
        Arg::Bytes8 | Arg::Bytearray8 | Arg::Unicodestring8 => Some(8),
        _ => None,
    }
}

fn check(arg: Arg, data: &[u8]) {
    let (decoded, reserved) = allocation::counted(|| arg::decode(arg, data));
    assert_eq!(reserved, 0);
    match decoded {
        Ok((value, rest)) => {
            let (used, tail) = data.split_at(data.len() - rest.len());
            assert_eq!(tail, rest);
            match value {
                Value::None => assert!(used.is_empty()),
                Value::Unsigned(n) => assert_eq!(n, number(used)),
                Value::Signed(n) => assert_eq!(n.to_le_bytes(), used),
                Value::Float(n) => assert_eq!(n.to_bits().to_be_bytes(), used),
                Value::Line(line) => assert_eq!([line, b"\n"].concat(), used),
                Value::Lines(a, b) => assert_eq!([a, b"\n", b, b"\n"].concat(), used),
                Value::Counted(payload) => {
                    let width = width(arg).unwrap();
                    assert_eq!(payload, &used[width..]);
                    assert_eq!(number(&used[..width]), payload.len() as u64);
                }
            }
        }
        Err(Error::Truncated) => {
            if let Some(width) = width(arg)
                && data.len() >= width
            {
                assert!(number(&data[..width]) > (data.len() - width) as u64);
            }
        }
        Err(Error::BadLength) => {
            let width = width(arg).unwrap();
            assert!(data[width - 1] >= 0x80);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    for op in Op::ALL {
        check(op.info().arg, data);
    }
});
