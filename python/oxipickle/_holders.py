"""Finds who took `pickle`'s objects before they were replaced: module names, classes, the rest.

Only looks. It must not import what is not imported yet, must not run code of the modules that it
looks at (their `__getattr__`, a lazy module's loading), and changes nothing; `activation.py` does.
"""

import gc
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Holder", "derived", "hidden", "module_names", "twin"]

#: Modules whose names are replaced by `activation` itself, or that must keep what they have.
_OWN = ("_pickle", "pickle", "oxipickle")


class Holder(NamedTuple):
    """Something that holds an object of `pickle`."""

    module: str
    name: str
    """Qualified name within the module."""
    kind: str
    """`name`, `derived class`, `class attribute`, `default argument` or `closure`."""
    holds: str
    """Qualified name of what it holds, as `_pickle.dumps`."""


def described(value: Any) -> str:
    """`_pickle.dumps` for that function."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "?")
    return f"{getattr(value, '__module__', '?')}.{name}"


def _modules() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, module in list(sys.modules.items()):
        # isinstance would ask a proxy for its class, and a lazy module would load itself.
        if not issubclass(type(module), types.ModuleType) or name.partition(".")[0] in _OWN:
            continue
        names = object.__getattribute__(module, "__dict__")
        if names.get("__name__") not in _OWN:
            yield name, names


def module_names(objects: Mapping[int, Any]) -> Iterator[tuple[str, dict[str, Any], str, Any]]:
    """Global names of imported modules that hold an object whose `id` is among `objects`.

    Module, its names, the name, and the object: another thread may change the name meanwhile.
    """
    seen = set()
    for module, names in _modules():
        if id(names) in seen:
            continue
        seen.add(id(names))
        for key, value in list(names.items()):
            if id(value) in objects:
                yield module, names, key, value


def derived(base: type) -> Iterator[type]:
    """All classes derived from `base`, at any distance, each once."""
    seen = {base}
    waiting = [base]
    while waiting:
        subclasses: list[type] = type.__subclasses__(waiting.pop())
        for cls in subclasses:
            if cls not in seen:
                seen.add(cls)
                waiting.append(cls)
                yield cls


def twin(cls: type, base: type, replaced: Mapping[int, Any]) -> type:
    """A class as `cls` that derives from `base` alone, with the same attributes.

    Mutable attributes are shared, methods that call `super()` get a cell of their own, and
    attributes whose `id` is among `replaced` become what that says.
    """
    namespace = {
        key: replaced.get(id(value), value)
        for key, value in vars(cls).items()
        if key not in ("__dict__", "__weakref__")
    }
    made = type(cls)(cls.__name__, (base,), namespace)
    for key, value in namespace.items():
        if isinstance(value, types.FunctionType) and "__class__" in value.__code__.co_freevars:
            type.__setattr__(made, key, _bound_to(made, value))
    return made


def _bound_to(cls: type, function: types.FunctionType) -> types.FunctionType:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(types.CellType(cls) if name == "__class__" else cell for name, cell in cells),
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__doc__ = function.__doc__
    vars(copy).update(vars(function))
    return copy


def hidden(objects: Mapping[int, Any]) -> Iterator[Holder]:
    """Class attributes, default arguments and closures that hold one of `objects`.

    Looks at everything that the garbage collector knows: some 50 ms for a million objects.
    """
    for one in gc.get_objects():
        kind = type(one)
        if issubclass(kind, type):
            yield from _of_class(one, objects)
        elif kind is types.FunctionType:
            yield from _of_function(one, objects)


def _of_class(cls: type, objects: Mapping[int, Any]) -> Iterator[Holder]:
    # type's own look-up: a metaclass may have another.
    module = str(type.__getattribute__(cls, "__module__"))
    if module.partition(".")[0] in _OWN:
        return
    for key, value in list(type.__getattribute__(cls, "__dict__").items()):
        inner = value.__func__ if type(value) in (staticmethod, classmethod) else value
        if id(inner) in objects:
            name = type.__getattribute__(cls, "__qualname__")
            yield Holder(module, f"{name}.{key}", "class attribute", described(inner))


def _of_function(function: types.FunctionType, objects: Mapping[int, Any]) -> Iterator[Holder]:
    module = str(function.__module__)
    if module.partition(".")[0] in _OWN:
        return
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        if id(value) in objects:
            yield Holder(module, function.__qualname__, "default argument", described(value))
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        if id(value) in objects:
            yield Holder(module, function.__qualname__, "closure", described(value))
