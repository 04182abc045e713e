//! Texts of the pickler's errors that differ by version, one function per message.
//!
//! Names of types, reprs and the like are made by the caller; nothing here touches an object.

use super::QUIRKS;

/// RecursionError of our own depth limit.
pub const TOO_DEEP: &str = "maximum recursion depth exceeded while pickling an object";

/// A reducer returned neither a str nor a tuple. `ty` is the type's full name.
pub fn reduce_type(ty: &str) -> String {
    if QUIRKS.new_errors {
        format!("__reduce__ must return a string or tuple, not {ty}")
    } else {
        "__reduce__ must return a string or tuple".into()
    }
}

/// The first item of a reduce value.
pub fn reduce_callable(ty: &str) -> String {
    let text = "first item of the tuple returned by __reduce__ must be callable";
    if QUIRKS.new_errors {
        format!("{text}, not {ty}")
    } else {
        text.into()
    }
}

/// The second item of a reduce value.
pub fn reduce_args(ty: &str) -> String {
    let text = "second item of the tuple returned by __reduce__ must be a tuple";
    if QUIRKS.new_errors {
        format!("{text}, not {ty}")
    } else {
        text.into()
    }
}

/// The fourth or fifth item of a reduce value.
pub fn reduce_iterator(which: &str, ty: &str) -> String {
    let noun = if QUIRKS.new_errors { "item" } else { "element" };
    format!("{which} {noun} of the tuple returned by __reduce__ must be an iterator, not {ty}")
}

/// The sixth item of a reduce value.
pub fn reduce_setter(ty: &str) -> String {
    if QUIRKS.new_errors {
        format!("sixth item of the tuple returned by __reduce__ must be callable, not {ty}")
    } else {
        format!("sixth element of the tuple returned by __reduce__ must be a function, not {ty}")
    }
}

/// `__newobj__` without a class.
pub fn newobj_empty() -> &'static str {
    if QUIRKS.new_errors {
        "__newobj__ expected at least 1 argument, got 0"
    } else {
        "__newobj__ arglist is empty"
    }
}

/// `__newobj__` with something that is not a class.
pub fn newobj_no_class(ty: &str) -> String {
    if QUIRKS.new_errors {
        format!("first argument to __newobj__() must be a class, not {ty}")
    } else {
        "args[0] from __newobj__ args is not a type".into()
    }
}

/// `__newobj__` with another class than the object's; both as `repr` gives them.
pub fn newobj_wrong_class(own: &str, given: &str) -> String {
    if QUIRKS.new_errors {
        format!("first argument to __newobj__() must be {own}, not {given}")
    } else {
        "args[0] from __newobj__ args has the wrong class".into()
    }
}

/// `__newobj_ex__` with the wrong number of arguments.
pub fn newobj_ex_arity(n: usize) -> String {
    if QUIRKS.new_errors {
        format!("__newobj_ex__ expected 3 arguments, got {n}")
    } else {
        format!("length of the NEWOBJ_EX argument tuple must be exactly 3, not {n}")
    }
}

/// An argument of `__newobj_ex__` of the wrong type: `which` is "first" and so on, `what` "a class" and
/// so on.
pub fn newobj_ex_argument(which: &str, what: &str, ty: &str) -> String {
    if QUIRKS.new_errors {
        format!("{which} argument to __newobj_ex__() must be {what}, not {ty}")
    } else {
        format!("{which} item from NEWOBJ_EX argument tuple must be {what}, not {ty}")
    }
}

/// PickleBuffer below protocol 5.
pub fn picklebuffer_protocol() -> &'static str {
    if cfg!(Py_3_13) {
        "PickleBuffer can only be pickled with protocol >= 5"
    } else {
        "PickleBuffer can only pickled with protocol >= 5"
    }
}

/// A name with `<locals>` in it, before 3.14.
pub fn local_object(name: &str) -> String {
    let verb = if cfg!(Py_3_13) { "get" } else { "pickle" };
    format!("Can't {verb} local object '{name}'")
}
