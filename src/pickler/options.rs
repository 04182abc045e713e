//! What a dump is asked to do, checked as C checks it.

use pyo3::prelude::*;

use crate::compat::QUIRKS;
use crate::errors;
use crate::object::R;
use crate::object::number::to_c_long;
use crate::object::world::window;

/// The highest protocol (PEP 574).
pub const HIGHEST_PROTOCOL: u8 = 5;

/// The protocol for an argument: None is the version's default, a negative number the highest.
///
/// # Errors
/// TypeError or OverflowError if it is no integer or a huge one; ValueError if it is more than the highest.
pub fn protocol(value: Option<&Bound<'_, PyAny>>) -> R<u8> {
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(QUIRKS.default_protocol);
    };
    let number = to_c_long(value)?;
    if number < 0 {
        return Ok(HIGHEST_PROTOCOL);
    }
    match u8::try_from(number) {
        Ok(protocol) if protocol <= HIGHEST_PROTOCOL => Ok(protocol),
        _ => Err(errors::value_error(
            value.py(),
            &format!("pickle protocol must be <= {HIGHEST_PROTOCOL}"),
        )),
    }
}

/// The `protocol` argument, if it is an int of the usual kind and fits.
#[inline]
pub fn exact_protocol(value: &Bound<'_, PyAny>) -> Option<u8> {
    let protocol = window(value.py(), |window| {
        window
            .obj(value)
            .as_exact_int()
            .and_then(|int| int.to_i32())
    });
    let protocol = u8::try_from(protocol?).ok()?;
    (protocol <= HIGHEST_PROTOCOL).then_some(protocol)
}

/// The callback for out-of-band buffers (PEP 574): None is none.
///
/// # Errors
/// ValueError below protocol 5.
pub fn buffer_callback<'py>(
    value: Option<&Bound<'py, PyAny>>,
    protocol: u8,
) -> R<Option<Bound<'py, PyAny>>> {
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    if protocol < 5 {
        return Err(errors::value_error(
            value.py(),
            "buffer_callback needs protocol >= 5",
        ));
    }
    Ok(Some(value.clone()))
}
