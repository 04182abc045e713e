"""Objects that a dump meets again, after reducers and hooks that change what holds them.

An object is not looked for in the memo where it can be told by its references that nothing can lead to it twice
(`Session::is_held`), and a text is looked for among texts (`Log::enter_skipped`). Here graphs are dumped whose reducers
lead back to their objects, and move them between lists while these are being written.
"""

from __future__ import annotations

import collections
import copyreg
import datetime
import io
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from support import PROTOCOLS, attempt, c, ox, same_error


def make(*_args: Any) -> Node:
    return Node.__new__(Node)


def set_state(_node: Node, _state: Any) -> None:
    pass


class Holder:
    node: Any
    pair: Any


class Pair(NamedTuple):
    first: Any
    second: Any


class OwnList(list[Any]):
    pass


class World:
    """Lists, the objects in them, and what these do when they are reduced; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lists: list[list[Any]] = [[] for _ in range(4)]
        self.texts = ["".join(["text ", str(n)]) for n in range(6)]
        for number in range(self.random.randrange(2, 9)):
            self.random.choice(self.lists).append(Node(self, number))
        for some in self.lists:
            self.random.shuffle(some)

    def something(self) -> Any:
        """An object, a container that leads to some, or a text that one of them may have."""
        some = self.random.choice(self.lists)
        node = self.random.choice(some) if some else None
        shared = (node, some)
        holder = Holder()
        holder.node, holder.pair = node, shared
        return self.random.choice(
            [node, some, (node,), [node], shared, (shared, shared), {"k": node}, node, holder]
            + [frozenset([node]), Pair(node, some), Pair(shared, node), OwnList([node, shared])]
            + [collections.OrderedDict(a=node, b=shared), collections.deque([shared, node])]
            + [self.random.choice(self.texts), "".join(["new ", "text"]), datetime.date(2000, 1, 2)]
        )

    def act(self) -> None:
        """Moves an object, or exchanges one."""
        source, target = self.random.choice(self.lists), self.random.choice(self.lists)
        what = self.random.randrange(6)
        if what == 0 and source:
            target.append(source[self.random.randrange(len(source))])
        elif what == 1 and source:
            source[self.random.randrange(len(source))] = self.something()
        elif what == 2 and source and len(target) < 12:
            at = self.random.randrange(len(source))
            target.append(source[at])
            source[at] = None
        elif what == 3 and source and target:
            i, j = self.random.randrange(len(source)), self.random.randrange(len(target))
            source[i], target[j] = target[j], source[i]


class Node:
    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = "".join(["node ", str(number)])
        self.reduced = 0

    def __reduce__(self) -> tuple[Any, ...]:
        world = self.world
        self.reduced += 1
        if self.reduced > 3:
            return make, (self.name,)
        for _ in range(world.random.randrange(3)):
            world.act()
        args = [self.name, *(world.something() for _ in range(world.random.randrange(3)))]
        state = [world.something() for _ in range(world.random.randrange(3))]
        items = [world.something() for _ in range(world.random.randrange(-3, 3))]
        pairs = [(world.something(), world.something()) for _ in items[:1]]
        return (
            make,
            tuple(args),
            {"name": self.name, "state": state},
            iter(items) if items else None,
            iter(pairs) if items else None,
            set_state if world.random.randrange(4) == 0 else None,
        )

    def __setstate__(self, state: Any) -> None:
        pass


def hooked(mod: Any, kind: str, world: World) -> Any:
    """A class of Picklers whose hook changes the world too."""

    class WithOverride(mod.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            world.act()
            return NotImplemented

    class WithTable(mod.Pickler):  # type: ignore[misc]
        dispatch_table = {datetime.date: lambda date: (world.act(), date.__reduce__())[1]}

    class WithIds(mod.Pickler):  # type: ignore[misc]
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, Node):
                world.act()
            return None

    return {
        "plain": mod.Pickler,
        "override": WithOverride,
        "table": WithTable,
        "ids": WithIds,
    }[kind]


@pytest.mark.parametrize("kind", ["plain", "override", "table", "ids"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_graphs_whose_reducers_move_objects(protocol: int, kind: str) -> None:
    for seed in range(300):

        def dump(mod: Any, seed: int = seed) -> bytes:
            world = World(seed)
            file = io.BytesIO()
            pickler = hooked(mod, kind, world)(file, protocol)
            pickler.dump(world.lists)
            pickler.dump([world.something() for _ in range(3)])
            return file.getvalue()

        theirs, ours = attempt(dump, c), attempt(dump, ox)
        assert ours == theirs if isinstance(theirs, bytes) else same_error(ours, theirs), seed


def both(scene: Callable[[Any], bytes]) -> None:
    assert scene(ox) == scene(c)


class Leads:
    """Reduced to what it is told."""

    def __init__(self) -> None:
        self.value: Callable[[], tuple[Any, ...]] = lambda: (list, ())

    def __reduce__(self) -> tuple[Any, ...]:
        return self.value()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_object_is_taken_from_its_list_and_led_back_to(protocol: int) -> None:
    def scene(mod: Any) -> bytes:
        items: list[Any] = [Leads(), Leads(), "x"]
        keep: list[Any] = []
        calls = 0

        def value() -> tuple[Any, ...]:
            nonlocal calls
            calls += 1
            if calls > 1:
                return list, ((),)
            keep.append(items[1])
            items[1] = None
            return list, (keep,)

        items[1].value = value
        return mod.dumps([items, keep, items], protocol)  # type: ignore[no-any-return]

    both(scene)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_state_of_an_object_has_the_tuple_that_it_is_in(protocol: int) -> None:
    def scene(mod: Any) -> bytes:
        one = Leads()
        pair = (one, [1])
        one.value = lambda: (Leads, (), {"pair": pair})
        del one
        return mod.dumps([pair, "x"], protocol)  # type: ignore[no-any-return]

    both(scene)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_text_of_an_earlier_window_is_met_in_a_reduce_value(protocol: int) -> None:
    def scene(mod: Any) -> bytes:
        holder = ["".join(["a ", "text"]), b"".join([b"some ", b"bytes"]), ("".join(["b ", "c"]),)]
        later = Leads()
        later.value = lambda: (list, ((holder[0], holder[1], holder[2], holder[2][0]),))
        return mod.dumps([holder, later, Leads(), later, holder[0]], protocol)  # type: ignore[no-any-return]

    both(scene)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_with_a_private_table_come_twice(protocol: int) -> None:
    class Missing(dict[Any, Any]):
        def __missing__(self, key: Any) -> Any:
            if key is datetime.timedelta:
                return copyreg.__reduce_ex__  # type: ignore[attr-defined]
            raise KeyError(key)

    class Raising(dict[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            raise LookupError("not a KeyError")

    for table in ({}, {datetime.date: lambda date: (str, ())}, Missing(), Raising()):

        def scene(mod: Any, table: Any = table) -> bytes:
            file = io.BytesIO()
            pickler = mod.Pickler(file, protocol)
            pickler.dispatch_table = table
            days = [datetime.date(2020, 1, n) for n in range(1, 5)]
            pickler.dump([*days, days, *days, datetime.datetime(2020, 1, 1)])
            return file.getvalue()

        theirs, ours = attempt(scene, c), attempt(scene, ox)
        assert ours == theirs if isinstance(theirs, bytes) else same_error(ours, theirs)
