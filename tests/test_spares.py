"""Texts that a load gives out again once nobody has them any more (`src/object/spares.rs`).

Nobody may be able to tell by what was loaded: no text is shared that C does not share, and what is dumped of it
has C's bytes.
"""

from __future__ import annotations

import gc
import io
import itertools
import sys
from typing import Any

import pytest

from support import PROTOCOLS, c, ox

#: Sizes at which a text is looked at in another way, and some in between.
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 64]


def texts(letter: str) -> list[str]:
    return [letter * size for size in SIZES]


def twice(mod: Any, stream: bytes) -> list[Any]:
    """The texts are known after two loads; what comes then may be given out again."""
    for _ in range(3):
        mod.loads(stream)
    return [mod.loads(stream), mod.loads(stream)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_texts_of_two_loads_that_are_both_kept_are_two(protocol: int) -> None:
    stream = c.dumps(dict(zip(texts("k"), texts("v"), strict=True)), protocol)
    ours, theirs = twice(ox, stream), twice(c, stream)
    assert ours == theirs
    assert c.dumps(ours, protocol) == c.dumps(theirs, protocol)
    for first, second in itertools.product(ours[0].items(), ours[1].items()):
        for one, other in zip(first, second, strict=True):
            assert one is not other or len(one) == 1


def test_a_text_that_comes_twice_in_a_message_is_two() -> None:
    # No memo in between: the opcodes themselves.
    stream = b"\x80\x04]("
    for text in texts("t") * 2:
        stream += b"\x8c" + bytes([len(text)]) + text.encode()
    stream += b"e."
    ours, theirs = twice(ox, stream), twice(c, stream)
    assert ours == theirs
    assert c.dumps(ours) == c.dumps(theirs)


def test_a_text_that_was_interned_is_not_given_out_again() -> None:
    text = "".join(["a text ", "that is interned"])
    stream = c.dumps([text])
    for _ in range(3):
        ox.loads(stream)
    interned = sys.intern(ox.loads(stream)[0])
    assert interned is sys.intern(text + "")
    del interned
    loaded = ox.loads(stream)[0]
    assert sys.intern(text + "") is not loaded or sys.intern(loaded) is loaded
    again = ox.loads(stream)[0]
    assert again is not loaded


def test_names_of_attributes_are_interned_as_by_c() -> None:
    class Plain:
        pass

    globals()["Plain"] = Plain
    Plain.__qualname__ = "Plain"
    instance = Plain()
    instance.__dict__.update({"name" + str(n): n for n in range(8)})
    stream = c.dumps([instance, "name" + str(3)])
    for mod in (c, ox):
        first, second = twice(mod, stream)
        for loaded in (first, second):
            for name in vars(loaded[0]):
                assert name is sys.intern(name + ""), mod
        assert first[1] is not second[1]


@pytest.mark.parametrize("text", ["é" * 4, "ab\x80c", "日本語の名前", "a\ud800bcd", "🐍🐍"])
def test_other_texts_are_made_each_time(text: str) -> None:
    stream = c.dumps({text: text + "!"})
    ours, theirs = twice(ox, stream), twice(c, stream)
    assert ours == theirs
    assert c.dumps(ours) == c.dumps(theirs)


def test_texts_that_differ_in_one_letter_are_told_apart() -> None:
    for size in SIZES:
        alike = {"x" * at + "y" + "x" * (size - at - 1): at for at in range(size)}
        stream = c.dumps(alike)
        for loaded in twice(ox, stream):
            assert loaded == alike


def test_a_load_inside_a_load_has_its_own() -> None:
    inner = c.dumps({"a key of both": 1})

    class Inside(ox.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return ox.loads(inner)

    class Pickler(c.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return "inside" if obj is Ellipsis else None

    out = io.BytesIO()
    Pickler(out).dump([{"a key of both": 2}, ..., {"a key of both": 3}])
    kept = []
    for _ in range(4):
        kept.append(Inside(io.BytesIO(out.getvalue())).load())
    for outer, within, last in kept:
        assert (outer, within, last) == (
            {"a key of both": 2},
            {"a key of both": 1},
            {"a key of both": 3},
        )
    keys = [id(next(iter(part))) for loaded in kept for part in loaded[:2]]
    assert len(set(keys)) == len(keys)


def test_a_text_has_at_most_one_reference_more() -> None:
    stream = c.dumps([{key: [key * 2] for key in texts("r")} for _ in range(3)])
    for _ in range(4):
        ours, theirs = ox.loads(stream), c.loads(stream)
        for mine, other in zip(ours, theirs, strict=True):
            more = {
                sys.getrefcount(a) - sys.getrefcount(b)
                for a, b in zip(mine, other, strict=True)
                if len(a) > 1
            }
            assert more <= {0, 1}
    del mine, ours
    assert {sys.getrefcount(key) for key in ox.loads(stream)[0] if len(key) > 32} == {
        sys.getrefcount(key) for key in c.loads(stream)[0] if len(key) > 32
    }


def test_few_texts_are_kept() -> None:
    streams = [c.dumps({f"a key {n}": n, f"another {n}": n}) for n in range(20_000)]
    for stream in streams[:1000]:
        ox.loads(stream)
    gc.collect()
    before = sys.getallocatedblocks()
    for stream in streams:
        ox.loads(stream)
        ox.loads(stream)
    gc.collect()
    assert sys.getallocatedblocks() - before < 300
