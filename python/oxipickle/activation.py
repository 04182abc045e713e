"""Puts the native engine in the place of `_pickle`, and takes it out again.

This file says exactly what is replaced (`_places`) and must not replace anything else, import
`pickle` when it is imported itself, or leave a replacement half done.

What `install()` reaches:

- every look-up made afterwards: `pickle.dumps(...)`, `from pickle import Pickler`, `import
  _pickle`;
- global names of modules that took one of these objects before (`from pickle import dumps`);
- `multiprocessing.reduction.ForkingPickler`, which is made anew on our Pickler, wherever a module
  holds it.

What it cannot reach, and what `status()` lists, is what holds the old objects otherwise:

- classes derived early from `pickle.Pickler` or `pickle.Unpickler`, such as cloudpickle's: the base
  of a class with another layout cannot be changed, and what else would break if a class were made
  anew, only its author knows. In the module of such a class the name of the base stays as it is,
  and our classes' methods serve its objects too (`_serve_derived`);
- class attributes, default arguments and closures;
- the pure-Python `pickle._Pickler` and `pickle._Unpickler` and what derives from them;
- other processes.

So call it first, or start the program with `python -m oxipickle run`, which does.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from importlib.machinery import BuiltinImporter, PathFinder
from types import ModuleType
from typing import Any, NamedTuple, cast

from oxipickle import _holders as _holders_of
from oxipickle import _pickle as native

__all__ = [
    "activated",
    "foreign_names",
    "install",
    "installed",
    "interpreter_pickle",
    "superseded",
    "switched_off",
    "uninstall",
    "waiting",
]

_NAMES = ("Pickler", "Unpickler", "dump", "dumps", "load", "loads")
_EXCEPTIONS = ("PickleError", "PicklingError", "UnpicklingError")
_ABSENT = object()
_BLOCK = "activated()"
#: The start-up hook under its three names; it is an import finder itself.
_HOOKS = ("_oxipickle_run", "_oxipickle_enabled", "_oxipickle_auto")


class _Place(NamedTuple):
    """One entry that is replaced: `owner[key]`, or the attribute of a class, becomes `ours`."""

    label: str
    """For people: `pickle.dumps`."""
    owner: dict[Any, Any] | type
    key: Any
    ours: Any
    stock: Any
    """What goes back if `ours` was found there already, put in by someone else."""

    def get(self) -> Any:
        owner = self.owner
        names = vars(owner) if isinstance(owner, type) else owner
        return names.get(self.key, _ABSENT)

    def put(self, value: Any) -> None:
        if isinstance(self.owner, type):
            setattr(self.owner, self.key, value)
        elif value is _ABSENT:
            del self.owner[self.key]
        else:
            self.owner[self.key] = value


class _Replaced(NamedTuple):
    place: _Place
    found: Any

    def restore(self) -> bool:
        """Puts back what was found; False if someone else has replaced the entry since."""
        now = self.place.get()
        if now is not self.place.ours:
            return now is self.found or now is _ABSENT
        self.place.put(self.found)
        return True


_lock = threading.RLock()
_replaced: dict[tuple[int, Any], _Replaced] = {}
_twins: dict[type, type] = {}
_requested = False
_holders = 0
_how: str | None = None
_since: float | None = None


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


def switched_off() -> bool:
    """Whether `OXIPICKLE_DISABLE` is set, to anything but 0: then nothing switches oxipickle on."""
    return os.environ.get("OXIPICKLE_DISABLE", "0") not in ("", "0")


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
        _Place(
            *(f"pickle.{name}", names, name, getattr(native, name)),
            stock.get(name, names.get(f"_{name}")),
        )
        for name in _NAMES
    ]
    # pickle.PickleBuffer stays the interpreter's type: programs hold it for isinstance, NumPy
    # keeps it for the life of the process, and C code makes it without asking `pickle`. The
    # engine takes both types; the pure-Python pickler goes by exact type and has to be told.
    save = getattr(pickle._Pickler, "save_picklebuffer", None)
    if save is not None:
        table = pickle._Pickler.dispatch
        for buffer in {native.PickleBuffer, stock.get("PickleBuffer", native.PickleBuffer)}:
            places.append(_Place("pickle._Pickler.dispatch", table, buffer, save, save))
    modules = cast(dict[Any, Any], sys.modules)
    places.append(_Place("sys.modules['_pickle']", modules, "_pickle", native, _stock or _ABSENT))
    return places + _early_places()


def _early_places() -> list[_Place]:
    """Names that modules took before: the interpreter's functions and classes, ForkingPickler."""
    if _stock is None:
        return []
    objects = superseded()
    places = []
    reduction = sys.modules.get("multiprocessing.reduction")
    old = getattr(reduction, "ForkingPickler", None)
    if isinstance(old, type) and old.__bases__ == (_stock.Pickler,):
        new = _twins.get(old) or _holders_of.twin(old, native.Pickler, objects)
        objects[id(old)] = _twins[old] = new
        abstract = getattr(reduction, "AbstractReducer", None)
        if isinstance(abstract, type) and vars(abstract).get("ForkingPickler") is old:
            label = "multiprocessing.reduction.AbstractReducer.ForkingPickler"
            places.append(_Place(label, abstract, "ForkingPickler", new, old))
    deriving = {
        id(base): {_holders_of.qualified_name(cls)[0] for cls in _holders_of.derived(base)}
        for base in (_stock.Pickler, _stock.Unpickler, *_twins)
    }
    for old in _twins:  # its own methods have been bound to the new one
        deriving[id(_stock.Pickler)].discard(old.__module__)
    for module, names, key, value in _holders_of.module_names(objects):
        if names.get("__name__") in deriving.get(id(value), ()):
            continue  # `Unpickler.load(self)` there means the base of its own class
        places.append(_Place(f"{module}.{key}", names, key, objects[id(value)], value))
    return places


def superseded() -> dict[int, Any]:
    """What each of the interpreter's functions and classes becomes, by the `id` of the old one."""
    stock = interpreter_pickle()
    return {id(getattr(stock, name)): getattr(native, name) for name in _NAMES}


def _replace(how: str) -> None:
    global _how, _since
    places = _places()
    changed = []
    try:
        for place in places:
            slot = (id(place.owner), place.key)
            found = place.get()
            if found is place.ours and (slot in _replaced or place.ours is place.stock):
                continue
            _replaced[slot] = _Replaced(place, place.stock if found is place.ours else found)
            changed.append(slot)
            place.put(place.ours)
        _serve_derived(True)
    except BaseException:
        _restore(changed)
        raise
    if _how is None or (_how == _BLOCK and how != _BLOCK and not _requested):
        _how, _since = how, time.time()


def _serve_derived(on: bool) -> None:
    """Lets classes derived from C's call `pickle.Pickler.dump(self, object)` as they did before.

    That name means our class while oxipickle is installed, and methods of a class written in C
    refuse objects of any other.
    """
    for name in ("Pickler", "Unpickler"):
        theirs = getattr(_stock, name, None)
        made_anew = {id(cls) for cls in _twins}
        early = on and theirs and {id(cls) for cls in _holders_of.derived(theirs)} - made_anew
        native._serve_also(getattr(native, name), theirs if early else None)


def _restore(slots: Iterable[tuple[int, Any]]) -> list[str]:
    """Puts the entries back; returns the labels of those that others have replaced since."""
    restored = [(one := _replaced.pop(slot), one.restore()) for slot in list(slots)]
    return [one.place.label for one, done in restored if not done]


def _end() -> list[str]:
    global _how, _since
    _how = _since = None
    left = _restore(_replaced)
    _serve_derived(False)
    return left


def _import_pickle() -> None:
    """Before the lock is taken, which no import may wait for."""
    import pickle  # noqa: F401


def install() -> None:
    """Puts oxipickle in the place of `_pickle`, for the whole process.

    Replaces `sys.modules["_pickle"]`; `pickle`'s `Pickler`, `Unpickler`, `dump`, `dumps`, `load`
    and `loads`; the same objects where modules hold them as global names of their own; and
    `multiprocessing`'s ForkingPickler. Imports `pickle` if nothing has yet. A second call does no
    more, unless something was replaced by others or a module took old objects in between:
    then these are replaced again.

    Does nothing where the environment has `OXIPICKLE_DISABLE=1`. `status()` tells what was not
    reached. Raises RuntimeError, having changed nothing, if `pickle`'s exception classes are not
    the interpreter's own.
    """
    _install("install()")


def _install(how: str) -> None:
    global _requested
    if switched_off():
        return
    _import_pickle()
    with _lock:
        _replace(how)
        _requested = True


def _start_up(how: str) -> None:
    """What the start-up hook calls when it has seen `pickle` imported."""
    _install(how)


def uninstall() -> None:
    """Puts back what `install()` found. Does nothing if nothing is installed.

    What others have replaced in the meantime is left to them, with a RuntimeWarning that names it.
    Objects that were taken out while oxipickle was installed (`from pickle import dumps`, derived
    classes) stay what they are. In an environment that oxipickle is enabled in, `pickle` is left
    alone from now on also if nothing has imported it yet.
    """
    global _requested
    hooks = _waiting_finders()
    sys.meta_path[:] = [one for one in sys.meta_path if one not in hooks]
    with _lock:
        left = _end()
        _requested = False
    _tell(left)


def _tell(left: list[str]) -> None:
    if left:
        import warnings

        names = ", ".join(sorted(left))
        text = f"left as somebody else has replaced it since oxipickle was installed: {names}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def _waiting_finders() -> list[Any]:
    """The start-up hook's, which are there until `pickle` is first imported."""
    return [one for one in sys.meta_path if getattr(one, "__name__", "") in _HOOKS]


def waiting() -> bool:
    """Whether the start-up hook will switch oxipickle on when `pickle` is first imported."""
    return bool(_waiting_finders())


def installed() -> bool:
    """Whether everything of `pickle` that `install()` replaces is oxipickle's at this moment.

    False if only a part is, say because another library has replaced `pickle.dumps` since.
    """
    return sys.modules.get("_pickle") is native and not foreign_names()


def foreign_names() -> list[str]:
    """Which of the names that `install()` replaces in `pickle` are not oxipickle's now."""
    pickle = sys.modules.get("pickle")
    if pickle is None:
        return []
    return [name for name in _NAMES if getattr(pickle, name, None) is not getattr(native, name)]


@contextlib.contextmanager
def activated() -> Iterator[None]:
    """Installed inside the `with` block, for the whole process and not for this thread alone.

    Blocks nest and may overlap in several threads: the last one to end uninstalls, and none
    does if `install()` was called. Entering and leaving looks through the names of all
    imported modules: some milliseconds in a large program.

    >>> import pickle
    >>> before = pickle.dumps
    >>> with activated():
    ...     pickle.dumps is before
    False
    >>> pickle.dumps is before
    True
    """
    global _holders
    if switched_off():
        yield
        return
    _import_pickle()
    with _lock:
        _replace(_BLOCK)
        _holders += 1
    left: list[str] = []
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders and not _requested:
                left = _end()
        _tell(left)


@contextlib.contextmanager
def state() -> Iterator[tuple[str | None, float | None, list[_Replaced], dict[type, type]]]:
    """For `status()`: how, since when, what was replaced, and which classes were made anew."""
    with _lock:
        yield _how, _since, list(_replaced.values()), dict(_twins)
