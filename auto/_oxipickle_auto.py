"""The start-up hook: a finder that puts oxipickle in place when `pickle` is first imported.

It runs at the start of every Python process of an environment, so it must import nothing, cost next
to nothing, and never break anything: whatever goes wrong with oxipickle, the program gets C
`_pickle` and one warning. It stands alone, outside the package: importing `oxipickle` would load
the engine.

One file under three names, which say how it came about:

    _oxipickle_run      in a folder on PYTHONPATH, for the children of `python -m oxipickle run`
    _oxipickle_enabled  a copy in site-packages, by `python -m oxipickle enable`
    _oxipickle_auto     a copy in site-packages, by the distribution oxipickle-auto
"""

import sys
from os import environ

TYPE_CHECKING = False  # typing's own would have to be imported
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import ModuleType

_NAMES = ("_oxipickle_run", "_oxipickle_enabled", "_oxipickle_auto")

busy = False
"""Whether `pickle` is being loaded, or has been: nothing is to be found here from then on."""


def start() -> None:
    """Makes this module an import finder, unless `OXIPICKLE_DISABLE` is set or one is there.

    The module itself is the finder, since making a class takes as long as all the rest.
    """
    if environ.get("OXIPICKLE_DISABLE", "0") not in ("", "0"):
        return
    for finder in sys.meta_path:
        if getattr(finder, "__name__", "") in _NAMES:
            return
    if "pickle" in sys.modules:
        _switch_on()  # another start-up file has imported it already
    else:
        sys.meta_path.insert(0, sys.modules[__name__])


def start_if_asked() -> None:
    """As `start`, in processes that have `OXIPICKLE_ENABLE=1` in their environment."""
    if environ.get("OXIPICKLE_ENABLE", "0") not in ("", "0"):
        start()


def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
    """Finds `pickle` and `_pickle` where the other finders do, with a loader that switches on."""
    if name not in ("pickle", "_pickle") or busy:
        return None
    if name == "_pickle" and _is_loading("oxipickle"):
        return None  # the engine asks for the interpreter's own
    own = sys.modules[__name__]
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        if finder is own or find is None:
            continue
        spec = find(name, path, target)
        if spec is not None:
            if hasattr(spec.loader, "exec_module"):
                spec.loader = _loader(spec.loader)
            return spec
    return None


def _loader(loader: "SourceFileLoader") -> object:
    """Loads as `loader` does, then switches on; to look at, it is that loader."""

    def create_module(_self: object, spec: "ModuleSpec") -> "ModuleType | None":
        if spec.name == "_pickle":
            return None  # this one is thrown away
        return loader.create_module(spec)

    attributes = {
        "__getattr__": lambda _self, name: getattr(loader, name),
        "create_module": create_module,
        "exec_module": lambda _self, module: _execute(module, loader),
    }
    return type("Loader", (), attributes)()


def _execute(module: "ModuleType", loader: "SourceFileLoader") -> None:
    global busy
    spec = module.__spec__
    assert spec is not None
    if busy:  # it is done, or another thread is at it: just load
        if spec.name == "_pickle":
            raise ImportError("a spec of _pickle from before it was replaced", name="_pickle")
        loader.exec_module(module)
        return
    busy = True
    try:
        if spec.name == "_pickle":
            # `pickle` imports the interpreter's own; then ours, or that one, stands there.
            del sys.modules["_pickle"]
            import pickle  # noqa: F401
        else:
            spec.loader = vars(module)["__loader__"] = loader
            loader.exec_module(module)
        _switch_on()
    except BaseException:
        busy = False
        raise
    own = sys.modules[__name__]
    if own in sys.meta_path:
        sys.meta_path.remove(own)


def _is_loading(name: str) -> bool:
    return bool(getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False))


def _switch_on() -> None:
    """Hands over to the package; a failure is one warning and the interpreter's own `_pickle`."""
    how = {
        "_oxipickle_run": "'python -m oxipickle run' of a parent process",
        "_oxipickle_enabled": "'python -m oxipickle enable' for this environment",
        "_oxipickle_auto": "oxipickle-auto in this environment",
    }[__name__]
    try:
        from oxipickle import activation

        activation._start_up(how)
    except Exception as error:
        if "subinterpreter" in str(error):
            return  # known and documented: these use C
        _warn(
            f"oxipickle was switched on by {how} but cannot be used ({type(error).__name__}: "
            f"{error}); pickle uses the interpreter's own _pickle"
        )


def _warn(text: str) -> None:
    try:
        import warnings

        warnings.warn(text, RuntimeWarning, stacklevel=2)
    except Exception:  # warnings may be errors, and standard error may be closed
        try:
            sys.stderr.write(f"RuntimeWarning: {text}\n")
        except Exception:
            return
