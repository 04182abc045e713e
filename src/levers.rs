//! What makes this fast, as named pieces that a build with the feature `levers` can do without.
//!
//! Such a build reads `OXIPICKLE_WITHOUT` (names with commas between, or `all`) when the module is loaded; its use is
//! to measure what each piece gains, and to run the tests without it. In every other build [`on`] is a constant
//! and nothing here is left. The code asks at the place where a piece is chosen. This file must not know any of them.

/// A piece that can be switched off. In brackets: how many times as long its best row takes without it (CPU time,
/// 3.11.2, a busy machine); `benches/run.py --without` measures it.
#[derive(Clone, Copy)]
pub enum Lever {
    /// Dumping: an object with one reference is not looked for in the memo, nor entered there (3.1, strings).
    Counts,
    /// Dumping: short strings, numbers and containers of them are written without a task (2.5, floats).
    Leaves,
    /// Dumping: the items of a dict are read from its table (1.2, a task message).
    Entries,
    /// Dumping: attributes are read from the values inside an instance (10, plain instances).
    Inline,
    /// Dumping: a class that was found by its name is found again without asking for the name (5.5, a defaultdict).
    Names,
    /// Dumping: known classes and plain instances are written without their reduce methods (14, deques).
    Recipes,
    /// Dumping: an array of NumPy's is written like the one before that had its dtype (17, small arrays).
    Arrays,
    /// Dumping: a reduce method or `__getstate__` in Python is called without `object.__reduce_ex__` (2.6, `__getstate__`).
    Reducers,
    /// Loading: known classes are not called, their objects are made (2.0, UUIDs).
    Constructors,
    /// Loading: a dict with the keys of one before is a copy of it with other values (1.2, documents).
    Templates,
    /// Loading: BUILD puts the items of a state into the instance, and no state is made (3.3, plain instances).
    Build,
    /// Loading: short plain data without telling PyO3 that the thread is attached (2.3, a text).
    Short,
    /// Loading: short texts are given out again once nobody has them any more (1.4, a dict of four).
    Spares,
    /// Dumping: vectors, and what is known of classes, are kept for the next call (19, a reducer).
    Scratch,
}

#[cfg(not(feature = "levers"))]
mod fixed {
    /// Whether the lever is used: always, in this build.
    #[inline(always)]
    pub const fn on(_lever: super::Lever) -> bool {
        true
    }

    /// Bytes until the frozen window is closed without need: never, in this build.
    #[inline(always)]
    pub const fn closes_after() -> Option<usize> {
        None
    }
}

#[cfg(not(feature = "levers"))]
pub use fixed::{closes_after, on};

#[cfg(feature = "levers")]
pub use chosen::{closes_after, on, read};

#[cfg(feature = "levers")]
mod chosen {
    use std::env;
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    use super::Lever;

    /// The levers by the names that the variable has; `window` is none, but closes windows at random.
    const NAMES: [(&str, u32); 15] = [
        ("counts", bit(Lever::Counts)),
        ("leaves", bit(Lever::Leaves)),
        ("entries", bit(Lever::Entries)),
        ("inline", bit(Lever::Inline)),
        ("names", bit(Lever::Names)),
        ("recipes", bit(Lever::Recipes)),
        ("arrays", bit(Lever::Arrays)),
        ("reducers", bit(Lever::Reducers)),
        ("constructors", bit(Lever::Constructors)),
        ("templates", bit(Lever::Templates)),
        ("build", bit(Lever::Build)),
        ("short", bit(Lever::Short)),
        ("spares", bit(Lever::Spares)),
        ("scratch", bit(Lever::Scratch)),
        ("window", WINDOW),
    ];
    const WINDOW: u32 = 1 << 31;

    static OFF: AtomicU32 = AtomicU32::new(0);
    static RANDOM: AtomicU64 = AtomicU64::new(0x9E37_79B9_7F4A_7C15);

    const fn bit(lever: Lever) -> u32 {
        1 << lever as u32
    }

    /// Reads the variable.
    ///
    /// # Errors
    /// A sentence with the names that there are, if it has another one.
    pub fn read() -> Result<(), String> {
        let mut off = 0;
        for name in env::var("OXIPICKLE_WITHOUT").unwrap_or_default().split(',') {
            off |= match (name, NAMES.iter().find(|known| known.0 == name)) {
                ("", _) => 0,
                ("all", _) => !WINDOW,
                (_, Some(known)) => known.1,
                (_, None) => {
                    let known = NAMES.map(|known| known.0).join(" ");
                    return Err(format!("OXIPICKLE_WITHOUT: {name} is none of: {known}"));
                }
            };
        }
        OFF.store(off, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the lever is used.
    #[inline]
    pub fn on(lever: Lever) -> bool {
        OFF.load(Ordering::Relaxed) & bit(lever) == 0
    }

    /// Bytes until the frozen window is closed without need, if windows are to be closed at random: few, or so many
    /// that pieces which need room in the frame are used in between.
    pub fn closes_after() -> Option<usize> {
        if OFF.load(Ordering::Relaxed) & WINDOW == 0 {
            return None;
        }
        // A generator of Marsaglia's (xorshift); that threads may draw the same number does no harm.
        let mut x = RANDOM.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        RANDOM.store(x, Ordering::Relaxed);
        let most = if x & 1 == 0 { 64 } else { 4096 };
        Some((x >> 8) as usize % most)
    }
}
