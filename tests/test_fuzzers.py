"""The fuzzers of `tests/fuzz`: what they are made of, that they find a fault, and a moment of each.

How long they run in earnest is said in `noxfile.py` and in the nightly workflow.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mutations import sources
from support import TESTS, attempt, c, child_ok

sys.path.insert(0, str(TESTS / "fuzz"))

import graphs
import opcodes

NAMES = [("corpus", "Plain"), ("builtins", "list")]


def test_streams_come_apart_and_together() -> None:
    """The opcodes of a stream make it up; frames are left out and their content is not."""
    framed = 0
    for data in sources():
        joined = opcodes.join(opcodes.split(data))
        if b"\x95" not in data:
            assert joined == data
        elif data[:3] in (b"\x80\x04\x95", b"\x80\x05\x95") and data.count(b"\x95") == 1:
            if int.from_bytes(data[3:11], "little") != len(data) - 11:
                continue
            assert joined == data[:2] + data[11:]
            framed += 1
    assert framed > 50


def test_texts_that_differ_in_an_address_are_no_finding() -> None:
    """A stream can make a text of the `repr` of an object; what else differs is still found."""
    code = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from loading import _same_but_for_addresses as same
    print(same(".x: '<A at 0x7f1000>' and '<A at 0x7f2000>'"))
    print(same(".x: '<A at 0x7f1000>' and '<B at 0x7f2000>'"), same(".x: 'a' and 'a'"), same("lengths"))
    """
    assert child_ok(code, str(TESTS / "fuzz")) == "True\nFalse False False\n"


def test_frames_are_put_on_anew() -> None:
    value = {"a": [1, 2, 3], "b": "text"}
    parts = opcodes.split(c.dumps(value, 4))
    framed = 0
    for seed in range(200):
        data = opcodes.join(parts, random.Random(seed))
        framed += b"\x95" in data
        assert opcodes.split(data)[:3] == parts[:3]
    assert 20 < framed < 120


def test_changes_follow_from_the_seed() -> None:
    data, other = c.dumps([1, {"k": (2,)}], 4), c.dumps({1: "x"}, 2)
    made = [opcodes.mutate(data, other, random.Random(7), NAMES) for _ in range(2)]
    assert made[0] == made[1]
    different = {opcodes.mutate(data, other, random.Random(seed), NAMES) for seed in range(300)}
    assert len(different) > 250
    assert all(len(one) <= opcodes.LONGEST for one in different)
    # Enough of them load, or nothing behind the first opcode would be reached.
    loaded = [one for one in different if not hasattr(attempt(c.loads, one), "notes")]
    assert len(loaded) > 30


def test_graphs_follow_from_the_choices() -> None:
    assert graphs.Graph(b"").value() is None
    kinds = set()
    for seed in range(300):
        choices = random.Random(seed).randbytes(60)
        first, second = graphs.Graph(choices), graphs.Graph(choices)
        one, other = first.value(), second.value()
        kinds.add(type(one))
        assert type(one) is type(other)
        if not first.changes:
            assert attempt(c.dumps, one, 2)[:1] == attempt(c.dumps, other, 2)[:1]
    assert len(kinds) > 25


PLANTED = """
import random, sys, tempfile, types
from pathlib import Path
sys.path.insert(0, {fuzz!r})
import drive, {target}
from support import c

class Faulty:
    '''C's _pickle, which takes one opcode for another.'''
    __name__ = "faulty"
    Unpickler, Pickler, load, dump = c.Unpickler, c.Pickler, c.load, c.dump
    def loads(self, data, **options):
        return c.loads(bytes(data).replace(b"K\\x01", b"K\\x02"), **options)
    def dumps(self, value, *args, **options):
        return c.dumps(value, *args, **options).replace(b"N", b"\\x88")

{target}.ox = Faulty()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "state")
    path.write_bytes(bytes(drive.STATE_SIZE))
    state = drive.State(path)
    turns = drive.Turns(state)
    target, rng = {target}.Target(), random.Random(1)
    pool = target.seeds()
    for number in range({most}):
        data = target.mutate(rng.choice(pool), rng.choice(pool), rng)
        if drive.try_one(target, state, turns, number, data):
            least = drive.smaller(target, state, turns, data, seconds=300)
            print(len(data), len(least))
            break
    state.close()
"""


@pytest.mark.parametrize(
    ("target", "most", "size"), [("loading", 40_000, 100), ("dumping", 4000, 24)]
)
def test_a_fault_is_found_and_made_small(target: str, most: int, size: int) -> None:
    """A way to load or dump that gets one number wrong is found, in a short input.

    Not the shortest: what is left out is always one run of parts.
    """
    code = PLANTED.format(fuzz=str(TESTS / "fuzz"), target=target, most=most)
    found = child_ok(code, timeout=600).split()
    assert found, "the fault was not found"
    assert int(found[1]) <= size


@pytest.mark.skipif(
    sys.platform != "linux", reason="older C believes sizes; memory limits are Linux's"
)
def test_a_moment_of_fuzzing(tmp_path: Path) -> None:
    """Both fuzzers, without guidance and with a corpus of their own, find nothing."""
    path = os.pathsep.join([str(TESTS), *(entry for entry in sys.path if entry)])
    line = [sys.executable, str(TESTS / "fuzz" / "drive.py"), "loading", "dumping"]
    line += ["--executions", "4000", "--minutes", "5", "--seed", "1"]
    line += ["--corpus", str(tmp_path / "corpus"), "--artifacts", str(tmp_path / "artifacts")]
    done = subprocess.run(
        line, env=dict(os.environ, PYTHONPATH=path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    figures = [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]
    assert [one["fuzzer"] for one in figures] == ["loading", "dumping"]
    assert all(one["executions"] >= 2000 for one in figures)
