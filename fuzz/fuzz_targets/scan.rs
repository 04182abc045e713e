//! Any bytes can be scanned: no panic, every byte belongs to at most one opcode, and the scan comes
//! to an end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxipickle::format::opcode::Op;
use oxipickle::format::scan::Scan;

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
    }
    assert_eq!(scan.next(), None);
    assert!(scan.position() <= data.len());
});
