"""Puts the native engine in the place of `_pickle`, and takes it out again.

This file says exactly what is replaced (`_places`) and must not replace anything else, import
`pickle` when it is imported itself, or leave a replacement half done.

What `install()` reaches is every look-up made afterwards: `pickle.dumps(...)`, `from pickle
import Pickler`, `import _pickle`. What it cannot reach is what took the old objects before:

- names bound early (`from pickle import dumps` in a module that is imported already);
- classes derived early from `pickle.Pickler` or `pickle.Unpickler`, since the base of a class with
  another layout cannot be changed: `multiprocessing.reduction.ForkingPickler` and cloudpickle's
  `Pickler`, if they were imported first;
- the pure-Python `pickle._Pickler` and `pickle._Unpickler` and what derives from them;
- other processes.

So call it first, or start the program with `python -m oxipickle run`, which does.
"""

import contextlib
import sys
import threading
from collections.abc import Iterable, Iterator, MutableMapping
from importlib.machinery import BuiltinImporter, PathFinder
from types import ModuleType
from typing import Any, NamedTuple, cast

from oxipickle import _pickle as native

__all__ = ["activated", "install", "installed", "interpreter_pickle", "uninstall"]

_NAMES = ("Pickler", "Unpickler", "dump", "dumps", "load", "loads")
_EXCEPTIONS = ("PickleError", "PicklingError", "UnpicklingError")
_ABSENT = object()


class _Place(NamedTuple):
    """One entry that is replaced: `mapping[key]` becomes `ours`."""

    mapping: MutableMapping[Any, Any]
    key: Any
    ours: Any
    stock: Any
    """What goes back if `ours` was found there already, put in by someone else."""


class _Replaced(NamedTuple):
    place: _Place
    found: Any

    def restore(self) -> None:
        """Puts back what was found, unless someone else has replaced the entry since."""
        mapping, key, ours, _ = self.place
        if mapping.get(key, _ABSENT) is not ours:
            return
        if self.found is _ABSENT:
            del mapping[key]
        else:
            mapping[key] = self.found


_lock = threading.RLock()
_replaced: dict[tuple[int, Any], _Replaced] = {}
_requested = False
_holders = 0


def interpreter_pickle() -> ModuleType:
    """The interpreter's own `_pickle`, whether or not ours stands in its place.

    Raises ImportError if this interpreter was built without one.
    """
    if _stock is None:
        raise ImportError("this interpreter has no _pickle of its own", name="_pickle")
    return _stock


def _find_stock() -> ModuleType | None:
    spec = BuiltinImporter.find_spec("_pickle") or PathFinder.find_spec("_pickle")
    if spec is None or spec.loader is None:
        return None
    found = sys.modules.get("_pickle", _ABSENT)
    if getattr(getattr(found, "__spec__", None), "origin", None) == spec.origin:
        return cast(ModuleType, found)
    # Something else stands there, or it is blocked. A copy is loaded for ourselves alone; 3.11
    # would enter it in sys.modules by itself.
    from importlib.util import module_from_spec

    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.modules.pop("_pickle", None)
        if found is not _ABSENT:
            sys.modules["_pickle"] = cast(ModuleType, found)
    return module


_stock = _find_stock()


def _places() -> list[_Place]:
    """Everything that is replaced. Looks up only, so that a failure here has changed nothing.

    Raises RuntimeError if `pickle` does not use the exception classes that ours raises.
    """
    import pickle

    for name in _EXCEPTIONS:
        if getattr(pickle, name) is not getattr(native, name):
            raise RuntimeError(
                f"pickle.{name} is not the interpreter's own class, so programs could not catch "
                "what oxipickle raises; oxipickle was not installed"
            )
    names = vars(pickle)
    stock = vars(_stock) if _stock is not None else {}
    places = [
        _Place(names, name, getattr(native, name), stock.get(name, names.get(f"_{name}")))
        for name in _NAMES
    ]
    # pickle.PickleBuffer stays the interpreter's type: programs hold it for isinstance, NumPy
    # keeps it for the life of the process, and C code makes it without asking `pickle`. The
    # engine takes both types; the pure-Python pickler goes by exact type and has to be told.
    save = getattr(pickle._Pickler, "save_picklebuffer", None)
    if save is not None:
        for buffer in {native.PickleBuffer, stock.get("PickleBuffer", native.PickleBuffer)}:
            places.append(_Place(pickle._Pickler.dispatch, buffer, save, save))
    places.append(_Place(sys.modules, "_pickle", native, _stock or _ABSENT))
    return places


def _replace() -> None:
    places = _places()
    changed = []
    try:
        for place in places:
            mapping, key, ours, stock = place
            slot = (id(mapping), key)
            found = mapping.get(key, _ABSENT)
            if found is ours and (slot in _replaced or ours is stock):
                continue
            _replaced[slot] = _Replaced(place, stock if found is ours else found)
            changed.append(slot)
            mapping[key] = ours
    except BaseException:
        _restore(changed)
        raise


def _restore(slots: Iterable[tuple[int, Any]]) -> None:
    for slot in list(slots):
        _replaced.pop(slot).restore()


def install() -> None:
    """Puts oxipickle in the place of `_pickle`, for the whole process.

    Replaces `sys.modules["_pickle"]` and `pickle`'s `Pickler`, `Unpickler`, `dump`, `dumps`,
    `load` and `loads`. Imports `pickle` if nothing has yet. A second call does no more, unless
    something was replaced by others in between: then it is put in again.

    Raises RuntimeError, having changed nothing, if `pickle`'s exception classes are not the
    interpreter's own. See the module's documentation for what cannot be reached.
    """
    global _requested
    import pickle  # noqa: F401  before the lock, which no import may wait for

    with _lock:
        _replace()
        _requested = True


def uninstall() -> None:
    """Puts back what `install()` found. Does nothing if nothing is installed.

    What others have replaced in the meantime is left to them. Objects that were taken out while
    oxipickle was installed (`from pickle import dumps`, derived classes) stay what they are.
    """
    global _requested
    with _lock:
        _restore(_replaced)
        _requested = False


def installed() -> bool:
    """Whether everything that `install()` replaces is oxipickle's at this moment.

    False if only a part is, say because another library has replaced `pickle.dumps` since.
    """
    if sys.modules.get("_pickle") is not native:
        return False
    pickle = sys.modules.get("pickle")
    return pickle is None or all(
        getattr(pickle, name, None) is getattr(native, name) for name in _NAMES
    )


@contextlib.contextmanager
def activated() -> Iterator[None]:
    """Installed inside the `with` block, for the whole process and not for this thread alone.

    Blocks nest and may overlap in several threads: the last one to end uninstalls, and none
    does if `install()` was called.

    >>> import pickle
    >>> before = pickle.dumps
    >>> with activated():
    ...     pickle.dumps is before
    False
    >>> pickle.dumps is before
    True
    """
    global _holders
    import pickle  # noqa: F401  before the lock, which no import may wait for

    with _lock:
        _replace()
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders and not _requested:
                _restore(_replaced)
