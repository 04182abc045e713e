"""The bare cost of making objects: what any loader has to do, without a stream to read.

Measured beside `loads`, it shows what is left to gain. The loops run in C (`map`, `starmap`), so
that what is timed is the constructors and the storing of state and hardly the loop. No pickle is
read or written here.
"""

import copyreg
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain, repeat, starmap
from typing import Any

__all__ = ["making"]


def _drain(iterator: Iterable[Any]) -> None:
    deque(iterator, maxlen=0)


def _constructor(value: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What a loader calls for a reduce value: a class's `__new__`, or the function itself."""
    function, arguments = value[:2]
    if function is copyreg.__newobj__:  # type: ignore[attr-defined]
        return arguments[0].__new__, arguments
    return function, arguments


def making(objects: list[Any]) -> Callable[[], list[Any]]:
    """A function that makes objects like `objects`, which are of one class.

    The parts (arguments, states, items) exist already and are shared. Raises NotImplementedError
    for a reduce value with a form of state that this cannot store by a loop in C.
    """
    values = [obj.__reduce_ex__(5) for obj in objects]
    calls = [_constructor(value) for value in values]
    constructor, arguments = calls[0][0], [arguments for _, arguments in calls]
    if any(function != constructor for function, _ in calls):
        raise NotImplementedError("more than one constructor")
    states = [value[2] if len(value) > 2 else None for value in values]
    lists = [list(value[3]) if len(value) > 3 and value[3] else [] for value in values]
    dicts = [dict(value[4]) if len(value) > 4 and value[4] else {} for value in values]
    store = _storer(type(objects[0]), states)

    def make() -> list[Any]:
        made = list(starmap(constructor, arguments))
        if store is not None:
            store(made)
        if any(lists[:1]):
            _drain(map(type(made[0]).extend, made, lists))
        if any(dicts[:1]):
            _drain(map(type(made[0]).update, made, dicts))
        return made

    return make


def _storer(kind: type, states: list[Any]) -> Callable[[list[Any]], None] | None:
    first = states[0]
    if first is None:
        return None
    if hasattr(kind, "__setstate__"):
        method = kind.__setstate__
        return lambda made: _drain(map(method, made, states))
    if type(first) is dict:
        return lambda made: _drain(map(dict.update, map(vars, made), states))
    if type(first) is tuple and len(first) == 2 and not first[0]:
        names = [list(state[1]) for state in states]
        slots = [list(state[1].values()) for state in states]
        each = [len(of_one) for of_one in names]

        def store(made: list[Any]) -> None:
            targets = chain.from_iterable(map(repeat, made, each))
            _drain(map(setattr, targets, chain.from_iterable(names), chain.from_iterable(slots)))

        return store
    raise NotImplementedError(f"state of {kind.__name__}")
