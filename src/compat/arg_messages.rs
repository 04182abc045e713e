//! What differs by version in the errors of argument parsing.

/// `Pickler.dump`, `Unpickler.load` and `Unpickler.find_class` parse their arguments like
/// functions with keywords (3.12); before, they word errors as plain methods do.
pub const METHODS_ARE_PARSED: bool = cfg!(Py_3_12);

/// `Unpickler.load` refuses keywords (3.13). 3.12 took any and ignored them; before, it was a plain
/// method.
pub const LOAD_REFUSES_KEYWORDS: bool = cfg!(Py_3_13);

/// The text for a keyword that `function` does not have, for `%` with the keyword.
pub fn unexpected_keyword(function: &str) -> String {
    if cfg!(Py_3_13) {
        format!("{function}() got an unexpected keyword argument '%s'")
    } else {
        format!("'%s' is an invalid keyword argument for {function}()")
    }
}
