//! The output stream against a model of it: any order of writes, with and without frames, with memory that runs
//! out, gives the bytes that the model gives, and takes memory of a small multiple of them.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use oxipickle::format::buf::{Backing, NoMemory};
use oxipickle::format::frame::Output;

#[derive(Arbitrary, Debug)]
enum Write {
    Emit([u8; 3]),
    EmitOne(u8),
    Slice(Vec<u8>),
    Counted([u8; 5], Vec<u8>),
    Wrapped([u8; 2], Vec<u8>, [u8; 1]),
    With([u8; 9], u16, u16),
    Put([u8; 4], u8),
    PutWrapped([u8; 2], Vec<u8>, [u8; 1]),
    Run(Vec<[u8; 8]>),
    Long(u8, u32),
    Commit,
    CommitIfFull,
    Unframed(Vec<u8>, Vec<u8>),
    UnframedWith(Vec<u8>, u16, u16),
    Attended,
    Flush,
    Take,
}

/// Memory that has an end.
struct Limited {
    memory: Vec<u8>,
    end: usize,
}

// SAFETY: as that of Vec, which it is.
unsafe impl Backing for Limited {
    fn region(&mut self) -> (*mut u8, usize) {
        self.memory.region()
    }

    fn grow(&mut self, used: usize, size: usize) -> Result<(), NoMemory> {
        if size > self.end {
            return Err(NoMemory);
        }
        self.memory.grow(used, size)
    }
}

/// What the stream should be.
#[derive(Default)]
struct Model {
    done: Vec<u8>,
    frame: Vec<u8>,
    framing: bool,
}

impl Model {
    fn write(&mut self, bytes: &[u8]) {
        let to = if self.framing { &mut self.frame } else { &mut self.done };
        to.extend(bytes);
    }

    fn commit(&mut self) {
        if self.frame.len() >= 4 {
            self.done.push(0x95);
            self.done.extend((self.frame.len() as u64).to_le_bytes());
        }
        self.done.append(&mut self.frame);
    }

    fn unframed(&mut self, parts: [&[u8]; 2]) {
        self.commit();
        self.done.extend(parts.concat());
    }
}

/// Carries one write out; says whether there was memory for it.
fn carry_out(out: &mut Output<Limited>, model: &mut Model, write: Write) -> Result<(), NoMemory> {
    match write {
        Write::Emit(bytes) => {
            out.emit(bytes)?;
            model.write(&bytes);
        }
        Write::EmitOne(byte) => {
            out.emit([byte])?;
            model.write(&[byte]);
        }
        Write::Slice(bytes) => {
            out.emit_slice(&bytes)?;
            model.write(&bytes);
        }
        Write::Counted(header, payload) => {
            out.emit_counted(header, &payload)?;
            model.write(&header);
            model.write(&payload);
        }
        Write::Wrapped(header, payload, trailer) => {
            out.emit_wrapped(header, &payload, trailer)?;
            model.write(&header);
            model.write(&payload);
            model.write(&trailer);
        }
        Write::With(header, max, n) => {
            let (max, n) = (usize::from(max), usize::from(n.min(max)));
            out.emit_with(header, max, |spare| {
                assert_eq!(spare.len(), max);
                spare[..n].fill(7);
                n
            })?;
            model.write(&header);
            model.write(&vec![7; n]);
        }
        Write::Put(bytes, n) => {
            let n = usize::from(n % 5);
            if out.has_room(4) {
                out.put_front(bytes, n);
                out.put::<0>([]);
                model.write(&bytes[..n]);
            }
        }
        Write::PutWrapped(header, payload, trailer) => {
            if out.has_room(payload.len() + 3) {
                out.put_wrapped(header, &payload, trailer);
                model.write(&header);
                model.write(&payload);
                model.write(&trailer);
            }
        }
        Write::Run(words) => {
            let mut run = out.run();
            for (i, word) in words.into_iter().enumerate() {
                if run.has_room(8) {
                    run.put(word, i % 9);
                    model.write(&word[..i % 9]);
                }
            }
        }
        Write::Long(byte, n) => {
            let bytes = vec![byte; (n % 200_000) as usize];
            out.emit_slice(&bytes)?;
            model.write(&bytes);
        }
        Write::Commit => {
            out.commit_frame();
            model.commit();
        }
        Write::CommitIfFull => {
            if out.frame_is_full() {
                assert!(model.frame.len() >= 64 * 1024);
                out.commit_frame();
                model.commit();
            } else {
                assert!(model.frame.len() < 64 * 1024);
            }
        }
        Write::Unframed(header, payload) => {
            model.commit();
            out.emit_unframed(&header, &payload)?;
            model.unframed([&header, &payload]);
        }
        Write::UnframedWith(header, max, n) => {
            let (max, n) = (usize::from(max), usize::from(n.min(max)));
            model.commit();
            out.emit_unframed_with(&header, max, |spare| {
                spare[..n].fill(9);
                n
            })?;
            model.unframed([&header, &vec![9; n]]);
        }
        Write::Attended => out.attended(),
        Write::Flush => {
            out.commit_frame();
            model.commit();
            assert_eq!(out.pending(), model.done);
            out.clear();
            model.done.clear();
        }
        Write::Take => {
            out.commit_frame();
            model.commit();
            let taken = out.take_with(|backing, n| {
                // SAFETY: so many bytes were written.
                unsafe { backing.memory.set_len(n) };
                std::mem::take(&mut backing.memory)
            });
            assert_eq!(taken, model.done);
            model.done.clear();
            model.framing = false;
        }
    }
    Ok(())
}

fuzz_target!(|input: (bool, u32, Vec<Write>)| {
    let (framing, end, writes) = input;
    let end = if end % 4 == 0 { end as usize % 300_000 } else { usize::MAX };
    let backing = Limited { memory: Vec::new(), end };
    let mut out = Output::new(backing);
    let mut model = Model::default();
    if framing {
        if out.start_framing([0x80, 4]).is_err() {
            return;
        }
        model.done = vec![0x80, 4];
        model.framing = true;
    }
    let mut most = 0;
    for write in writes {
        if carry_out(&mut out, &mut model, write).is_err() {
            // A write that has no room leaves the stream as it was.
            assert!(end != usize::MAX);
        }
        most = most.max(model.done.len() + model.frame.len());
    }
    out.commit_frame();
    model.commit();
    assert_eq!(out.pending(), model.done);
    let capacity = out.take_with(|backing, _| backing.memory.capacity());
    assert!(capacity <= 4 * (most + 70_000), "{capacity} bytes for {most}");
});
