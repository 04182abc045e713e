"""Re-entrancy, cell by cell: what user code does (an action) in each place where it can run (a hook).

`dump_cell` and `load_cell` run one cell with one implementation and return its outcome as text:
what came out, what the action got, and whether the Pickler or Unpickler works afterwards. As a program
(`python tests/cells.py dump persistent_id`) this runs a row with the interpreter's C `_pickle`, which
may crash, and prints a line for each cell. Must not know pytest.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from support import attempt, c, ox


class Stop(Exception):
    """What the action `raise` raises."""


class World:
    """What an action can reach; its calls are limited so that no cell runs for ever."""

    def __init__(self, mod: Any, action: str) -> None:
        self.mod = mod
        self.action = action
        self.left = 3
        self.outcomes: list[str] = []
        self.subject: Any = None  # the Pickler or Unpickler
        self.file: Any = None
        self.list: Any = None  # a list that is being saved or filled
        self.dict: Any = None
        self.set: Any = None
        self.buffer: Any = None
        self.owner: Any = None  # a reference that an action may drop

    def act(self) -> None:
        if self.left <= 0:
            return
        self.left -= 1
        if self.action == "raise":
            self.outcomes.append("raises")
            raise Stop("from the hook")
        outcome = attempt(ACTIONS[self.action], self)
        text = f"{outcome.type.__name__}: {outcome.text}" if isinstance(outcome, tuple) else "done"
        self.outcomes.append(text)


CURRENT: list[World] = []


def act(*args: Any) -> Any:
    CURRENT[-1].act()
    return args[0] if args else None


# --- actions ----------------------------------------------------------------------------------


def again(world: World) -> None:
    if hasattr(world.subject, "dump"):
        world.subject.dump(["inner"])
    else:
        world.subject.load()


def init(world: World) -> None:
    world.subject.__init__(io.BytesIO(b"N."))


def init_without_arguments(world: World) -> None:
    world.subject.__init__()


def clear_memo(world: World) -> None:
    if hasattr(world.subject, "clear_memo"):
        world.subject.clear_memo()
    else:
        world.subject.memo.clear()


def replace_memo(world: World) -> None:
    world.subject.memo = {}


def replace_memo_by_itself(world: World) -> None:
    world.subject.memo = world.subject.memo
    world.subject.memo = world.subject.memo.copy()


def replace_attributes(world: World) -> None:
    for name, value in (
        ("dispatch_table", {}),
        ("bin", True),
        ("fast", False),
        ("persistent_id", lambda obj: None),
        ("persistent_load", lambda pid: "replaced"),
        ("reducer_override", lambda obj: NotImplemented),
    ):
        with contextlib.suppress(AttributeError, TypeError):
            setattr(world.subject, name, value)
    for name in ("dispatch_table", "persistent_id", "persistent_load"):
        with contextlib.suppress(AttributeError, TypeError):
            delattr(world.subject, name)


def empty_containers(world: World) -> None:
    for container in (world.list, world.dict, world.set):
        if container is not None:
            container.clear()


def grow_containers(world: World) -> None:
    if world.list is not None:
        world.list.extend([["new"]] * 50)
    if world.dict is not None:
        world.dict.update({f"new {i}": [i] for i in range(50)})
    if world.set is not None:
        world.set.update(range(1000, 1050))


def reverse_containers(world: World) -> None:
    if world.list is not None:
        world.list[:] = [["other"], *reversed(world.list)][:-1]
    if world.dict is not None:
        items = list(world.dict.items())
        world.dict.clear()
        world.dict.update(reversed(items))


def close_file(world: World) -> None:
    world.file.close()


def release_buffer(world: World) -> None:
    if world.buffer is not None:
        world.buffer.release()


def collect(world: World) -> None:
    gc.collect()


def drop(world: World) -> None:
    """Drops what nothing but the dump or load may hold now."""
    world.owner = None
    world.subject = weakref.proxy(world.subject) if world.subject is not None else None
    world.list = world.dict = world.set = None
    gc.collect()


def other_thread(world: World) -> None:
    """Another thread tries the same object and its memo, and pickles by itself."""
    found: list[str] = []

    def work() -> None:
        found.append(str(attempt(again, world))[:200] if REFUSES[world.mod] else "")
        world.mod.loads(world.mod.dumps([world.list, "x"] if world.list is None else ["x"]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def fork(world: World) -> None:
    if not hasattr(os, "fork"):
        return
    child = os.fork()
    if child == 0:
        # The child finds the engine as it is and ends without cleaning up.
        good = world.mod.loads(world.mod.dumps([1, {"k": (2,)}])) == [1, {"k": (2,)}]
        os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError("the child failed")


def pickle_more(world: World) -> None:
    world.mod.loads(world.mod.dumps({"a": [1, (2, "x")], "b": World}))
    world.mod.Unpickler(io.BytesIO(world.mod.dumps([[]]))).load()


ACTIONS: dict[str, Callable[[World], None]] = {
    function.__name__: function
    for function in (
        again, init, init_without_arguments, clear_memo, replace_memo, replace_memo_by_itself,
        replace_attributes, empty_containers, grow_containers, reverse_containers, close_file,
        release_buffer, collect, drop, other_thread, fork, pickle_more,
    )
}  # fmt: skip
#: `raise` is not a function: it leaves through the hook.
NAMES = [*ACTIONS, "raise"]
#: Actions that older patch releases of C let through, to bad ends.
REFUSED = {"again", "init", "init_without_arguments", "other_thread"}
REFUSES: dict[Any, bool] = {ox: True, c: False}


# --- what dumps run through -------------------------------------------------------------------


class Reduces:
    def __reduce__(self) -> Any:
        act()
        return list, ()


class State:
    def __getstate__(self) -> Any:
        act()
        return {"state": [1]}


class ListItems:
    def __reduce__(self) -> Any:
        def items() -> Iterator[Any]:
            for i in range(4):
                act()
                yield [i]

        return list, (), None, items()


class DictItems:
    def __reduce__(self) -> Any:
        def items() -> Iterator[Any]:
            for i in range(4):
                act()
                yield i, [i]

        return dict, (), None, None, items()


class Finalised:
    """An iterator that dies in the middle of a dump, when its reduce value is let go."""

    def __init__(self) -> None:
        self.items = iter([[1], [2]])

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self.items)

    def __del__(self) -> None:
        if CURRENT and CURRENT[-1].action != "raise":  # it would not leave
            act()


class Makes:
    def __reduce__(self) -> Any:
        return list, (), None, Finalised()


class Attribute:
    def __getattribute__(self, name: str) -> Any:
        if name == "__reduce_ex__":
            act()
        return object.__getattribute__(self, name)


class Truth:
    def __bool__(self) -> bool:
        act()
        return True


SUBJECTS: dict[str, Callable[[], Any]] = {
    "__reduce__": Reduces,
    "__getstate__": State,
    "list items": ListItems,
    "dict items": DictItems,
    "__del__": Makes,
    "look-up": Attribute,
}

DUMP_HOOKS = [
    "persistent_id", "reducer_override", "dispatch_table", "write", "buffer_callback",
    "truth of the callback", *SUBJECTS,
]  # fmt: skip


class File:
    """A file in Python around one in memory; acts in the method that is named."""

    def __init__(self, data: bytes, method: str, offers: str) -> None:
        self.inner = io.BufferedReader(io.BytesIO(data), 16) if data else io.BytesIO()
        self.method = method
        for name in offers.split():
            setattr(self, name, self.forward(name))

    def forward(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if name == self.method:
                act()
            return getattr(self.inner, name)(*args)

        return call

    def close(self) -> None:
        self.inner.close()


def digest(data: bytes) -> str:
    return f"{len(data)} bytes {hashlib.md5(data, usedforsecurity=False).hexdigest()}"


def text_of(outcome: Any) -> str:
    if isinstance(outcome, tuple) and hasattr(outcome, "suppressed"):
        return f"{outcome.type.__name__}: {outcome.text}"
    return "done"


def dump_cell(mod: Any, hook: str, action: str) -> str:
    world = World(mod, action)
    CURRENT.append(world)
    world.file = File(b"", hook, "write")

    class Pickler(mod.Pickler):  # type: ignore[misc, name-defined]
        if hook == "persistent_id":

            def persistent_id(self, obj: Any) -> None:
                act()

        if hook == "reducer_override":

            def reducer_override(self, obj: Any) -> Any:
                act()
                return NotImplemented

    def on_buffer(buffer: Any) -> Any:
        if hook == "buffer_callback":
            act()
        return Truth() if hook == "truth of the callback" else True

    buffers = hook in ("buffer_callback", "truth of the callback")
    world.subject = Pickler(world.file, 5, buffer_callback=on_buffer if buffers else None)
    if hook == "dispatch_table":

        def reduce(value: complex) -> Any:
            act()
            return complex, (value.real, value.imag)

        world.subject.dispatch_table = {complex: reduce}
    subjects = SUBJECTS.get(hook, list)
    world.buffer = mod.PickleBuffer(bytearray(b"buffer" * 10))
    world.dict = {"a": [1], "b": subjects(), "c": 2j, "d": [subjects()], 5: ["e"]}
    world.set = {1, 2, 3}
    world.list = [["first"], subjects(), 1j, world.dict, len, world.set, subjects(), ["last"]]
    world.list += [world.buffer] if buffers else [b"x" * 70_000] if hook == "write" else []
    obj = [world.list, ["shared"], world.list]
    del world.list[1:1]  # keeps the list exact
    subject = world.subject
    try:
        outcome = text_of(attempt(subject.dump, obj))
        written = "" if world.file.inner.closed else digest(world.file.inner.getvalue())
        world.left = 0
        out = io.BytesIO()
        # Whatever the action has done, a new start works.
        after = text_of(attempt(subject.__init__, out)) + text_of(attempt(subject.dump, [1]))
        after += digest(out.getvalue())
    finally:
        CURRENT.remove(world)
    return " | ".join([outcome, written, *world.outcomes, after])


# --- what loads run through -------------------------------------------------------------------


class Acts:
    """Acts in the method that a stream reaches."""

    method = ""

    def __new__(cls, *args: Any) -> Any:
        cls._act("__new__")
        return super().__new__(cls)

    @classmethod
    def _act(cls, method: str) -> None:
        if CURRENT and cls.method == method:
            act()

    def __hash__(self) -> int:
        self._act("__hash__")
        return 1

    def __eq__(self, other: object) -> bool:
        self._act("__eq__")
        return self is other


def acting(name: str) -> type:
    """A class for the hook *name*, which streams find as `cells.Acts_<name>`."""
    body: dict[str, Any] = {"method": name}

    def method(self: Any, *args: Any) -> None:
        act()

    if name in ("__setstate__", "__setitem__", "append", "extend", "add", "__setattr__"):
        body[name] = method
    if name == "__del__":

        def finalise(self: Any) -> None:
            if CURRENT and CURRENT[-1].action != "raise":  # it would not leave
                act()

        body[name] = finalise
    return type(f"Acts_{name}", (Acts,), body)


METHODS = [
    "__new__", "__setstate__", "__setitem__", "append", "extend", "add", "__setattr__", "__hash__",
    "__eq__", "__del__",
]  # fmt: skip
for _name in METHODS:
    globals()[f"Acts_{_name}"] = acting(_name)


def shared(kind: str) -> Any:
    """The list, dict or set that the stream fills: an action may change it meanwhile."""
    return getattr(CURRENT[-1], kind)


def new(name: str) -> bytes:
    return f"ccells\nActs_{name}\n".encode() + b")\x81"


FETCH = {kind: b"ccells\nshared\nU" + bytes([len(kind)]) + kind.encode() + b"\x85R" for kind in ("list", "dict", "set")}  # fmt: skip
ACT = b"ccells\nact\nK\x07\x85R"
A = b"X\x01\x00\x00\x00a"

#: hook -> opcodes that reach it, which leave one object on the stack.
LOADS: dict[str, bytes] = {
    "find_class": b"ccells\nact\n",
    "persistent_load": b"K\x05Q",
    "REDUCE": ACT,
    "REDUCE in a list": FETCH["list"] + b"q\x05(K\x01" + ACT + b"K\x02e0h\x05K\x03a",
    "REDUCE in a dict": FETCH["dict"] + b"q\x05(K\x01" + ACT + b"K\x02K\x03u0h\x05K\x04K\x05s",
    "__new__": new("__new__"),
    "__setstate__": new("__setstate__") + b"K\x01b",
    "__setattr__": new("__setattr__") + b"N}(" + A + b"K\x01X\x01\x00\x00\x00bK\x02u\x86b",
    "__setitem__": new("__setitem__") + b"(K\x01K\x02K\x03K\x04u",
    "append": new("append") + b"(K\x01K\x02e",
    "extend": new("extend") + b"(K\x01K\x02e",
    "add": new("add") + b"(K\x01K\x02\x90",
    "__hash__": FETCH["dict"] + b"(" + new("__hash__") + b"K\x01" + new("__hash__") + b"K\x02u",
    "__hash__ in a set": FETCH["set"] + b"(" + new("__hash__") + new("__hash__") + b"\x90",
    "__hash__ in a frozenset": b"(" + new("__hash__") + new("__hash__") + b"\x91",
    "__eq__": FETCH["dict"] + b"(" + (new("__eq__") + b"K\x01") * 3 + b"u",
    "__eq__ of one": FETCH["dict"] + (new("__eq__") + b"K\x01s") * 3,
    "__del__": new("__del__") + b"0(" + new("__del__") + b"K\x011K\x06",
    "buffers": b"\x97\x98",
    "read": b"C\x05bytes" + b"B\x00\x01\x00\x00" + bytes(256),
    "readinto": b"B\x00\x01\x00\x00" + bytes(256) + b"\x96\x00\x01\x00\x00\x00\x00\x00\x00" + bytes(256) + b"\x86",
    "readline": b"I12\nVtext\n\x86",
    "peek": b"K\x01K\x02\x86" * 20 + b"1" * 0 + b"0" * 19,
}  # fmt: skip
LOAD_HOOKS = list(LOADS)
FILE_HOOKS = {"read", "readinto", "readline", "peek"}


def shape(value: Any, depth: int = 6) -> str:
    """Types and plain values: instances have no equality of their own."""
    if isinstance(value, (list, tuple)) and depth:
        return type(value).__name__ + str([shape(item, depth - 1) for item in value])
    if isinstance(value, (dict, set, frozenset)):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value) if isinstance(value, (int, str, bytes)) else type(value).__name__


def load_cell(mod: Any, hook: str, action: str) -> str:
    world = World(mod, action)
    CURRENT.append(world)

    class Unpickler(mod.Unpickler):  # type: ignore[misc, name-defined]
        def find_class(self, module: str, name: str) -> Any:
            if hook == "find_class":
                act()
            return super().find_class(module, name)

        def persistent_load(self, pid: Any) -> Any:
            act()
            return [pid]

    def buffers() -> Iterator[Any]:
        while True:
            act()
            yield world.buffer

    offers = "read readline" + (f" {hook}" if hook in ("readinto", "peek") else "")
    body = b"(]q\x00" + LOADS[hook] + b"q\x01" + LOADS[hook] + b"h\x00t."
    world.file = File(b"\x80\x05" + body + b"K\x2a.", hook, offers)
    world.list, world.dict, world.set = [["first"]], {"first": 1}, {"first"}
    world.buffer = memoryview(bytearray(b"buffer"))
    world.subject = Unpickler(world.file, buffers=buffers())
    subject = world.subject
    try:
        outcome = attempt(subject.load)
        text = text_of(outcome)
        if text == "done":
            text = shape(outcome)
        del outcome
        world.left = 0
        after = text_of(attempt(subject.__init__, io.BytesIO(b"K\x07.")))
        after += shape(attempt(subject.load))
    finally:
        CURRENT.remove(world)
    return " | ".join([text, *world.outcomes, after])


CELLS = {"dump": (dump_cell, DUMP_HOOKS), "load": (load_cell, LOAD_HOOKS)}


def main() -> None:
    way, hook, *actions = sys.argv[1:]
    for action in actions:
        print("starts", action, flush=True)
        print("ends", action, ascii(CELLS[way][0](c, hook, action)), flush=True)


if __name__ == "__main__":
    # The classes are to be found in the module that the tests have.
    import cells

    cells.main()
