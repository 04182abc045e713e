//! Arrays of NumPy's, written like those before them (`object/array.rs`): the opcodes that C writes for the reduce value
//! that it gets.
//!
//! What C makes for a reduce value and memoises (the PickleBuffer, the shape, the arguments) does not exist here, only its
//! index, as in `known.rs`. The parts that all arrays have in common were written with the first one: where the
//! memo does not know them, NumPy is asked. So it is for arrays of 64 KiB, which go past the frames.

use super::fault::F;
use super::scalars::header;
use super::session::Session;
use crate::format::frame::FRAME_SIZE_TARGET;
use crate::format::opcode::op;
use crate::object::array::Array;
use crate::object::world::Missing;
use crate::object::{Obj, Window};

/// Opcodes and numbers of an array with a few dimensions, beside its data.
const REST: usize = 64;

/// Dimensions of which nothing but a tuple is made; the others are rare.
const FEW: usize = 8;

impl Session {
    /// Writes `object`, if it is an array like one before; says whether it was.
    ///
    /// The caller has seen that the memo does not know it, and that no mode or hook is in the way.
    ///
    /// # Errors
    /// A fault.
    #[inline(never)]
    pub(super) fn save_array<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        shared: bool,
    ) -> F<bool> {
        let Some(array) = self.arrays.find(window, object, self.now) else {
            return Ok(false);
        };
        let tight = self.to_file && self.out.is_within(array.len + REST);
        if self.out_of_band || tight || array.len >= FRAME_SIZE_TARGET || array.shape.len() > FEW {
            return Ok(false);
        }
        let [Some(function), Some(dtype), Some(order)] = [
            self.memo.get(array.function)?,
            self.memo.get(array.dtype)?,
            self.memo.get(array.order)?,
        ] else {
            return Ok(false);
        };
        // Each part of a reduce value has a boundary before it.
        self.out.boundary();
        self.emit_get(function)?;
        self.out.boundary();
        self.out.emit([op::MARK])?;
        self.out.boundary();
        self.write_data(&array)?;
        self.out.boundary();
        self.emit_get(dtype)?;
        self.out.boundary();
        self.write_shape(array.shape)?;
        self.out.boundary();
        self.emit_get(order)?;
        self.emit_missing([op::TUPLE], Missing::Tuple)?;
        // True or not, it is written.
        self.made(object, shared, op::REDUCE)?;
        Ok(true)
    }

    /// The PickleBuffer: like bytes or a bytearray (PEP 574).
    fn write_data(&mut self, array: &Array<'_>) -> F<()> {
        let (header, n) = if array.readonly {
            self.bytes_header(array.len)?
        } else {
            header(op::BYTEARRAY8, array.len, 8)
        };
        self.out.emit_slice(&header[..n])?;
        self.out
            .emit_with([], array.len, |out| array.copy_to(out))?;
        self.emit_missing([], Missing::Bytes)
    }

    fn write_shape(&mut self, shape: &[isize]) -> F<()> {
        if shape.len() > 3 {
            self.out.emit([op::MARK])?;
        }
        for &count in shape {
            self.out.boundary();
            self.emit_number(count as i64)?;
        }
        let opcode = match shape.len() {
            0 => return Ok(self.out.emit([op::EMPTY_TUPLE])?),
            1 => op::TUPLE1,
            2 => op::TUPLE2,
            3 => op::TUPLE3,
            _ => op::TUPLE,
        };
        self.emit_missing([opcode], Missing::Tuple)
    }
}
