"""BUILD of instances that keep a dict of their own: it becomes what C makes of it.

Classes written in C, and subclasses of those that have a `__dict__`. Where nothing but the dict is involved
we make it straight from the stream; whoever looks at the state sees the dict that C made.
"""

from __future__ import annotations

import ast
import gc
import random
import sys
from collections import OrderedDict
from typing import Any

import pytest

from support import PROTOCOLS, Raised, attempt, c, isomorphic, ox, same_error

# Nodes without their fields are made by streams all the time.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Tree(ast.Name):
    """A node of a program's own."""


class OwnSetstate(ast.Name):
    def __setstate__(self, state: Any) -> None:
        self.__dict__["seen"] = sorted(state)


class OwnGetattribute(ast.Name):
    def __getattribute__(self, name: str) -> Any:
        return super().__getattribute__(name)


class Full(ast.Name):
    """Its dict is not empty when the state comes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first = "set by __init__"


class WithProperty(ast.Name):
    @property
    def value(self) -> Any:
        return "computed"


class Ordered(OrderedDict[str, int]):
    """A dict with attributes."""


def ordered() -> Ordered:
    made = Ordered(a=1, b=2)
    made.note, made.other = "attribute", ["x"]  # type: ignore[attr-defined]
    return made


def node(kind: type, **attributes: Any) -> Any:
    made = kind.__new__(kind)
    vars(made).update(attributes)
    return made


def circle() -> Any:
    made = node(ast.Name, id="x", ctx=None)
    vars(made)["itself"], vars(made)["dict"] = made, vars(made)
    return made


_SHARED = {"shared": ["state"]}
MADE: dict[str, Any] = {
    "a module": ast.parse("def f(a, *b, c=1):\n    return [a + b[0] for b in c if a]\n" * 30),
    "nodes": [node(ast.Name, id=str(n), ctx=None) for n in range(40)],
    "nodes with one attribute": [node(ast.Name, id=str(n)) for n in range(40)],
    "nodes without attributes": [node(ast.Name) for n in range(40)],
    "nodes with many attributes": [node(ast.Name, **{f"a{n}": [n] for n in range(90)}) for _ in "abc"],
    "names in different orders": [
        node(ast.Name, **{name: [n] for name in random.Random(n).sample("abcd", 3)}) for n in range(9)
    ],
    "of a class of their own": [node(Tree, id=n, ctx=[n]) for n in range(9)],
    "with __setstate__": [node(OwnSetstate, id=n) for n in range(3)],
    "with __getattribute__": [node(OwnGetattribute, id=n) for n in range(3)],
    "with a full dict": [node(Full, id=n, first="changed") for n in range(3)],
    "with a property": [node(WithProperty, id=n, value="hidden") for n in range(3)],
    "keys that are no str": [node(ast.Name, **{"id": n, "more": 1}) for n in range(3)],
    "in a circle": circle(),
    "state and instance": [made := node(ast.Name, id=1, other=[2]), vars(made)],
    "ordered": [ordered(), ordered()],
    "mixed": [node(ast.Name, id=1), {"id": 1}, node(Tree, id=2, b=_SHARED), {"id": 2, "b": _SHARED}],
}  # fmt: skip
vars(MADE["keys that are no str"][1])[5] = "five"


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", MADE)
def test_instances(name: str, protocol: int, size: str) -> None:
    value = [MADE[name], "x" * (2000 if size == "large" else 2)]
    data = attempt(c.dumps, value, protocol)
    if isinstance(data, Raised):
        pytest.skip("C cannot dump it")
    ours, theirs = attempt(ox.loads, data), attempt(c.loads, data)
    if isinstance(ours, Raised) or isinstance(theirs, Raised):
        assert same_error(ours, theirs)
        return
    assert isomorphic(ours, theirs) is None
    assert c.dumps(ours, protocol) == c.dumps(theirs, protocol) or name == "state and instance"
    for mine, other in zip(ours[0], theirs[0]) if isinstance(ours[0], list) else []:
        if isinstance(mine, ast.AST):
            # In the order of the stream, with interned names.
            assert list(vars(mine)) == list(vars(other))
            assert gc.is_tracked(vars(mine)) == gc.is_tracked(vars(other))
            for key in vars(mine):
                assert type(key) is not str or key is sys.intern(key)
            vars(mine)["new"] = 1
            del mine.new


@pytest.mark.usefixtures("short_collections")
def test_no_reference_is_lost() -> None:
    data = c.dumps(MADE["a module"], 4)
    for end in (b"", b"\xff.", b"R."):
        attempt(ox.loads, data[:-1] + end)
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(5):
            attempt(ox.loads, data[:-1] + end)
        gc.collect()
        assert sys.getallocatedblocks() - before < 200
    ox.loads(data)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(5):
        ox.loads(data)
    gc.collect()
    assert sys.getallocatedblocks() - before < 200
