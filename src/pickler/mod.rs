//! The pickler: writes a stream.
//!
//! [`Session`] is one dump in progress: output, memo, task stack. `save.rs` writes one object: a leaf
//! at once, anything else as a task; `containers.rs` and `reduce.rs` resume tasks. All that happens in frozen windows
//! (`object/world.rs`). What needs user code is in `engine.rs` and `thawed.rs`. Nothing here parses arguments or
//! knows Python classes; `py/` does.

mod arrays;
pub mod containers;
mod direct;
pub mod engine;
pub mod fault;
pub mod global;
pub mod known;
mod lead;
pub mod memo;
mod moments;
mod near;
pub mod notes;
pub mod options;
mod quick;
pub mod reduce;
pub mod save;
pub mod scalars;
pub mod scratch;
pub mod session;
pub mod task;
pub mod thawed;
pub mod unfreeze;
pub mod walk;

/// Items in a batch (PEP 307).
pub(crate) const BATCH: u16 = 1000;

/// Tasks in progress beyond which a dump ends in RecursionError, unless the environment variable
/// `OXIPICKLE_MAX_DEPTH` says otherwise when the module is loaded: a list in a list takes one, an instance linked
/// through an attribute one, a link through a reduce value two or three.
///
/// Deep data is fine; this bounds what an endless chain of reduce values can take (64 bytes a
/// task, beside the objects that the chain makes).
pub(crate) const MAX_TASKS: usize = 4_000_000;

/// The limit that the environment sets, or [`MAX_TASKS`].
fn max_tasks() -> usize {
    static LIMIT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *LIMIT.get_or_init(|| {
        std::env::var("OXIPICKLE_MAX_DEPTH")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(MAX_TASKS)
    })
}
