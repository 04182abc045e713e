//! What differs by Python version, as named facts; [`messages`] has the texts.
//!
//! Where patch releases of one minor version differ in crashes or safety, the newest patch
//! release is followed; everything else is as the running interpreter has it. This file must
//! hold no logic.

pub mod arg_messages;
pub mod load_messages;
pub mod messages;

/// The facts of one version.
pub struct Quirks {
    /// `protocol=None` means this one (gh-119340: 5 since 3.14).
    pub default_protocol: u8,
    /// The wording of `PicklingError` since 3.14 (gh-122311).
    pub new_errors: bool,
    /// A last batch of one item is written as APPEND or SETITEM, and no empty batch follows a full
    /// one (3.15).
    pub short_last_batch: bool,
    /// Below protocol 4 a dotted name is saved as an ordinary `getattr(parent, name)` whose parent
    /// and arguments are memoised (before 3.13).
    pub dotted_names_memoised: bool,
    /// Private components of a dotted name are mangled (3.15).
    pub private_names_mangled: bool,
    /// A list that changes its size while it is pickled is an error (3.14).
    pub list_resize_is_error: bool,
    /// `persistent_id` and `persistent_load` are methods with a default, looked up at each call
    /// (3.13); before they are attributes without one, looked up by `__init__`.
    pub persistent_hooks_are_methods: bool,
    /// A bad extension code raises RuntimeError or TypeError, not PicklingError (3.13).
    pub extension_errors_plain: bool,
    /// Modules searched for an object without `__module__` leave out `__mp_main__` (3.15).
    pub skip_mp_main: bool,
    /// A read may not cross the end of a frame (3.13.15, 3.14.7).
    pub frames_enforced: bool,
    /// INT and LONG are decimal (3.14); before they may carry a base prefix.
    pub text_ints_decimal: bool,
    /// INT means a bool for `00` and `01` only (3.15); before for any two characters worth 0 or 1.
    pub int_bool_literal: bool,
    /// BINSTRING of 2 GiB or more says so (3.13.5); before it is "truncated".
    pub binstring_negative: bool,
    /// APPENDS and ADDITEMS look their methods up even for no items (3.15).
    pub empty_batches_looked_up: bool,
    /// `Unpickler.memo.clear()` resets the index of MEMOIZE (3.14.10).
    pub memo_clear_resets_index: bool,
    /// Entries of `Unpickler.memo` at an index that is far off are neither shown nor counted (3.15).
    pub sparse_memo_hidden: bool,
    /// What arrives of a first chunk that is too short is not there for the next load (3.15).
    pub short_chunks_are_lost: bool,
    /// find_class words its errors as getattr does (3.14).
    pub find_class_plain_errors: bool,
    /// The memo proxies can be made by calling their type (3.12).
    pub proxies_callable: bool,
    /// A reference count says how many references there are: not on free-threaded builds, where
    /// each thread has a count of its own.
    pub counts_are_exact: bool,
}

/// The facts of the version that this crate is built for.
pub const QUIRKS: Quirks = Quirks {
    default_protocol: if cfg!(Py_3_14) { 5 } else { 4 },
    new_errors: cfg!(Py_3_14),
    short_last_batch: cfg!(Py_3_15),
    dotted_names_memoised: cfg!(not(Py_3_13)),
    private_names_mangled: cfg!(Py_3_15),
    list_resize_is_error: cfg!(Py_3_14),
    persistent_hooks_are_methods: cfg!(Py_3_13),
    extension_errors_plain: cfg!(Py_3_13),
    skip_mp_main: cfg!(Py_3_15),
    frames_enforced: cfg!(Py_3_13),
    text_ints_decimal: cfg!(Py_3_14),
    int_bool_literal: cfg!(Py_3_15),
    binstring_negative: cfg!(Py_3_13),
    empty_batches_looked_up: cfg!(Py_3_15),
    memo_clear_resets_index: cfg!(Py_3_14),
    sparse_memo_hidden: cfg!(Py_3_15),
    short_chunks_are_lost: cfg!(Py_3_15),
    find_class_plain_errors: cfg!(Py_3_14),
    proxies_callable: cfg!(Py_3_12),
    counts_are_exact: cfg!(not(Py_GIL_DISABLED)),
};
