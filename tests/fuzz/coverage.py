"""Which inputs reach code that none reached before: the counters of `fuzz/counters.rs`.

Without that library (the environment variable `OXIPICKLE_COUNTERS` names it) or with an extension
that was not built for it, every input counts as nothing new and the fuzzers go on without guidance.
Must be imported before the extension, which looks for the library when it is loaded.
"""

from __future__ import annotations

import ctypes
import os

_path = os.environ.get("OXIPICKLE_COUNTERS")
_library = ctypes.CDLL(_path, mode=ctypes.RTLD_GLOBAL) if _path else None
if _library:
    for _name in ("novelty", "edges", "covered"):
        getattr(_library, _name).restype = ctypes.c_size_t


def novelty() -> int:
    """Number of edges that ran in a range of counts never seen before; starts counting anew."""
    return _library.novelty() if _library else 0


def edges() -> int:
    """Number of edges of the extension, 0 without guidance."""
    return _library.edges() if _library else 0


def covered() -> int:
    """Number of edges that ever ran."""
    return _library.covered() if _library else 0
