"""Signals in the middle of a dump or load: Ctrl-C ends it there, other handlers run there.

No time is measured. The signal is raised from inside, by C code that the dump or load itself calls, and the
work done after it is counted: bytes written, or where the notes say that the load stopped. C finishes
the whole work first.
"""

from __future__ import annotations

import _thread
import gc
import io
import itertools
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import PROTOCOLS, PY, attempt, c, notes_of, ox

#: Objects after the signal, and those that may be written or loaded before it is answered: some
#: milliseconds of work.
MANY = 1_000_000
FEW = 150_000

SIGINT = int(signal.SIGINT)
#: Of a kind that does nothing by itself; Windows has no other that could be used.
OTHER = int(getattr(signal, "SIGUSR1", signal.SIGTERM))


@pytest.fixture
def handler() -> Iterator[Callable[..., list[int]]]:
    """Sets a handler that notes its calls and then does what it is told."""
    saved = {number: signal.getsignal(number) for number in (SIGINT, OTHER)}
    # A handler that runs in a callback of the collector (hypothesis has one) raises to nobody.
    collecting = gc.isenabled()
    gc.disable()
    calls: list[int] = []

    def install(number: int, action: Callable[[], Any] = lambda: None) -> list[int]:
        def handle(got: int, frame: Any) -> None:
            calls.append(got)
            action()

        signal.signal(number, handle)
        return calls

    yield install
    if collecting:
        gc.enable()
    for number, old in saved.items():
        signal.signal(number, old)


class Interrupted:
    """Its items raise a signal without running Python, and there are many behind it."""

    def __init__(self, number: int, then: Any) -> None:
        self.number = number
        self.then = then

    def __reduce__(self) -> Any:
        raising = map(_thread.interrupt_main, [self.number])
        return list, (), None, itertools.chain(raising, itertools.repeat(self.then, MANY))


class InFrontOf:
    """An object that raises a signal and is followed by much plain data in one container."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return list, (), None, map(_thread.interrupt_main, [self.number])


NUMBERS = list(range(1000, 1000 + MANY))

DUMPS: dict[str, Callable[[int], Any]] = {
    "iterator": lambda number: Interrupted(number, None),
    "list": lambda number: [InFrontOf(number), NUMBERS],
    "dict": lambda number: [InFrontOf(number), dict(zip(NUMBERS, NUMBERS))],
    "lists": lambda number: [InFrontOf(number), [[i] for i in range(MANY // 4)]],
    "large": lambda number: [InFrontOf(number), [bytes((1 << 18) + i) for i in range(50)]],
    "large text": lambda number: [InFrontOf(number), ["y" * ((1 << 18) + i) for i in range(50)]],
}


@pytest.mark.parametrize("shape", DUMPS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_ctrl_c_ends_a_dump_in_its_middle(shape: str, protocol: int, handler: Any) -> None:
    obj = DUMPS[shape](SIGINT)
    calls = handler(SIGINT, lambda: _raise(KeyboardInterrupt("stop")))
    out = io.BytesIO()
    pickler = ox.Pickler(out, protocol)
    with pytest.raises(KeyboardInterrupt):
        pickler.dump(obj)
    assert calls == [SIGINT]
    # At least one byte an object would have been written.
    assert out.tell() < (12 << 20 if "large" in shape else MANY // 4) / 2
    # The Pickler and the process go on.
    pickler.clear_memo()
    before = out.tell()
    pickler.dump([1, "two"])
    assert c.loads(out.getvalue()[before:]) == [1, "two"]
    assert ox.dumps(NUMBERS[:100]) == c.dumps(NUMBERS[:100])


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ctrl_c_ends_dumps_in_its_middle(protocol: int, handler: Any) -> None:
    """Nothing is written, so the work is counted by the iterator that feeds the dump."""
    left = iter(range(MANY))

    class Feeds:
        def __reduce__(self) -> Any:
            raising = map(_thread.interrupt_main, [SIGINT])
            return list, (), None, itertools.chain(raising, left)

    calls = handler(SIGINT, lambda: _raise(KeyboardInterrupt("stop")))
    with pytest.raises(KeyboardInterrupt):
        ox.dumps(Feeds(), protocol)
    assert calls == [SIGINT]
    assert next(left) < FEW


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_ctrl_c_ends_dumps_between_large_payloads(protocol: int, handler: Any) -> None:
    left = iter([bytes((1 << 18) + i) for i in range(50)])

    class Feeds:
        def __reduce__(self) -> Any:
            raising = map(_thread.interrupt_main, [SIGINT])
            return list, (), None, itertools.chain(raising, left)

    handler(SIGINT, lambda: _raise(KeyboardInterrupt("stop")))
    with pytest.raises(KeyboardInterrupt):
        ox.dumps(Feeds(), protocol)
    assert len(list(left)) > 40


def test_c_finishes_its_dump_first(handler: Any) -> None:
    """What the tests here find does not come from the interpreter."""
    left = iter(range(MANY // 10))

    class Feeds:
        def __reduce__(self) -> Any:
            raising = map(_thread.interrupt_main, [SIGINT])
            return list, (), None, itertools.chain(raising, left)

    handler(SIGINT, lambda: _raise(KeyboardInterrupt("stop")))
    with pytest.raises(KeyboardInterrupt):
        c.dumps(Feeds(), 4)
    assert next(left, "at its end") == "at its end"


RAISES = b"c_thread\ninterrupt_main\n%b\x85R0"


LOADS: dict[str, Callable[[], bytes]] = {
    "ints": lambda: b"(" + b"K\x01" * MANY + b"1N.",
    "lists": lambda: c.dumps([[i] for i in range(MANY // 2)], 2)[2:],
    "frames": lambda: c.dumps([[i] for i in range(MANY // 2)], 4)[2:],
    "text": lambda: b"(" + b"I12345\n" * (MANY // 4) + b"1N.",
    "large": lambda: b"(" + (b"B" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20)) * 20 + b"1N.",
}


def stream_of(shape: str, number: int) -> bytes:
    """A stream that raises the signal and goes on with much else."""
    return RAISES % (b"K" + bytes([number])) + LOADS[shape]()


READERS: dict[str, Callable[[bytes], Any]] = {
    "loads": ox.loads,
    "load": lambda data: ox.load(io.BytesIO(data)),
    "load, buffered": lambda data: ox.load(io.BufferedReader(io.BytesIO(data))),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shape", LOADS)
def test_ctrl_c_ends_a_load_in_its_middle(shape: str, reader: str, handler: Any) -> None:
    stream = stream_of(shape, SIGINT)
    calls = handler(SIGINT, lambda: _raise(KeyboardInterrupt("stop")))
    with pytest.raises(KeyboardInterrupt) as caught:
        READERS[reader](stream)
    assert calls == [SIGINT]
    place = next(note for note in notes_of(caught.value) if note.startswith("at byte "))
    assert int(place.split()[2].rstrip(",")) < len(stream) / 3
    assert ox.loads(c.dumps({"k": [1]})) == {"k": [1]}


def test_ctrl_c_leaves_the_unpickler_usable(handler: Any) -> None:
    handler(SIGINT, lambda: _raise(KeyboardInterrupt("stop")))
    source = io.BytesIO(stream_of("ints", SIGINT))
    unpickler = ox.Unpickler(source)
    with pytest.raises(KeyboardInterrupt):
        unpickler.load()
    source.seek(0)
    source.truncate()
    source.write(c.dumps(["next"]))
    source.seek(0)
    unpickler.__init__(source)
    assert unpickler.load() == ["next"]


@pytest.mark.parametrize("shape", LOADS)
def test_handlers_of_other_signals_run_in_a_load(shape: str, handler: Any) -> None:
    """The handler ends the load, so that one sees where it ran."""
    stream = stream_of(shape, OTHER)
    calls = handler(OTHER, lambda: _raise(LookupError("from the handler")))
    with pytest.raises(LookupError) as caught:
        ox.loads(stream)
    assert calls == [OTHER]
    place = next(note for note in notes_of(caught.value) if note.startswith("at byte "))
    assert int(place.split()[2].rstrip(",")) < len(stream) / 3


def test_a_handler_that_returns_lets_the_load_go_on(handler: Any) -> None:
    calls = handler(OTHER)
    stream = stream_of("lists", OTHER)
    assert ox.loads(stream) == [[i] for i in range(MANY // 2)]
    assert calls == [OTHER]


@pytest.mark.skipif(
    PY < (3, 13), reason="before 3.13 nothing but Ctrl-C can be asked for without a call"
)
def test_handlers_of_other_signals_run_in_dumps(handler: Any) -> None:
    left = iter(range(MANY))

    class Feeds:
        def __reduce__(self) -> Any:
            raising = map(_thread.interrupt_main, [OTHER])
            return list, (), None, itertools.chain(raising, left)

    obj = [InFrontOf(OTHER), [[i] for i in range(MANY // 4)]]
    calls = handler(OTHER, lambda: _raise(LookupError("from the handler")))
    outcome = attempt(ox.dumps, Feeds(), 4)
    assert outcome[:2] == (LookupError, "from the handler")
    assert next(left) < FEW
    out = io.BytesIO()
    assert attempt(ox.dump, obj, out, 4).type is LookupError
    assert out.tell() < MANY // 8
    assert calls == [OTHER, OTHER]


@pytest.mark.parametrize("number", [SIGINT, OTHER])
def test_a_handler_that_returns_lets_the_dump_go_on(number: int, handler: Any) -> None:
    obj = [InFrontOf(number), [[i] for i in range(MANY // 8)], "end"]
    calls = handler(number)
    for write in (ox.dumps, lambda obj: _dump(obj)):
        # The reduce value's item is what interrupt_main returns.
        assert c.loads(write(obj)) == [[None], obj[1], "end"]
    assert calls == [number, number]


def _dump(obj: Any) -> bytes:
    out = io.BytesIO()
    ox.dump(obj, out)
    return out.getvalue()


def test_a_handler_may_use_pickle_itself(handler: Any) -> None:
    obj = [InFrontOf(SIGINT), [[i] for i in range(MANY // 8)]]
    inner: list[Any] = []
    handler(SIGINT, lambda: inner.append(ox.loads(ox.dumps([1, {"k": (2,)}]))))
    assert c.loads(ox.dumps(obj)) == [[None], obj[1]]
    assert inner == [[1, {"k": (2,)}]]
