"""Shared pytest set-up: makes `support` and `corpus` importable and keeps global registries clean.

Must not change what is tested: no monkeypatching of `pickle` or `_pickle` here.
"""

import copyreg
import gc
import os
import zlib
from collections import defaultdict

import pytest

# Endless chains of reduce values end here and not at millions of levels: the tests have many of
# them. `test_depth.py` runs its children without it. Read when the extension is loaded.
os.environ.setdefault("OXIPICKLE_MAX_DEPTH", "30000")
# The tests themselves say what is switched on.
for _name in ("OXIPICKLE_DISABLE", "OXIPICKLE_ENABLE"):
    os.environ.pop(_name, None)


def pytest_addoption(parser):
    parser.addoption(
        "--cases",
        type=int,
        metavar="N",
        help="no more than N cases of each test function, and one of what is marked `large`",
    )


def pytest_collection_modifyitems(config, items):
    """Leave out cases for `--cases`: a matrix of many parameters is thinned, no function is dropped.

    Which ones stay is decided by a checksum of their names: the same in each run, and no protocol
    or way is preferred, as it would be with each n-th.
    """
    most = config.getoption("--cases")
    if most is None:
        return
    functions = defaultdict(list)
    for item in items:
        functions[item.nodeid.partition("[")[0]].append(item)
    kept = set()
    for cases in functions.values():
        cases.sort(key=lambda item: zlib.crc32(item.nodeid.encode()))
        kept.update(cases[: 1 if cases[0].get_closest_marker("large") else most])
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


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


@pytest.fixture(scope="module")
def short_collections():
    """What other modules hold is left out of every collection: most of the time goes into those."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def collected(short_collections):
    """Start a test about lifetimes from a collected heap, with the collector off."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    yield
    if enabled:
        gc.enable()
