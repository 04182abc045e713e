"""The opcode table in src/format/opcode.rs says what `pickletools` of this interpreter says.

Reads the source, since the table has no view from Python. Must not store opcodes of its own.
"""

from __future__ import annotations

import pickletools
import re
from typing import Any

from support import ROOT

LINE = re.compile(
    r"^ +(?P<variant>\w+) +(?P<name>[A-Z0-9_]+) +(?P<byte>0x[0-9a-f]{2}) (?P<protocol>\d)"
    r' (?P<arg>\w+) \[(?P<before>[\w ]*)\] \[(?P<after>[\w ]*)\] "(?P<meaning>[^"]+)";$',
    re.MULTILINE,
)


def bare(name: str) -> str:
    """A name as both sides can be brought to: `BytesOrStr` and `bytes_or_str` are the same."""
    return name.replace("_", "").lower()


def table() -> dict[str, dict[str, Any]]:
    source = (ROOT / "src" / "format" / "opcode.rs").read_text("utf-8")
    rows = [match.groupdict() for match in LINE.finditer(source)]
    assert len(rows) == len({row["name"] for row in rows})
    return {row["name"]: row for row in rows}


def test_the_same_opcodes() -> None:
    ours = {name: int(row["byte"], 16) for name, row in table().items()}
    theirs = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}
    assert ours == theirs


def test_the_same_protocols() -> None:
    ours = {name: int(row["protocol"]) for name, row in table().items()}
    theirs = {opcode.name: opcode.proto for opcode in pickletools.opcodes}
    assert ours == theirs


def test_the_same_arguments() -> None:
    ours = {name: bare(row["arg"]) for name, row in table().items()}
    theirs = {
        opcode.name: bare(opcode.arg.name) if opcode.arg else "none"
        for opcode in pickletools.opcodes
    }
    assert ours == theirs


def test_the_same_stack_effects() -> None:
    ours = {
        name: ([bare(slot) for slot in row["before"].split()], bare(row["after"]).split())
        for name, row in table().items()
    }
    theirs = {
        opcode.name: (
            [bare(slot.name) for slot in opcode.stack_before],
            [bare(slot.name) for slot in opcode.stack_after],
        )
        for opcode in pickletools.opcodes
    }
    assert ours == theirs


def test_the_names_in_rust_are_those_of_pickletools() -> None:
    # `None` is taken by Option.
    other = {"NoneObject": "NONE"}
    for name, row in table().items():
        assert bare(other.get(row["variant"], row["variant"])) == bare(name)
        assert row["meaning"].strip()
