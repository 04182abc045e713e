"""Lifetimes: what a dump or load leaves behind is freed by reference count alone, and cycles that
the user makes through Pickler and Unpickler objects are found by the collector.

The collector is off in these tests but where one is asked for.
"""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from support import PROTOCOLS, attempt, c, ox

pytestmark = pytest.mark.usefixtures("collected")


class Thing:
    """Can be watched, and pickled by name."""

    def __init__(self, value: Any = None) -> None:
        self.value = value


class Reduced(Thing):
    def __reduce__(self) -> Any:
        return Reduced, (self.value,)


class Failing(Thing):
    def __reduce__(self) -> Any:
        raise LookupError("by design")


class Bytes(io.BytesIO):
    """A file that can be watched and carries attributes."""


def things() -> tuple[Any, list[weakref.ref[Any]]]:
    """An object graph with sharing and a cycle, and what watches its parts."""
    inner, reduced = Thing(["x"]), Reduced({"k": ("t", 1)})
    outer = Thing([inner, reduced, (inner,), {"r": reduced}])
    refs = [weakref.ref(obj) for obj in (inner, reduced, outer)]
    return outer, refs


def alive(refs: list[weakref.ref[Any]]) -> list[str]:
    return [type(obj).__name__ for ref in refs if (obj := ref()) is not None]


# --- freed by reference count alone -----------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", ["dumps", "dump", "Pickler", "subclass"])
def test_nothing_is_held_after_a_dump(way: str, protocol: int) -> None:
    class Sub(ox.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            return NotImplemented

    obj, refs = things()
    if way == "dumps":
        ox.dumps(obj, protocol)
    elif way == "dump":
        ox.dump(obj, io.BytesIO(), protocol)
    else:
        pickler = (ox.Pickler if way == "Pickler" else Sub)(io.BytesIO(), protocol)
        pickler.dump(obj)
        del obj
        assert len(alive(refs)) == 3, "the memo of a Pickler keeps what it wrote"
        del pickler
        assert not alive(refs)
        return
    del obj
    assert not alive(refs)


@pytest.mark.parametrize("forget", ["clear_memo", "memo.clear", "memo =", "__init__"])
def test_a_pickler_lets_go_of_its_memo(forget: str) -> None:
    pickler = ox.Pickler(io.BytesIO())
    obj, refs = things()
    pickler.dump(obj)
    del obj
    assert len(alive(refs)) == 3
    actions: dict[str, Callable[[], Any]] = {
        "clear_memo": pickler.clear_memo,
        "memo.clear": pickler.memo.clear,
        "memo =": lambda: setattr(pickler, "memo", {}),
        "__init__": lambda: pickler.__init__(io.BytesIO()),
    }
    actions[forget]()
    assert not alive(refs)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", ["loads", "load", "Unpickler"])
def test_nothing_is_held_after_a_load(way: str, protocol: int) -> None:
    obj, _ = things()
    stream = ox.dumps(obj, protocol)
    if way == "loads":
        loaded = ox.loads(stream)
    elif way == "load":
        loaded = ox.load(io.BytesIO(stream))
    else:
        unpickler = ox.Unpickler(io.BytesIO(stream))
        loaded = unpickler.load()
    refs = [weakref.ref(part) for part in (loaded, loaded.value[0], loaded.value[1])]
    del loaded
    if way == "Unpickler":
        assert len(alive(refs)) == 3, "the memo of an Unpickler keeps what it read"
        del unpickler
    assert not alive(refs)


@pytest.mark.parametrize("forget", ["memo.clear", "memo =", "__init__"])
def test_an_unpickler_lets_go_of_its_memo(forget: str) -> None:
    obj, _ = things()
    unpickler = ox.Unpickler(io.BytesIO(ox.dumps(obj)))
    loaded = unpickler.load()
    refs = [weakref.ref(loaded)]
    del loaded
    assert alive(refs)
    actions: dict[str, Callable[[], Any]] = {
        "memo.clear": unpickler.memo.clear,
        "memo =": lambda: setattr(unpickler, "memo", {}),
        "__init__": lambda: unpickler.__init__(io.BytesIO()),
    }
    actions[forget]()
    assert not alive(refs)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_held_after_a_dump_that_fails(protocol: int) -> None:
    obj, refs = things()
    failing = Failing()
    refs.append(weakref.ref(failing))
    wraps = [
        [obj, failing],
        {"a": obj, "b": (failing,)},
        Thing([obj, failing]),
        Reduced((obj, {"k": [failing]})),
        [obj, {1: frozenset([failing])}],
    ]
    for i in range(len(wraps)):
        outcome = attempt(ox.dumps, wraps[i], protocol)
        assert outcome.type is LookupError
    wraps.clear()
    del obj, failing
    assert not alive(refs)


def test_nothing_is_held_after_a_load_that_fails() -> None:
    obj, _ = things()
    stream = ox.dumps(obj, 3)  # without frames, which would be missed before anything is made
    made: list[weakref.ref[Any]] = []

    class Watching(ox.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found = super().find_class(module, name)

            def make(*args: Any) -> Any:
                made.append(weakref.ref(new := found(*args)))
                return new

            return make if name == "Reduced" else found

    for cut in range(len(stream)):
        attempt(ox.loads, stream[:cut])
        unpickler = Watching(io.BytesIO(stream[:cut]))
        attempt(unpickler.load)
        del unpickler
    assert made and not alive(made)


def test_the_file_is_freed_with_its_pickler() -> None:
    out, source = Bytes(), Bytes(b"N.")
    refs = [weakref.ref(out), weakref.ref(source)]
    pickler, unpickler = ox.Pickler(out), ox.Unpickler(source)
    pickler.dump([1])
    unpickler.load()
    del out, source
    assert len(alive(refs)) == 2
    del pickler, unpickler
    assert not alive(refs)


def test_callbacks_and_buffers_are_freed() -> None:
    class Callback:
        def __call__(self, buffer: Any) -> bool:
            return False

    class Buffers:
        def __iter__(self) -> Any:
            return iter([b"out of band"])

    callback, buffers = Callback(), Buffers()
    refs = [weakref.ref(callback), weakref.ref(buffers)]
    stream = ox.dumps([ox.PickleBuffer(b"abc")], 5, buffer_callback=callback)
    assert ox.loads(stream, buffers=buffers) == [b"out of band"]
    pickler = ox.Pickler(io.BytesIO(), 5, buffer_callback=callback)
    pickler.dump([ox.PickleBuffer(b"abc")])
    unpickler = ox.Unpickler(io.BytesIO(stream), buffers=buffers)
    unpickler.load()
    del callback, buffers
    del pickler, unpickler
    assert not alive(refs)


def test_a_hook_that_is_a_method_makes_no_cycle() -> None:
    """bpo-39492, gh-126489: persistent_id and persistent_load of a subclass."""

    class P(ox.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return None

    class U(ox.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return None

    pickler, unpickler = P(io.BytesIO()), U(io.BytesIO(b"K\x01Q."))
    refs = [weakref.ref(pickler), weakref.ref(unpickler)]
    pickler.dump([1])
    unpickler.load()
    del pickler, unpickler
    assert not alive(refs)


def test_memo_proxies_keep_only_their_owner() -> None:
    class P(ox.Pickler):
        pass

    class U(ox.Unpickler):
        pass

    pickler, unpickler = P(io.BytesIO()), U(io.BytesIO(b"]\x94."))
    refs = [weakref.ref(pickler), weakref.ref(unpickler)]
    proxies = [pickler.memo, unpickler.memo]
    del pickler, unpickler
    assert len(alive(refs)) == 2
    proxies.clear()
    assert not alive(refs)


def test_pickle_buffer_is_freed_with_its_view() -> None:
    class Data(bytearray):
        pass

    data = Data(b"abc")
    ref = weakref.ref(data)
    buffer = ox.PickleBuffer(data)
    view = memoryview(buffer)
    del data, buffer
    assert ref() is not None and bytes(view) == b"abc"
    del view
    assert ref() is None


# --- cycles -----------------------------------------------------------------------------------


def cycle_through_file(kind: str) -> Any:
    out = Bytes(b"N.")
    out.owner = ox.Pickler(out) if kind == "Pickler" else ox.Unpickler(out)
    return out


def cycle_through_memo(kind: str) -> Any:
    thing = Thing()
    if kind == "Pickler":
        pickler = ox.Pickler(io.BytesIO())
        pickler.dump(thing)
        thing.owner = pickler
    else:
        unpickler = ox.Unpickler(io.BytesIO(ox.dumps(thing)))
        thing = unpickler.load()
        thing.owner = unpickler
    return thing


def cycle_through_far_memo(kind: str) -> Any:
    """An index far off the others, which the Unpickler keeps apart."""
    if kind == "Pickler":
        thing = Thing()
        owner = ox.Pickler(io.BytesIO())
        owner.memo = {id(thing): (1_000_000, thing)}
    else:
        far = b"r" + (1_000_000).to_bytes(4, "little")
        owner = ox.Unpickler(io.BytesIO(ox.dumps(Thing(), 2)[:-1] + far + b"."))
        thing = owner.load()
    thing.owner = owner
    return thing


def cycle_through_hook(kind: str) -> Any:
    thing = Thing()
    if kind == "Pickler":

        class P(ox.Pickler):
            pass

        thing.owner = P(io.BytesIO())
        thing.owner.persistent_id = lambda obj, thing=thing: None
    else:

        class U(ox.Unpickler):
            pass

        thing.owner = U(io.BytesIO())
        thing.owner.persistent_load = lambda pid, thing=thing: None
    return thing


def cycle_through_callback(kind: str) -> Any:
    thing = Thing()
    if kind == "Pickler":
        thing.owner = ox.Pickler(io.BytesIO(), 5, buffer_callback=lambda buffer, thing=thing: None)
    else:
        thing.buffers = [thing]
        thing.owner = ox.Unpickler(io.BytesIO(), buffers=iter(thing.buffers))
    return thing


def cycle_through_table(kind: str) -> Any:
    thing = Thing()
    thing.owner = ox.Pickler(io.BytesIO())
    thing.owner.dispatch_table = {Thing: lambda obj, thing=thing: thing}
    return thing


def cycle_through_proxy(kind: str) -> Any:
    thing = cycle_through_memo(kind)
    thing.proxy = thing.owner.memo
    return thing


CYCLES = [
    pytest.param(make, kind, id=f"{make.__name__}-{kind}")
    for make in (
        cycle_through_file,
        cycle_through_memo,
        cycle_through_far_memo,
        cycle_through_hook,
        cycle_through_callback,
        cycle_through_table,
        cycle_through_proxy,
    )
    for kind in ("Pickler", "Unpickler")
    if (make, kind) != (cycle_through_table, "Unpickler")  # it has no such attribute
]


@pytest.mark.parametrize("make,kind", CYCLES)
def test_a_cycle_is_collected(make: Callable[[str], Any], kind: str) -> None:
    obj = make(kind)
    ref = weakref.ref(obj)
    del obj
    assert ref() is not None, "this is no cycle"
    gc.collect()
    assert ref() is None


def test_a_cycle_through_a_pickle_buffer_is_collected() -> None:
    class Data(bytearray):
        pass

    data = Data(b"abc")
    data.buffer = ox.PickleBuffer(data)  # type: ignore[attr-defined]
    ref = weakref.ref(data)
    del data
    assert ref() is not None
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("make,kind", CYCLES)
def test_the_collector_sees_what_c_shows_it(make: Callable[[str], Any], kind: str) -> None:
    """What an object refers to is found from it: the thing in the cycle is reachable."""
    obj = make(kind)
    todo, seen = [obj.owner], set()
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, type) or item is globals():
            continue
        seen.add(id(item))
        if item is obj:
            break
        todo += gc.get_referents(item)
    else:
        raise AssertionError("not reachable from its Pickler or Unpickler")


@pytest.mark.parametrize("name", ["Pickler", "Unpickler", "PickleBuffer"])
def test_instances_are_tracked(name: str) -> None:
    args = {"Pickler": (io.BytesIO(),), "Unpickler": (io.BytesIO(),), "PickleBuffer": (b"",)}[name]
    assert gc.is_tracked(getattr(ox, name)(*args)) == gc.is_tracked(getattr(c, name)(*args))


def test_loaded_containers_are_tracked_as_those_of_c() -> None:
    """What can be part of a cycle is seen by the collector."""
    stream = ox.dumps([[1], {"k": []}, {1}, (1, []), Thing([])], 4)
    for ours, theirs in zip(ox.loads(stream), c.loads(stream)):
        assert gc.is_tracked(ours) == gc.is_tracked(theirs), ours


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_collections_in_the_middle(protocol: int) -> None:
    """A collection at every allocation finds a consistent world, in dump and in load."""
    obj, _ = things()
    obj.value.append({i: [i, (i,), Thing(i)] for i in range(30)})
    expected = c.dumps(obj, protocol)
    threshold = gc.get_threshold()
    gc.enable()
    gc.set_threshold(1)
    try:
        stream = ox.dumps(obj, protocol)
        out = io.BytesIO()
        pickler = ox.Pickler(out, protocol)
        pickler.dump(obj)
        loaded = ox.loads(stream)
        unpickler = ox.Unpickler(io.BytesIO(stream))
        second = unpickler.load()
    finally:
        gc.set_threshold(*threshold)
        gc.disable()
    assert stream == expected and out.getvalue() == expected
    assert c.dumps(loaded, protocol) == c.dumps(second, protocol)


@pytest.mark.parametrize("kind", ["Pickler", "Unpickler"])
def test_a_collection_while_it_runs(kind: str) -> None:
    """The collector visits a Pickler or Unpickler that is in the middle of its work."""

    class Collects:
        def __reduce__(self) -> Any:
            gc.collect()
            return collect, ()

    obj = [Thing(["a"]), Collects(), Thing(["b"]), Collects()]
    out = io.BytesIO()
    if kind == "Pickler":
        out2 = Bytes()
        pickler = ox.Pickler(out2)
        out2.owner = pickler  # a cycle through what is running
        pickler.dump(obj)
        assert [type(part) for part in c.loads(out2.getvalue())] == [Thing, int, Thing, int]
    else:
        c.dump(obj, out)
        source = Bytes(out.getvalue())
        unpickler = ox.Unpickler(source)
        source.owner = unpickler
        assert [type(part) for part in unpickler.load()] == [Thing, int, Thing, int]


def collect() -> int:
    return gc.collect()


def test_a_finaliser_may_use_what_is_being_freed() -> None:
    """`__del__` runs while a memo is cleared and comes back to the same Pickler."""
    seen: list[Any] = []

    class Final:
        def __init__(self) -> None:
            self.pickler: Any = None

        def __reduce__(self) -> Any:
            return int, ()

        def __del__(self) -> None:
            seen.append(attempt(self.pickler.dump, [1]))
            seen.append(len(self.pickler.memo.copy()))

    pickler = ox.Pickler(io.BytesIO())
    for forget in (pickler.clear_memo, pickler.memo.clear, lambda: setattr(pickler, "memo", {})):
        obj = Final()
        obj.pickler = pickler
        pickler.dump([obj, ["kept"]])
        del obj
        forget()
    assert len(seen) == 6
    assert all(entry is None or entry > 0 for entry in seen)
