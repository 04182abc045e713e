//! Any bytes can be scanned: no panic, every byte belongs to at most one opcode, and the scan comes
//! to an end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxipickle::format::arg::Value;
use oxipickle::format::opcode::Op;
use oxipickle::format::scan::Scan;
use oxipickle::format::{long, text};

fuzz_target!(|data: &[u8]| {
    let mut scan = Scan::new(data);
    let mut position = 0;
    let mut stopped = false;
    while let Some(step) = scan.next() {
        let Ok(step) = step else { break };
        assert!(!stopped);
        assert_eq!(step.position, position);
        assert_eq!(step.op as u8, data[position]);
        position = scan.position();
        assert!(position > step.position);
        stopped = step.op == Op::Stop;
        match step.arg {
            Value::Line(line) => {
                if let Some(number) = text::decimal(line) {
                    assert_eq!(number.to_string().as_bytes(), line);
                }
                if let Some(inside) = text::unquote(line) {
                    assert_eq!(inside.len() + 2, line.len());
                }
            }
            Value::Counted(bytes) => {
                if let Some(number) = long::to_i64(bytes) {
                    let all = i128::from(number).to_le_bytes();
                    let known = bytes.len().min(all.len());
                    assert_eq!(bytes[..known], all[..known]);
                }
            }
            _ => {}
        }
    }
    assert_eq!(scan.next(), None);
    assert!(scan.position() <= data.len());
});
