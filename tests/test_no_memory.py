"""Where the interpreter has no memory an operation ends in MemoryError, at whatever allocation.

`tests/no_memory.py` makes one allocation after the other fail, in C and here. What C comes to is
allowed as well: the interpreter itself turns some failures into others (a name that is not found, a
call that fails without an exception).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("_testcapi", reason="no module for tests in this interpreter")
import no_memory

pytestmark = pytest.mark.ends

PROGRAM = Path(__file__).parent / "no_memory.py"
#: Protocols by way; what a way writes of an object is the same for each of them. Not 0 and 1, whose
#: reducers are in Python (`copyreg._reduce_ex`): where there is no memory for the int that 3.13.0
#: keeps for an `except` far inside a function, the interpreter never ends.
DUMPS = [
    f"{way} {name} {protocol}"
    for way, protocols in {
        "dumps": (2, 4),
        "dump": (5,),
        "Pickler": (3,),
        "subclass": (2,),
        "buffer_callback": (5,),
    }.items()
    for protocol in protocols
    for name in no_memory.OBJECTS
    if name != "buffers" or protocol == 5
]
LOADS = [
    f"{way} {name} {protocol}"
    for way, protocols in {
        "loads": (2, 4),
        "load": (4,),
        "Unpickler subclass": (2,),
    }.items()
    for protocol in protocols
    for name in no_memory.OBJECTS
    if name != "buffers" or protocol == 5
]


def outcomes(name: str, which: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), name, which], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"{name}, {which}: {done.returncode}\n{done.stderr[-3000:]}"
    assert "panicked" not in done.stderr, done.stderr[-3000:]
    return json.loads(done.stdout)


def ends_well(name: str) -> None:
    ours, theirs = outcomes(name, "ox"), outcomes(name, "c")
    allowed = {"done", "MemoryError", ours["as ever"], *theirs["outcomes"]}
    if sys.version_info < (3, 14):
        # Whatever looking a name up raises, C calls it a name that is not found.
        allowed.add("PicklingError")
    if sys.version_info[:2] in ((3, 12), (3, 13)) and name.startswith("load") and "library" in name:
        # The first load of a named tuple compiles its `__new__` anew, to compare. The compiler follows a NULL
        # where there is no memory for a graph's first block (3.12.1, `_PyCfgBuilder_Fini`) or for a sequence of
        # instructions (3.13, `_PyInstructionSequence_Addop`), whoever calls it.
        allowed.add("ended with 11")
    assert set(ours["outcomes"]) <= allowed, ours
    assert ours["as ever"] == theirs["as ever"]
    # Code in Python that fails for want of memory loses blocks by itself, at points that depend on
    # what was allocated before. What we would lose is lost wherever a kind of allocation fails.
    assert ours["lost"] <= theirs["lost"] + 2, (ours, theirs)


@pytest.mark.parametrize("name", DUMPS)
def test_a_dump(name: str) -> None:
    ends_well(name)


@pytest.mark.parametrize("name", LOADS)
def test_a_load(name: str) -> None:
    ends_well(name)


@pytest.mark.parametrize("name", no_memory.others(no_memory.c))
def test_objects_and_memos(name: str) -> None:
    ends_well(name)


@pytest.mark.parametrize("name", no_memory.refused(no_memory.c))
def test_what_is_refused_anyway(name: str) -> None:
    ends_well(name)
