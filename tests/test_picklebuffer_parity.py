"""Our PickleBuffer is like the interpreter's own, and both pickle alike through our pickler.

Each fact is asked of both classes. What differs, and is said here: the class of C is static, and where
`raw()` must show memory that memoryview cannot cast, `obj` is an object of ours.
"""

from __future__ import annotations

import array
import copy
import ctypes
import gc
import inspect
import io
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from support import PROTOCOLS, Raised, agree, attempt, c, isomorphic, ox

_testbuffer = pytest.importorskip("_testbuffer", reason="the interpreter lacks its test modules")
ndarray = _testbuffer.ndarray

CLASSES = [ox.PickleBuffer, c.PickleBuffer]


def both(ask: Callable[[Any], Any], label: str = "") -> Any:
    """What *ask* gets out of our class, which must be what it gets out of C's."""
    ours, theirs = attempt(ask, ox.PickleBuffer), attempt(ask, c.PickleBuffer)
    agree(ours, theirs, label)
    return ours


def released(cls: Any) -> Any:
    buffer = cls(bytearray(b"abc"))
    buffer.release()
    return buffer


def shown(view: memoryview) -> tuple[Any, ...]:
    """Everything that can be seen of a memoryview but its `obj`."""
    return (
        view.format,
        view.itemsize,
        view.ndim,
        view.shape,
        view.strides,
        view.suboffsets,
        view.readonly,
        view.nbytes,
        view.c_contiguous,
        view.f_contiguous,
        view.contiguous,
        view.tobytes(),
    )


#: Exporters of all kinds.
EXPORTERS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"abc",
    "no bytes": lambda: b"",
    "bytearray": lambda: bytearray(b"abc"),
    "empty bytearray": lambda: bytearray(),
    "array of ints": lambda: array.array("i", [1, 2, 3]),
    "array of floats": lambda: array.array("d", [0.5]),
    "memoryview": lambda: memoryview(bytearray(b"abc")),
    "read-only memoryview": lambda: memoryview(bytearray(b"abc")).toreadonly(),
    "every other byte": lambda: memoryview(b"abcdef")[::2],
    "backwards": lambda: memoryview(b"abcdef")[::-1],
    "cast to two dimensions": lambda: memoryview(bytes(6)).cast("B", (2, 3)),
    "ctypes array": lambda: (ctypes.c_int * 3)(1, 2, 3),
    "ctypes structs": lambda: (
        type("S", (ctypes.Structure,), {"_fields_": [("a", ctypes.c_int)]}) * 2
    )(),
    "C order": lambda: ndarray(list(range(6)), shape=(2, 3), format="i"),
    "C order, explicit format": lambda: ndarray(list(range(6)), shape=(2, 3), format="<h"),
    "Fortran order": lambda: ndarray(list(range(6)), shape=(2, 3), strides=(2, 4), format="<h"),
    "neither order": lambda: ndarray(list(range(12)), shape=(4, 3), format="<i")[::2],
    "no dimensions": lambda: ndarray(456, shape=(), format="i"),
    "no dimensions, explicit format": lambda: ndarray(456, shape=(), format="<i"),
    "tuples": lambda: ndarray([(1, 2), (3, 4)], shape=(2,), format="<iq"),
    "no items": lambda: array.array("i"),
    "an empty dimension": lambda: ndarray([1, 2], shape=(2, 1), format="i")[:, 1:],
    "PickleBuffer of ours": lambda: ox.PickleBuffer(bytearray(b"abc")),
    "PickleBuffer of C": lambda: c.PickleBuffer(bytearray(b"abc")),
}


@pytest.mark.parametrize("name", EXPORTERS)
def test_views(name: str) -> None:
    make = EXPORTERS[name]
    both(lambda cls: shown(memoryview(cls(make()))))
    both(lambda cls: shown(cls(make()).raw()))
    both(lambda cls: bytes(cls(make())))
    both(lambda cls: memoryview(cls(make())).obj is not None)


def test_views_name_the_owner_of_the_memory() -> None:
    for data in (b"abc", bytearray(b"abc"), array.array("i", [1])):
        for wrap in (lambda x: x, ox.PickleBuffer, c.PickleBuffer):
            assert both(lambda cls: memoryview(cls(wrap(data))).obj is data)
            assert both(lambda cls: cls(wrap(data)).raw().obj is data)
        # A memoryview is an owner itself.
        view = memoryview(data)
        assert both(lambda cls: memoryview(cls(view)).obj is view)
        assert both(lambda cls: cls(view).raw().obj is view)


def test_writing_through() -> None:
    def write(cls: Any) -> bytes:
        data = bytearray(b"abc")
        with memoryview(cls(data)) as view:
            view[0] = 65
        with cls(data).raw() as view:
            view[1] = 66
        return bytes(data)

    assert both(write) == b"ABc"


def test_writing_through_memory_that_cannot_be_cast() -> None:
    def write(cls: Any) -> list[Any]:
        flags = _testbuffer.ND_WRITABLE
        data = ndarray([1, 2, 3, 4], shape=(2, 2), strides=(1, 2), format="B", flags=flags)
        with cls(data).raw() as view:
            view[1] = 66
        return data.tolist()

    assert both(write) == [[1, 3], [66, 4]]


# --- construction, misuse, and the class itself ------------------------------------------------

MISUSE: list[Callable[[Any], Any]] = [
    lambda cls: cls(),
    lambda cls: cls(1),
    lambda cls: cls("text"),
    lambda cls: cls(None),
    lambda cls: cls(b"a", b"b"),
    lambda cls: cls(object=b"a"),
    lambda cls: cls(b"a", other=1),
    lambda cls: cls.__new__(cls),
    lambda cls: cls(memoryview(b"a").release()),
    lambda cls: cls(released(cls)),
    lambda cls: released(cls).raw(),
    lambda cls: memoryview(released(cls)),
    lambda cls: bytes(released(cls)),
    lambda cls: released(cls).release(),
    lambda cls: cls(b"a").raw(1),
    lambda cls: cls(b"a").raw(x=1),
    lambda cls: cls(b"a").release(1),
    lambda cls: cls.raw(),
    lambda cls: cls.raw(1),
    lambda cls: len(cls(b"")),
    lambda cls: iter(cls(b"")),
    lambda cls: cls(b"")[0],
    lambda cls: cls(b"") < cls(b""),
    lambda cls: cls(b"").__dict__,
    lambda cls: setattr(cls(b""), "x", 1),
    lambda cls: setattr(cls, "x", 1),
    lambda cls: type("Sub", (cls,), {}),
    lambda cls: copy.copy(cls(b"")),
    lambda cls: copy.deepcopy(cls(b"")),
    lambda cls: cls(b"").__reduce__(),
    lambda cls: inspect.signature(cls),
    *(lambda cls, protocol=protocol: cls(b"").__reduce_ex__(protocol) for protocol in PROTOCOLS),
]


@pytest.mark.parametrize("number", range(len(MISUSE)))
def test_misuse(number: int) -> None:
    both(MISUSE[number])


FACTS: list[Callable[[Any], Any]] = [
    lambda cls: (cls.__name__, cls.__qualname__, cls.__module__, cls.__bases__, repr(cls)),
    lambda cls: (cls.raw.__name__, cls.raw.__qualname__, cls.raw.__text_signature__),
    lambda cls: (cls.release.__name__, cls.release.__qualname__, cls.release.__text_signature__),
    lambda cls: (type(cls.raw).__name__, cls.__text_signature__),
    lambda cls: repr(cls(b""))[:24],
    lambda cls: sorted(set(dir(cls)) - {"__module__"}),
    lambda cls: (cls(b"a") == cls(b"a"), cls(b"a") != cls(b"a"), bool(cls(b""))),
    lambda cls: b"-".join([cls(b"a"), cls(b"b")]),
    lambda cls: gc.is_tracked(cls(b"")),
    lambda cls: cls(b"").__init__(1, 2, x=3),
    lambda cls: cls.__new__(cls, b"a").raw().tobytes(),
    lambda cls: hash(cls(b"")) is not None,
    lambda cls: cls(b"").raw().release(),
]


@pytest.mark.parametrize("number", range(len(FACTS)))
def test_facts(number: int) -> None:
    assert not isinstance(both(FACTS[number]), Raised)


def test_hash_and_equality_go_by_identity() -> None:
    a, b = ox.PickleBuffer(b"a"), ox.PickleBuffer(b"a")
    assert a == a and a != b
    assert len({a: 1, b: 2}) == 2


# --- lifetime ----------------------------------------------------------------------------------


def test_the_buffer_is_locked_until_released() -> None:
    def life(cls: Any) -> list[Any]:
        data = bytearray(b"abc")
        seen = []
        buffer = cls(data)
        seen.append(attempt(data.append, 1))
        view, raw = memoryview(buffer), buffer.raw()
        buffer.release()
        seen.append(attempt(data.append, 1))
        raw.release()
        seen.append(attempt(data.append, 1))
        view.release()
        seen.append(attempt(data.append, 1))
        del cls(data).release
        return seen

    def without_last(cls: Any) -> list[Any]:
        data = bytearray(b"abc")
        buffer = cls(data)
        locked = attempt(data.append, 1)
        del buffer
        return [locked, attempt(data.append, 1), bytes(data)]

    both(life)
    assert both(without_last)[1:] == [None, b"abc\x01"]


@pytest.mark.parametrize("name", EXPORTERS)
def test_references(name: str) -> None:
    """Nothing is left behind by views, their release, or the lack of it."""
    data = EXPORTERS[name]()
    if isinstance(data, bytes) and not data:
        data = bytes(bytearray())

    def use(cls: Any) -> None:
        buffer = cls(data)
        attempt(buffer.raw)
        view = memoryview(buffer)
        again = memoryview(view)
        view.release()
        del again
        if not isinstance(raw := attempt(buffer.raw), Raised):
            buffer.release()
            raw.release()
        buffer.release()
        attempt(buffer.raw)

    for cls in CLASSES:
        use(cls)
        before = sys.getrefcount(data)
        for _ in range(100):
            use(cls)
        assert sys.getrefcount(data) == before, cls


class Exporter(bytearray):
    """A bytearray that can be in a cycle."""


@pytest.mark.parametrize(
    "hold",
    [
        lambda cls, data: cls(data),
        lambda cls, data: cls(data).raw(),
        lambda cls, data: memoryview(cls(data)),
        lambda cls, data: cls(cls(data)),
        lambda cls, data: cls(memoryview(data)),
    ],
)
@pytest.mark.usefixtures("collected")
def test_cycles_are_collected(hold: Callable[[Any, Any], Any]) -> None:
    for cls in CLASSES:
        data = Exporter(b"abc")
        data.cycle = hold(cls, data)
        gone = weakref.ref(data)
        del data
        gc.collect()
        assert gone() is None, cls


@pytest.mark.usefixtures("collected")
def test_a_cycle_through_memory_that_cannot_be_cast_is_collected() -> None:
    class Owner:
        pass

    owner = Owner()
    owner.buffer = ox.PickleBuffer(ndarray([1, 2, 3, 4], shape=(2, 2), strides=(1, 2), format="B"))
    owner.cycle = owner
    owner.raw = owner.buffer.raw()
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_weak_references() -> None:
    for cls in CLASSES:
        buffer = cls(b"abc")
        calls: list[Any] = []
        reference = weakref.ref(buffer, calls.append)
        assert reference() is buffer
        del buffer
        assert reference() is None and calls == [reference]


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="__buffer__ in Python came with 3.12 (PEP 688)"
)
def test_exporters_written_in_python() -> None:
    def calls(cls: Any) -> list[Any]:
        log: list[Any] = []

        class Exports:
            def __buffer__(self, flags: int) -> memoryview:
                log.append(("buffer", flags))
                return memoryview(b"abc")

            def __release_buffer__(self, view: memoryview) -> None:
                log.append(("release", view.tobytes()))

        buffer = cls(Exports())
        log.append(attempt(buffer.raw))
        log.append(attempt(memoryview, buffer))
        buffer.release()
        log.append("released")
        del buffer
        return log

    both(calls)


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="__buffer__ in Python came with 3.12 (PEP 688)"
)
def test_the_buffer_methods_of_pep_688() -> None:
    both(lambda cls: cls(b"abc").__buffer__(0).tobytes())
    both(lambda cls: attempt(released(cls).__buffer__, 0))


# --- pickling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", EXPORTERS)
def test_both_classes_pickle_alike(name: str, protocol: int) -> None:
    """In band, and out of band with each answer that a callback can give."""
    make = EXPORTERS[name]

    def dump(mod: Any, cls: Any, answer: Any) -> Any:
        seen: list[Any] = []

        def callback(buffer: Any) -> Any:
            seen.append(type(buffer) is cls)
            return answer

        kwargs = {} if answer is None else {"buffer_callback": callback}
        obj = cls(make())
        result = attempt(mod.dumps, [obj, obj, 1], protocol, **kwargs)
        return result, seen

    for answer in (None, True, False) if protocol == 5 else (None,):
        theirs = dump(c, c.PickleBuffer, answer)
        for cls in CLASSES:
            agree(dump(ox, cls, answer)[0], theirs[0], f"{name}, {cls}, callback gives {answer}")
            assert dump(ox, cls, answer)[1] == theirs[1]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65535, 65536, 70000, 1 << 20])
def test_sizes_and_writes(size: int) -> None:
    """Large buffers go to `write` as the same object and outside frames, small ones in frames."""
    for make in (lambda: bytes(size), lambda: bytearray(size)):
        for cls in CLASSES:
            log: dict[Any, list[Any]] = {}
            for mod, wrap in ((ox, cls), (c, c.PickleBuffer)):
                obj = wrap(make())

                class File:
                    writes: list[Any]

                    def __init__(self, obj: Any) -> None:
                        self.obj = obj
                        self.writes = []

                    def write(self, data: Any) -> None:
                        same = data is self.obj
                        self.writes.append((same, bytes(data)))

                file = File(obj)
                mod.dump([obj, obj, b"end"], file, 5)
                log[mod] = file.writes
            assert log[ox] == log[c]


def test_a_released_buffer_cannot_be_pickled() -> None:
    for cls in CLASSES:
        theirs = attempt(c.dumps, released(c.PickleBuffer), 5)
        agree(attempt(ox.dumps, released(cls), 5), theirs)
        for answer in (True, False):
            agree(
                attempt(ox.dumps, released(cls), 5, buffer_callback=lambda _: answer),
                attempt(c.dumps, released(c.PickleBuffer), 5, buffer_callback=lambda _: answer),
            )


def test_a_buffer_released_by_its_callback_is_still_pickled() -> None:
    """gh-143308: the contents are held while they are pickled, whatever the callback does."""
    for cls in CLASSES:
        for data in (bytes(range(256)) * 40, bytearray(b"abc")):
            buffer = cls(data)

            def release(given: Any) -> bool:
                given.release()
                if isinstance(data, bytearray):
                    attempt(data.extend, bytes(10_000))
                return True

            expected = ox.dumps(cls(bytes(data) if isinstance(data, bytes) else bytearray(data)), 5)
            assert ox.dumps(buffer, 5, buffer_callback=release) == expected


@pytest.mark.parametrize("name", EXPORTERS)
def test_out_of_band_round_trip(name: str) -> None:
    for cls in CLASSES:
        buffers: list[Any] = []
        obj = cls(EXPORTERS[name]())
        stream = attempt(ox.dumps, {"data": obj}, 5, buffer_callback=buffers.append)
        theirs = attempt(
            c.dumps, {"data": c.PickleBuffer(EXPORTERS[name]())}, 5, buffer_callback=id
        )
        if isinstance(theirs, Raised):
            assert isinstance(stream, Raised)
            continue
        assert buffers == [obj]
        for mod in (ox, c):
            loaded = mod.loads(stream, buffers=buffers)["data"]
            assert bytes(loaded) == bytes(obj)
            assert memoryview(loaded).readonly == memoryview(obj).readonly
            raw = [buffer.raw() for buffer in buffers]
            assert bytes(mod.loads(stream, buffers=raw)["data"]) == raw[0].tobytes()


@pytest.mark.parametrize("protocol", [5])
def test_in_band_round_trip(protocol: int) -> None:
    for data in (b"", b"abc", bytearray(), bytearray(b"abc"), bytes(70_000), bytearray(70_000)):
        for cls in CLASSES:
            loaded = ox.loads(ox.dumps([cls(data)] * 2, protocol))
            assert (
                isomorphic(loaded, c.loads(c.dumps([c.PickleBuffer(data)] * 2, protocol))) is None
            )
            out = io.BytesIO()
            ox.Pickler(out, protocol).dump([cls(data)] * 2)
            assert ox.loads(out.getvalue()) == loaded


def test_the_python_pickler_refuses_ours_unless_told() -> None:
    """C's pickler does not know our class: it says so, and does not crash."""
    result = attempt(c.dumps, ox.PickleBuffer(b"abc"), 5)
    assert isinstance(result, Raised) and "PickleBuffer" in result.text
