"""Each of the 256 bytes, seen through the loader: an opcode, or an invalid load key.

The table in the source is compared with `pickletools` in `test_opcode_table.py`.
"""

from __future__ import annotations

import io
import pickletools

import pytest

from support import Raised, attempt, c, ox

KNOWN = {ord(opcode.code): opcode for opcode in pickletools.opcodes}


def test_the_table_of_the_interpreter_is_what_we_know() -> None:
    assert len(KNOWN) == 68
    assert max(opcode.proto for opcode in KNOWN.values()) == 5


@pytest.mark.parametrize("byte", range(256))
def test_known_or_invalid(byte: int) -> None:
    for load in (ox.loads, lambda data: ox.load(io.BytesIO(data))):
        outcome = attempt(load, bytes([byte]) + b"\n\n")
        if byte in KNOWN:
            told = isinstance(outcome, Raised) and "invalid load key" in outcome.text
            # a one-byte opcode is followed by the line feed, which is no opcode itself
            assert not told or outcome.text == "invalid load key, '\\x0a'."
        else:
            assert isinstance(outcome, Raised)
            assert outcome.type is c.UnpicklingError
            assert outcome.text == attempt(c.loads, bytes([byte])).text
            assert outcome.text.startswith("invalid load key, '")


@pytest.mark.parametrize("protocol", range(6))
def test_no_opcode_of_a_later_protocol_is_written(protocol: int) -> None:
    from corpus import CASES

    written: set[str] = set()
    left_out = ("frames", "more_than_65536", "class_with_non_ascii")  # pickletools reads ASCII
    for name in [name for name in CASES if not name.startswith(left_out)][::2]:
        data = attempt(ox.dumps, CASES[name](), protocol)
        if isinstance(data, bytes) and len(data) < 20_000:
            found = {opcode.name: opcode.proto for opcode, _, _ in pickletools.genops(data)}
            # a state setter is called through TUPLE2 at every protocol, as in C
            late = {n for n, p in found.items() if p > protocol and n != "TUPLE2"}
            assert not late, (name, late)
            written |= set(found)
    assert len(written) > 15
