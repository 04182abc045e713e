"""Lifetimes: what a dump or load leaves behind is freed by reference count alone, and cycles that
the user makes through Pickler and Unpickler objects are found by the collector.

The collector is off in these tests but where one is asked for.
"""

from __future__ import annotations

import gc
import io
import sys
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


class Holder:
    """Has what a plain BytesIO refers to."""

    owner: Any
    file: io.BytesIO


def cycle_through_plain_file(kind: str) -> Any:
    """The file is a plain BytesIO, whose dict is empty when the object is made."""
    holder = Holder()
    holder.file = io.BytesIO(b"N.")
    holder.owner = ox.Pickler(holder.file) if kind == "Pickler" else ox.Unpickler(holder.file)
    vars(holder.file)["holder"] = holder
    del holder.file
    return holder


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
        cycle_through_plain_file,
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


# --- the collector itself ---------------------------------------------------------------------

#: What code of users has seen of the collector during a load.
SEEN: list[tuple[str, bool]] = []


def look(who: str) -> str:
    SEEN.append((who, gc.isenabled()))
    return who


def disable() -> None:
    gc.disable()


class Looks:
    """Looks at the collector wherever a load may call it."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __new__(cls, *args: Any) -> Looks:
        look("__new__")
        return super().__new__(cls)

    def __getnewargs__(self) -> Any:
        return ("argument",)

    def __setstate__(self, state: Any) -> None:
        look("__setstate__")
        self.__dict__.update(state)


class LooksWithoutArguments(Looks):
    def __getnewargs__(self) -> Any:
        return ()


class LooksAtKeywords(Looks):
    def __new__(cls, *args: Any, **kwargs: Any) -> Looks:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> Any:
        return (), {"a": 1}


class LooksAtSlots:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1

    def __setattr__(self, name: str, value: Any) -> None:
        look("__setattr__")
        super().__setattr__(name, value)


class LooksAtDict(dict[Any, Any]):
    def __setitem__(self, key: Any, value: Any) -> None:
        look("__setitem__")
        super().__setitem__(key, value)


class LooksAtList(list[Any]):
    def extend(self, items: Any) -> None:
        look("extend")
        super().extend(items)


class LooksAsKey:
    def __reduce__(self) -> Any:
        return LooksAsKey, ()

    def __hash__(self) -> int:
        look("__hash__")
        return 1

    def __eq__(self, other: object) -> bool:
        look("__eq__")
        return self is other


class LooksAtTheEnd:
    def __del__(self) -> None:
        look("__del__")


class LooksReduced:
    def __init__(self, who: str = "REDUCE") -> None:
        self.who = who

    def __reduce__(self) -> Any:
        return look, (self.who,)


def looking() -> list[Any]:
    """Every way into code of users, between enough other objects to make collections due."""
    key, other = LooksAsKey(), LooksAsKey()
    ways = [
        Looks("a"), LooksWithoutArguments("b"), LooksAtKeywords("k"), LooksAtSlots(),
        LooksAtDict(a=1), LooksAtList([1, 2]), {key: 1, other: 2}, {LooksAsKey()},
        frozenset([LooksAsKey()]), (LooksAsKey(),), LooksReduced(), {(LooksAsKey(), 1): 2},
    ]  # fmt: skip
    return [part for way in ways for part in (way, [[i] for i in range(500)], way)]


class Looker(io.BytesIO):
    """A file that looks."""

    def read(self, n: int | None = -1) -> bytes:
        look("read")
        return super().read(n)

    def readinto(self, buffer: Any) -> int:
        look("readinto")
        return super().readinto(buffer)


class LookingUnpickler(ox.Unpickler):  # type: ignore[misc, name-defined]
    def find_class(self, module: str, name: str) -> Any:
        look("find_class")
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        look("persistent_load")
        return pid


class PersistentPickler(c.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return ["pid"] if obj is Ellipsis else None


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
@pytest.mark.parametrize("way", ["loads", "load", "Unpickler", "subclass"])
def test_user_code_finds_the_collector_as_it_was(way: str, protocol: int, enabled: bool) -> None:
    """A load may keep the collector from running, but not where it could be seen."""
    stream = c.dumps([looking(), b"payload" * 20000, looking()], protocol)
    if way == "subclass":
        out = io.BytesIO()
        PersistentPickler(out, protocol).dump([..., looking(), ...])
        stream = out.getvalue()
    SEEN.clear()
    if enabled:
        gc.enable()
    try:
        if way == "loads":
            ox.loads(stream)
        elif way == "load":
            ox.load(Looker(stream))
        elif way == "Unpickler":
            ox.Unpickler(Looker(stream)).load()
        else:
            LookingUnpickler(Looker(stream)).load()
        assert gc.isenabled() == enabled
    finally:
        gc.disable()
    expected = {"__new__", "__setstate__", "__setattr__", "__setitem__", "__hash__", "__eq__"}
    expected |= {"extend", "REDUCE"}
    if way != "loads":
        expected |= {"read"}
    if way == "subclass":
        expected |= {"find_class", "persistent_load"}
    assert expected <= {who for who, _ in SEEN}
    assert {seen for _, seen in SEEN} == {enabled}


def test_finalisers_in_a_load_find_the_collector_on() -> None:
    """What POP, and the end of a load that fails, let go of."""
    thing = c.dumps(LooksAtTheEnd(), 2)[2:-1]
    lists = c.dumps([[i] for i in range(500)], 2)[2:-1]
    for end in (b"0.", b"0", b"1", b"(\x85.", b"\xff"):
        SEEN.clear()
        gc.enable()
        try:
            attempt(ox.loads, b"\x80\x02" + lists + b"(" + thing + end)
            assert gc.isenabled()
        finally:
            gc.disable()
        assert set(SEEN) == {("__del__", True)}


class Disables:
    def __reduce__(self) -> Any:
        return disable, ()


def test_a_collector_disabled_by_a_reducer_stays_disabled() -> None:
    lists = [[i] for i in range(2000)]
    stream = c.dumps([lists, Disables(), lists, LooksReduced(), [lists]], 4)
    SEEN.clear()
    gc.enable()
    try:
        ox.loads(stream)
        assert not gc.isenabled()
    finally:
        gc.disable()
    assert SEEN == [("REDUCE", False)]


@pytest.mark.parametrize("stream", [b"\x80\x04]\x94(" + b"]" * 5000 + end for end in (b"e", b"\xff", b"eR.")])  # fmt: skip
def test_a_load_that_fails_leaves_the_collector_on(stream: bytes) -> None:
    gc.enable()
    try:
        assert attempt(ox.loads, stream) is not None
        assert gc.isenabled()
    finally:
        gc.disable()


def test_collections_are_put_off_and_not_lost() -> None:
    """None runs inside the load of data that calls nothing; afterwards they are due as ever."""
    stream = c.dumps([[i] for i in range(20_000)], 4)
    running, during = True, 0

    def count(phase: str, info: Any) -> None:
        nonlocal during
        during += running and phase == "start"

    thing = Thing()
    thing.value = thing
    ref = weakref.ref(thing)
    del thing
    gc.callbacks.append(count)
    gc.enable()
    try:
        loaded = ox.loads(stream)
        running = False
        assert len(loaded) == 20_000
        more = [[] for _ in range(20_000)]
    finally:
        gc.disable()
        gc.callbacks.remove(count)
    # Since 3.12 one that has become due in a call of a C function runs when that returns.
    assert during <= (sys.version_info >= (3, 12))
    assert ref() is None, "nobody collected the cycle"
    assert len(more) == 20_000
