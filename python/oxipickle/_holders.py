"""Finds who took `pickle`'s objects before they were replaced: module names, classes, the rest.

Only looks. It must not import what is not imported yet, must not run code of the modules that it
looks at (their `__getattr__`, a lazy module's loading), and changes nothing; `activation.py` does.
"""

import gc
import sys
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Holder", "contained", "derived", "hidden", "module_names", "qualified_name", "twin"]

#: Modules whose names are replaced by `activation` itself, or that must keep what they have.
_OWN = ("_pickle", "pickle", "oxipickle")


class Holder(NamedTuple):
    """Something that holds an object of `pickle`."""

    module: str
    name: str
    """Qualified name within the module."""
    kind: str
    """`name`, `derived class`, `class attribute`, `default argument`, `closure`, `container` (a
    list, dict, tuple or set, under the name that a module or class has for it) or `keeper` (any
    other object, under the name of its class)."""
    holds: str
    """Qualified name of what it holds, as `_pickle.dumps`."""


def described(value: Any) -> str:
    """`_pickle.dumps` for that function, `_pickle` for the module."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "?")
    if issubclass(type(value), types.ModuleType):
        return str(name)
    return f"{getattr(value, '__module__', '?')}.{name}"


def qualified_name(cls: type) -> tuple[str, str]:
    """Module and name of a class, by type's own look-up: a metaclass may have another."""
    try:
        module = str(type.__getattribute__(cls, "__module__"))
    except AttributeError:  # taken away
        module = "?"
    return module, type.__getattribute__(cls, "__qualname__")


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
    """All classes derived from `base`, at any distance, each once.

    Known by their `id`, here as in all of this file: a metaclass may compare and hash as it likes.
    """
    seen = {id(base)}
    waiting = [base]
    while waiting:
        subclasses: list[type] = type.__subclasses__(waiting.pop())
        for cls in subclasses:
            if id(cls) not in seen:
                seen.add(id(cls))
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
    module, name = qualified_name(cls)
    if module.partition(".")[0] in _OWN:
        return
    for key, value in list(type.__getattribute__(cls, "__dict__").items()):
        wraps = type(value) is staticmethod or type(value) is classmethod
        inner = value.__func__ if wraps else value
        if id(inner) in objects:
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


_CONTAINERS = {
    id(kind) for kind in (dict, list, tuple, set, frozenset, deque, OrderedDict, defaultdict)
}
#: What refers to objects on behalf of something that is looked at otherwise, or for a moment only.
_PASSED_OVER: tuple[type, ...] = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CellType,
    types.FrameType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    staticmethod,
    classmethod,
)


def contained(functions: Sequence[Any]) -> Iterator[Holder]:
    """Containers with a name, and objects, that hold one of `functions` as an item or attribute.

    Asks the garbage collector, whatever it does not follow is not found: C code, what has been
    frozen, and containers within containers.
    """
    containers = {}
    for one in gc.get_referrers(*functions):
        if id(type(one)) in _CONTAINERS:
            containers[id(one)] = one
        else:
            yield from _of_keeper(one, functions)
    for module, _, key, value in module_names(containers):
        if not key.startswith("__"):  # such as a saved __dict__
            yield from _holdings(module, key, "container", value, functions)
    for cls in derived(object):
        for key, value in list(type.__getattribute__(cls, "__dict__").items()):
            if id(value) in containers and not key.startswith("__"):
                module, name = qualified_name(cls)
                yield from _holdings(module, f"{name}.{key}", "container", value, functions)
    # The attributes of an object may be in a dict of its own.
    for one in gc.get_referrers(*containers.values()):
        if id(type(one)) not in _CONTAINERS:
            for value in gc.get_referents(one):
                if id(value) in containers:
                    yield from _of_keeper(one, functions, value)


def _of_keeper(one: Any, functions: Sequence[Any], within: Any = None) -> Iterator[Holder]:
    kind = type(one)
    module, name = qualified_name(kind)
    if not issubclass(kind, _PASSED_OVER) and module.partition(".")[0] not in _OWN:
        yield from _holdings(module, name, "keeper", one if within is None else within, functions)


def _holdings(
    module: str, name: str, kind: str, container: Any, functions: Sequence[Any]
) -> Iterator[Holder]:
    for value in gc.get_referents(container):
        if any(value is function for function in functions):
            yield Holder(module, name, kind, described(value))
