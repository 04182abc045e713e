//! Layer 0, the byte format, without Python: the opcode table, arguments, text forms, the scanner.
//!
//! Runs with `--no-default-features`, and under Miri, for which the loops are short.

use oxipickle::format::arg::{self, Value};
use oxipickle::format::opcode::{Arg, Op, Slot, op};
use oxipickle::format::scan::{Error, ErrorKind, Scan};
use oxipickle::format::text;

// --- the table ----------------------------------------------------------------------------

#[test]
fn every_byte_is_one_opcode_or_none() {
    for byte in 0..=u8::MAX {
        let named: Vec<Op> = Op::ALL
            .iter()
            .copied()
            .filter(|&op| op as u8 == byte)
            .collect();
        assert!(named.len() < 2, "{byte:#04x}: {named:?}");
        assert_eq!(Op::decode(byte), named.first().copied(), "{byte:#04x}");
    }
}

#[test]
fn the_lines_of_the_table_are_told_apart() {
    assert_eq!(Op::ALL.len(), 68);
    for &op in Op::ALL {
        let info = op.info();
        assert_eq!(info.op, op);
        assert_eq!(info.name, op.name());
        assert!(info.protocol <= 5, "{}", info.name);
        // Protocol 2 and later put all of theirs above ASCII, but for BINBYTES and SHORT_BINBYTES.
        assert_eq!(
            op as u8 >= 0x80,
            info.protocol >= 2 && info.protocol != 3,
            "{}",
            info.name
        );
        // What stands above a mark is taken with it.
        let marks = info
            .before
            .iter()
            .filter(|&&slot| slot == Slot::Mark)
            .count();
        let slices = info
            .before
            .iter()
            .filter(|&&slot| slot == Slot::Stackslice)
            .count();
        assert_eq!(marks, slices, "{}", info.name);
    }
    assert_eq!(op::STACK_GLOBAL, Op::StackGlobal as u8);
    assert_eq!(Op::Proto.info().arg, Arg::Uint1);
    assert_eq!(
        Op::Appends.info().before,
        [Slot::List, Slot::Mark, Slot::Stackslice]
    );
    assert_eq!(Op::Appends.info().after, [Slot::List]);
}

// --- arguments ----------------------------------------------------------------------------

/// Each kind of argument with its bytes and its value.
fn arguments() -> Vec<(Arg, Vec<u8>, Value<'static>)> {
    let counted = |width: usize| {
        let mut bytes = vec![0; width];
        bytes[0] = 3;
        bytes.extend(b"a\n\xff");
        bytes
    };
    let payload = Value::Counted(b"a\n\xff");
    vec![
        (Arg::None, vec![], Value::None),
        (Arg::Uint1, vec![0xfe], Value::Unsigned(0xfe)),
        (Arg::Uint2, vec![1, 0x80], Value::Unsigned(0x8001)),
        (
            Arg::Uint4,
            vec![1, 2, 3, 0x84],
            Value::Unsigned(0x8403_0201),
        ),
        (
            Arg::Uint8,
            vec![1, 2, 3, 4, 5, 6, 7, 0x88],
            Value::Unsigned(0x8807_0605_0403_0201),
        ),
        (Arg::Int4, vec![0xfe, 0xff, 0xff, 0xff], Value::Signed(-2)),
        (
            Arg::Float8,
            (-1.5_f64).to_be_bytes().to_vec(),
            Value::Float(-1.5),
        ),
        (Arg::DecimalnlShort, b"-12\n".to_vec(), Value::Line(b"-12")),
        (Arg::DecimalnlLong, b"12L\n".to_vec(), Value::Line(b"12L")),
        (Arg::Floatnl, b"1e5\n".to_vec(), Value::Line(b"1e5")),
        (Arg::Stringnl, b"'a\\n'\n".to_vec(), Value::Line(b"'a\\n'")),
        (Arg::StringnlNoescape, b"\n".to_vec(), Value::Line(b"")),
        (
            Arg::Unicodestringnl,
            b"\xe9\n".to_vec(),
            Value::Line(b"\xe9"),
        ),
        (
            Arg::StringnlNoescapePair,
            b"os\npath\n".to_vec(),
            Value::Lines(b"os", b"path"),
        ),
        (Arg::String1, counted(1), payload),
        (Arg::String4, counted(4), payload),
        (Arg::Long1, counted(1), payload),
        (Arg::Long4, counted(4), payload),
        (Arg::Bytes1, counted(1), payload),
        (Arg::Bytes4, counted(4), payload),
        (Arg::Bytes8, counted(8), payload),
        (Arg::Bytearray8, counted(8), payload),
        (Arg::Unicodestring1, counted(1), payload),
        (Arg::Unicodestring4, counted(4), payload),
        (Arg::Unicodestring8, counted(8), payload),
    ]
}

#[test]
fn an_argument_ends_where_it_ends() {
    for (arg, bytes, value) in arguments() {
        for rest in [&b""[..], b"N.", b"\n\n"] {
            let data = [&bytes, rest].concat();
            assert_eq!(arg::decode(arg, &data), Ok((value, rest)), "{arg:?}");
        }
        for end in 0..bytes.len() {
            let cut = arg::decode(arg, &bytes[..end]);
            assert_eq!(cut, Err(arg::Error::Truncated), "{arg:?}, {end} bytes");
        }
    }
}

#[test]
fn every_argument_of_the_table_is_tried() {
    let tried: Vec<Arg> = arguments().into_iter().map(|(arg, ..)| arg).collect();
    for op in Op::ALL {
        assert!(tried.contains(&op.info().arg), "{}", op.name());
    }
}

#[test]
fn a_length_is_believed_only_as_far_as_data_arrives() {
    let data = |width: usize, byte: u8| vec![byte; width];
    for (arg, width) in [
        (Arg::Bytes8, 8),
        (Arg::Bytearray8, 8),
        (Arg::Unicodestring8, 8),
    ] {
        assert_eq!(
            arg::decode(arg, &data(width, 0xff)),
            Err(arg::Error::BadLength)
        );
        assert_eq!(
            arg::decode(arg, &data(width, 0x7f)),
            Err(arg::Error::Truncated)
        );
    }
    // Four bytes have a sign here and none there.
    for arg in [Arg::String4, Arg::Long4] {
        assert_eq!(arg::decode(arg, &data(4, 0xff)), Err(arg::Error::BadLength));
    }
    for arg in [Arg::Bytes4, Arg::Unicodestring4] {
        assert_eq!(arg::decode(arg, &data(4, 0xff)), Err(arg::Error::Truncated));
    }
}

// --- scanning -----------------------------------------------------------------------------

fn names(pickle: &[u8]) -> String {
    let names: Vec<&str> = Scan::new(pickle)
        .map(|step| step.unwrap().op.name())
        .collect();
    names.join(" ")
}

#[test]
fn pickles_of_several_protocols() {
    // [None, True, -5, 70000, 2**70, 1.5, 'a\\\né', b'x', (1, 2), {'k': {1}}]
    assert_eq!(
        names(
            b"(lp0\nNaI01\naI-5\naI70000\naL1180591620717411303424L\naF1.5\naVa\\u005c\\u000a\xe9\n\
              p1\nac_codecs\nencode\np2\n(Vx\np3\nVlatin1\np4\ntp5\nRp6\na(I1\nI2\ntp7\na(dp8\nVk\n\
              p9\nc__builtin__\nset\np10\n((lp11\nI1\natp12\nRp13\nsa."
        ),
        "MARK LIST PUT NONE APPEND INT APPEND INT APPEND INT APPEND LONG APPEND FLOAT APPEND \
         UNICODE PUT APPEND GLOBAL PUT MARK UNICODE PUT UNICODE PUT TUPLE PUT REDUCE PUT APPEND \
         MARK INT INT TUPLE PUT APPEND MARK DICT PUT UNICODE PUT GLOBAL PUT MARK MARK LIST PUT INT \
         APPEND TUPLE PUT REDUCE PUT SETITEM APPEND STOP"
    );
    assert_eq!(
        names(
            b"\x80\x04\x95\x4a\0\0\0\0\0\0\0]\x94(N\x88J\xfb\xff\xff\xffM,\x01\x8a\x09\0\0\0\0\0\0\0\0@\
              G?\xf8\0\0\0\0\0\0\x8c\x05a\\\n\xc3\xa9\x94C\x01x\x94K\x01K\x02\x86\x94}\x94\x8c\x01k\
              \x94\x8f\x94(K\x01\x90se."
        ),
        "PROTO FRAME EMPTY_LIST MEMOIZE MARK NONE NEWTRUE BININT BININT2 LONG1 BINFLOAT \
         SHORT_BINUNICODE MEMOIZE SHORT_BINBYTES MEMOIZE BININT1 BININT1 TUPLE2 MEMOIZE EMPTY_DICT \
         MEMOIZE SHORT_BINUNICODE MEMOIZE EMPTY_SET MEMOIZE MARK BININT1 ADDITEMS SETITEM APPENDS \
         STOP"
    );
}

#[test]
fn a_scan_ends_behind_stop() {
    let mut scan = Scan::new(b"\x80\x05K\x07.N.");
    let positions: Vec<usize> = scan.by_ref().map(|step| step.unwrap().position).collect();
    assert_eq!(positions, [0, 2, 4]);
    assert_eq!(scan.position(), 5);
    assert_eq!(scan.next(), None);
}

#[test]
fn a_scan_ends_at_the_first_error() {
    for (pickle, position, kind) in [
        (&b""[..], 0, ErrorKind::NoStop),
        (b"NN", 2, ErrorKind::NoStop),
        (b"N\xffN.", 1, ErrorKind::UnknownOpcode(0xff)),
        (
            b"NX\x05\0\0\0abcd",
            1,
            ErrorKind::Argument(arg::Error::Truncated),
        ),
        (
            b"N\x8b\xff\xff\xff\xff.",
            1,
            ErrorKind::Argument(arg::Error::BadLength),
        ),
        (
            b"cos\nsystem",
            0,
            ErrorKind::Argument(arg::Error::Truncated),
        ),
    ] {
        let mut scan = Scan::new(pickle);
        let last = scan.by_ref().last();
        assert_eq!(last, Some(Err(Error { position, kind })), "{pickle:?}");
        assert_eq!(scan.position(), position);
        assert_eq!(scan.next(), None);
    }
}

/// A small generator (xorshift), so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

#[test]
fn any_bytes_can_be_scanned() {
    let mut numbers = Numbers(20_030_129);
    for round in 0..if cfg!(miri) { 50 } else { 20_000 } {
        let length = numbers.below(40);
        // Opcodes more often than anything else.
        let data: Vec<u8> = (0..length)
            .map(|_| match numbers.below(3) {
                0 => u8::try_from(numbers.below(256)).unwrap(),
                1 => u8::try_from(numbers.below(4)).unwrap(),
                _ => Op::ALL[numbers.below(Op::ALL.len())] as u8,
            })
            .collect();
        let mut next = 0;
        let mut scan = Scan::new(&data);
        while let Some(step) = scan.next() {
            match step {
                Ok(step) => {
                    assert_eq!(step.position, next, "round {round}: {data:?}");
                    assert_eq!(data[next], step.op as u8);
                    assert!(scan.position() > next);
                    next = scan.position();
                }
                Err(error) => assert_eq!(error.position, next, "round {round}: {data:?}"),
            }
        }
        assert!(scan.position() <= data.len());
    }
}

// --- text ---------------------------------------------------------------------------------

fn escaped(text: &str) -> Vec<u8> {
    let units: Vec<u32> = text.chars().map(u32::from).collect();
    let mut out = b"V".to_vec();
    text::escape(&units, &mut out).unwrap();
    out
}

#[test]
fn escapes_are_those_of_the_c_pickler() {
    assert_eq!(escaped("plain ~"), b"Vplain ~");
    assert_eq!(
        escaped("\\ \0 \n \r \x1a"),
        b"V\\u005c \\u0000 \\u000a \\u000d \\u001a"
    );
    assert_eq!(escaped("\t\x1b\x7f\u{80}\u{ff}"), b"V\t\x1b\x7f\x80\xff");
    assert_eq!(escaped("\u{100}\u{ffff}"), b"V\\u0100\\uffff");
    assert_eq!(escaped("\u{10000}\u{10ffff}"), b"V\\U00010000\\U0010ffff");
    let mut out = Vec::new();
    text::escape(&[0xd800_u16, 0xdfff], &mut out).unwrap();
    text::escape(&[0xe9_u8, b'\\'], &mut out).unwrap();
    assert_eq!(out, b"\\ud800\\udfff\xe9\\u005c");
}
