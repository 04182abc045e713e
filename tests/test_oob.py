"""Out-of-band buffers (PEP 574): our PickleBuffer and the core's, callbacks, buffers.

Our class itself is compared with the core's in `test_picklebuffer_parity.py`.
"""

from __future__ import annotations

import array
import gc
import io
import sys
from typing import Any

import pytest

from support import PROTOCOLS, Raised, Recorder, agree, attempt, c, ox

#: The class of the interpreter's core, which other extensions create.
CORE = c.PickleBuffer
OURS = ox.PickleBuffer

SOURCES: dict[str, Any] = {
    "bytes": lambda: b"some bytes",
    "bytearray": lambda: bytearray(b"some bytes"),
    "empty": lambda: b"",
    "read-only view": lambda: memoryview(b"some bytes"),
    "writable view": lambda: memoryview(bytearray(b"some bytes")),
    "part of a view": lambda: memoryview(b"some bytes")[2:6],
    "array": lambda: array.array("d", [1.5, 2.5]),
    "two dimensions": lambda: memoryview(bytes(range(12))).cast("B", (3, 4)),
    "no dimension": lambda: memoryview(b"\x01\x02\x03\x04").cast("I", ()),
    "strided": lambda: memoryview(b"some bytes")[::2],
    "reversed": lambda: memoryview(bytearray(b"some bytes"))[::-1],
    "large": lambda: b"x" * 70000,
    "large writable": lambda: bytearray(70000),
    "one byte": lambda: bytearray(b"x"),
}


class Carrier:
    """Reduces to a PickleBuffer of the given class, below protocol 5 to plain bytes."""

    def __init__(self, data: Any, kind: Any = None) -> None:
        self.data, self.kind = data, kind

    def __reduce_ex__(self, protocol: int) -> Any:
        if protocol >= 5:
            return Carrier, (self.kind(self.data),)
        return Carrier, (bytes(self.data),)

    def __eq__(self, other: Any) -> bool:
        return bytes(self.data) == bytes(other.data)


def shapes(kind: Any, source: Any) -> Any:
    buffer = kind(source)
    return [1, buffer, (buffer, "shared"), kind(source), {"k": source}, "end"]


def dumped(mod: Any, kind: Any, make: Any, protocol: int, callback: Any = None) -> Any:
    """The stream and what the callback saw, both without the buffers' addresses."""
    seen: list[Any] = []

    def call(buffer: Any) -> Any:
        seen.append((type(buffer) is kind, bytes(buffer.raw()) if attempt_raw(buffer) else None))
        return callback(buffer)

    options = {"buffer_callback": call} if callback else {}
    outcome = attempt(mod.dumps, shapes(kind, make()), protocol, **options)
    return outcome, seen


def attempt_raw(buffer: Any) -> bool:
    return not isinstance(attempt(buffer.raw), Raised)


CALLBACKS: dict[str, Any] = {
    "none": None,
    "out of band": lambda buffer: None,
    "in band": lambda buffer: True,
    "False": lambda buffer: False,
    "empty list": lambda buffer: [],
    "text": lambda buffer: "true",
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("callback", CALLBACKS)
@pytest.mark.parametrize("kind", [CORE, OURS], ids=["core", "ours"])
def test_dumps(kind: Any, callback: str, source: str) -> None:
    """Both classes give the bytes that C gives for its own."""
    protocols = PROTOCOLS if callback == "none" else [5]
    for protocol in protocols:
        ours, our_seen = dumped(ox, kind, SOURCES[source], protocol, CALLBACKS[callback])
        theirs, their_seen = dumped(c, CORE, SOURCES[source], protocol, CALLBACKS[callback])
        agree(ours, theirs, f"protocol {protocol}")
        assert our_seen == their_seen


@pytest.mark.parametrize(
    "source", ["bytes", "bytearray", "array", "large", "large writable", "empty"]
)
@pytest.mark.parametrize("kind", [CORE, OURS], ids=["core", "ours"])
def test_round_trip(kind: Any, source: str) -> None:
    data = SOURCES[source]()
    for in_band in (True, False):
        buffers: list[Any] = []
        stream = ox.dumps(
            [Carrier(data, kind), 1],
            5,
            buffer_callback=(lambda b: True) if in_band else buffers.append,
        )
        assert bool(buffers) != in_band
        for mod in (ox, c):
            loaded = mod.loads(stream, buffers=buffers)
            assert bytes(loaded[0].data) == bytes(memoryview(data).cast("B"))
        if buffers:
            assert type(buffers[0]) is kind
            assert ox.loads(stream, buffers=[b"other"])[0].data == b"other"
            with pytest.raises(c.UnpicklingError, match="not enough out-of-band buffers"):
                ox.loads(stream, buffers=[])


def test_a_buffer_is_not_copied() -> None:
    """Out of band, the loaded object is the very one given; in band, `write` gets the buffer."""
    data = bytearray(b"x" * 100_000)
    buffers: list[Any] = []
    stream = ox.dumps(OURS(data), 5, buffer_callback=buffers.append)
    assert len(stream) < 20
    assert buffers[0].raw().obj is data
    assert ox.loads(stream, buffers=[data]) is data
    for kind in (CORE, OURS):
        buffer = kind(data)
        out = Recorder()
        ox.dump(buffer, out, 5)
        assert any(obj is buffer for obj in out.objects)


@pytest.mark.parametrize("kind", [CORE, OURS], ids=["core", "ours"])
def test_a_read_only_buffer_loads_read_only(kind: Any) -> None:
    buffers: list[Any] = []
    stream = ox.dumps([kind(b"ro"), kind(bytearray(b"rw"))], 5, buffer_callback=buffers.append)
    given = [bytearray(b"ro"), bytearray(b"rw")]
    loaded = ox.loads(stream, buffers=given)
    assert memoryview(loaded[0]).readonly
    assert not memoryview(loaded[1]).readonly
    assert loaded[1] is given[1]


@pytest.mark.parametrize("kind", [CORE, OURS], ids=["core", "ours"])
def test_every_reference_calls_the_callback(kind: Any) -> None:
    """Out-of-band buffers are not memoised; in-band ones are, as the PickleBuffer object."""
    counts = []
    for mod in (ox, c):
        used = kind if mod is ox else CORE
        calls: list[Any] = []
        buffer = used(b"data")
        mod.dumps([buffer, buffer, buffer], 5, buffer_callback=calls.append)
        in_band: list[Any] = []
        stream = mod.dumps(
            [buffer, buffer], 5, buffer_callback=lambda b, s=in_band: s.append(b) or 1
        )
        counts.append((len(calls), len(in_band), stream))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kind", [CORE, OURS], ids=["core", "ours"])
def test_errors(kind: Any) -> None:
    released = kind(b"x")
    released.release()
    core_released = CORE(b"x")
    core_released.release()
    for protocol in PROTOCOLS:
        for mine, other in (
            (released, core_released),
            (kind(b"x"), CORE(b"x")),
            (kind(SOURCES["strided"]()), CORE(SOURCES["strided"]())),
        ):
            agree(attempt(ox.dumps, mine, protocol), attempt(c.dumps, other, protocol))
            agree(attempt(ox.dumps, [1, mine], protocol), attempt(c.dumps, [1, other], protocol))
    for callback in (5, None, lambda: None, lambda b: 1 / 0, lambda b: BadBool()):
        for protocol in (None, *PROTOCOLS):
            ours = attempt(ox.dumps, kind(b"x"), protocol, buffer_callback=callback)
            theirs = attempt(c.dumps, CORE(b"x"), protocol, buffer_callback=callback)
            agree(ours, theirs, f"{callback}, {protocol}")


class BadBool:
    def __bool__(self) -> bool:
        raise ZeroDivisionError("asked for truth")


@pytest.mark.parametrize("kind", [CORE, OURS], ids=["core", "ours"])
@pytest.mark.parametrize("where", ["callback", "bool"])
def test_gh_143308_the_callback_releases_the_buffer(kind: Any, where: str) -> None:
    """The data stay what they were: no freed memory is read, on every version."""
    source = bytearray(b"the data" * 100)

    class Truth:
        def __init__(self, buffer: Any) -> None:
            self.buffer = buffer

        def __bool__(self) -> bool:
            self.buffer.release()
            return True

    def callback(buffer: Any) -> Any:
        if where == "bool":
            return Truth(buffer)
        buffer.release()
        return True

    stream = attempt(ox.dumps, kind(source), 5, buffer_callback=callback)
    if isinstance(stream, Raised):
        assert stream[:2] == (
            ValueError,
            "operation forbidden on released PickleBuffer object",
        )
    else:
        assert ox.loads(stream) == source
    source.extend(b"free again")


@pytest.mark.parametrize("kind", [CORE, OURS], ids=["core", "ours"])
def test_the_callback_may_dump(kind: Any) -> None:
    nested: list[Any] = []

    def callback(buffer: Any) -> None:
        nested.append(ox.dumps([buffer, "nested"], 5))

    stream = ox.dumps([kind(b"one"), kind(bytearray(b"two"))], 5, buffer_callback=callback)
    assert [ox.loads(data) for data in nested] == [
        [b"one", "nested"],
        [bytearray(b"two"), "nested"],
    ]
    assert ox.loads(stream, buffers=[b"1", 2])[1] == 2


def test_pickler_option() -> None:
    for kind in (CORE, OURS):
        seen: list[Any] = []
        out = io.BytesIO()
        pickler = ox.Pickler(out, 5, buffer_callback=seen.append)
        buffer = kind(b"data")
        pickler.dump([buffer])
        pickler.dump([buffer])
        assert seen == [buffer, buffer]
        out.seek(0)
        reader = ox.Unpickler(out, buffers=iter([b"1", b"2"]))
        assert [reader.load(), reader.load()] == [[b"1"], [b"2"]]


@pytest.mark.parametrize("kind", [CORE, OURS], ids=["core", "ours"])
def test_references_are_given_back(kind: Any, collected: None) -> None:
    data = bytearray(b"x" * 1000)
    before = sys.getrefcount(data)
    buffers: list[Any] = []
    for _ in range(10):
        stream = ox.dumps([kind(data), Carrier(data, kind)], 5, buffer_callback=buffers.append)
        ox.loads(stream, buffers=buffers)
        ox.dumps([kind(data)], 5)
        attempt(ox.dumps, [kind(data)], 4)
        attempt(ox.dumps, kind(data), 5, buffer_callback=lambda b: 1 / 0)
        attempt(ox.loads, stream, buffers=buffers[:1])
        buffers.clear()
    gc.collect()
    assert sys.getrefcount(data) == before
    data.extend(b"not locked")


def test_subclasses_and_persistent_ids_see_buffers() -> None:
    def run(mod: Any, kind: Any) -> Any:
        log: list[str] = []

        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                log.append(type(obj).__name__)
                return "pid" if type(obj) is kind and len(obj.raw()) == 3 else None

            def reducer_override(self, obj: Any) -> Any:
                log.append("override " + type(obj).__name__)
                return NotImplemented

        P(out := io.BytesIO(), 5).dump([kind(b"abc"), kind(b"abcd"), kind(bytearray(1))])
        return out.getvalue(), log

    theirs = run(c, CORE)
    for kind in (CORE, OURS):
        assert run(ox, kind) == theirs


def test_objects_that_are_no_buffers_at_all() -> None:
    for kind in (CORE, OURS):
        for value in ("text", 5, None, [b"x"]):
            agree(attempt(kind, value), attempt(CORE, value))
