"""The table of faults holds: ours end as it says, and C still has the faults that are told of it.

Each runs in a process of its own, which may crash. See `faults.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import faults

from support import C_BOUNDS_LENGTHS, C_REFUSES_REENTRY

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc, limits the stack and sends signals"
)

#: Faults that C's newest patch releases have lost, and those that depend on the size of its stack frames or on what
#: freed memory holds.
GONE = {
    "Hostile streams": C_BOUNDS_LENGTHS,
    "Re-entrancy": C_REFUSES_REENTRY,
}
VARIES = {"endless", "small stack", "__init__ in a dump", "buffer released"}


@pytest.mark.parametrize("name", faults.FAULTS)
def test_a_fault_ends_as_the_table_says(name: str) -> None:
    assert faults.run(name, "oxipickle") == faults.FAULTS[name].ours


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, fault in faults.FAULTS.items()
        if name not in VARIES and not GONE.get(fault.group)
    ],
)
def test_c_has_the_fault(name: str) -> None:
    """What the test above asks for is more than the interpreter gives."""
    assert faults.run(name, "C") != faults.FAULTS[name].ours


def test_the_table_shows_every_fault(tmp_path: Path) -> None:
    ends = {name: {"C": "crash (SIGSEGV)", "oxipickle": "works"} for name in faults.FAULTS}
    text = faults.table([{"python": "3.99.0", "faults": ends}])
    for fault in faults.FAULTS.values():
        assert fault.what in text
    assert text.count("**crash (SIGSEGV)**") == len(faults.FAULTS)
    docs = Path(__file__).resolve().parent.parent / "docs" / "faults.md"
    published = docs.read_text(encoding="utf-8")
    assert all(mark in published for mark in faults.MARKS)
    for fault in faults.FAULTS.values():
        assert fault.what in published, "write the table again: see the head of faults.py"
