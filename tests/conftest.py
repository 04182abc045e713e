"""Shared pytest set-up: makes `support` and `corpus` importable and keeps global registries clean.

Must not change what is tested: no monkeypatching of `pickle` or `_pickle` here.
"""

import copyreg
import gc
import os

import pytest

# Endless chains of reduce values end here and not at millions of levels: the tests have many of
# them. `test_depth.py` runs its children without it. Read when the extension is loaded.
os.environ.setdefault("OXIPICKLE_MAX_DEPTH", "30000")
# The tests themselves say what is switched on.
for _name in ("OXIPICKLE_DISABLE", "OXIPICKLE_ENABLE"):
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def _registries_stay_clean():
    """Restore the process-wide tables that a test may write to, whatever happens in it."""
    dispatch = dict(copyreg.dispatch_table)
    extensions = dict(copyreg._extension_registry)
    inverted = dict(copyreg._inverted_registry)
    yield
    for table, saved in (
        (copyreg.dispatch_table, dispatch),
        (copyreg._extension_registry, extensions),
        (copyreg._inverted_registry, inverted),
    ):
        if table != saved:
            table.clear()
            table.update(saved)
    copyreg.clear_extension_cache()


@pytest.fixture
def collected():
    """Start a test about lifetimes from a collected heap, with the collector off."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    yield
    if enabled:
        gc.enable()
