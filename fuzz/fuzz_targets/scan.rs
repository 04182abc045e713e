//! Any bytes can be scanned: no panic, no memory taken, every byte belongs to at most one opcode, arguments are
//! slices of what was given, and the scan comes to an end.
#![no_main]

mod allocation;

use libfuzzer_sys::fuzz_target;
use oxipickle::format::arg::Value;
use oxipickle::format::opcode::Op;
use oxipickle::format::scan::Scan;

fn is_inside(part: &[u8], position: usize, end: usize, data: &[u8]) -> bool {
    let start = part.as_ptr().addr() - data.as_ptr().addr();
    start > position && start + part.len() <= end
}

fuzz_target!(|data: &[u8]| {
    let ((), reserved) = allocation::counted(|| {
        let mut scan = Scan::new(data);
        let mut position = 0;
        let mut stopped = false;
        while let Some(step) = scan.next() {
            let step = match step {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(error.position, position);
                    break;
                }
            };
            assert!(!stopped);
            assert_eq!(step.position, position);
            assert_eq!(step.op as u8, data[position]);
            position = scan.position();
            assert!(position > step.position);
            match step.arg {
                Value::Line(part) | Value::Counted(part) => {
                    assert!(is_inside(part, step.position, position, data));
                }
                Value::Lines(first, second) => {
                    assert!(is_inside(first, step.position, position, data));
                    assert!(is_inside(second, step.position, position, data));
                }
                _ => {}
            }
            stopped = step.op == Op::Stop;
        }
        assert_eq!(scan.next(), None);
        assert!(scan.position() <= data.len());
    });
    assert_eq!(reserved, 0);
});
