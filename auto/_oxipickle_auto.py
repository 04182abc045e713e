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
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import ModuleType

_HOW = {
    "_oxipickle_run": "'python -m oxipickle run' of a parent process",
    "_oxipickle_enabled": "'python -m oxipickle enable' for this environment",
    "_oxipickle_auto": "oxipickle-auto in this environment",
}.get(__name__, __name__)


def start() -> None:
    """Registers the finder, unless `OXIPICKLE_DISABLE` is set or another copy was first."""
    if environ.get("OXIPICKLE_DISABLE", "0") not in ("", "0"):
        return
    for finder in sys.meta_path:
        if type(finder).__name__ == "OxipickleFinder":
            return
    if "pickle" in sys.modules:
        _switch_on()  # another start-up file has imported it already
    else:
        sys.meta_path.insert(0, OxipickleFinder())


def start_if_asked() -> None:
    """As `start`, in processes that have `OXIPICKLE_ENABLE=1` in their environment."""
    if environ.get("OXIPICKLE_ENABLE", "0") not in ("", "0"):
        start()


class OxipickleFinder:
    """Finds `pickle` and `_pickle` where the other finders do, with a loader that switches on."""

    def __init__(self) -> None:
        self.busy = False

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name not in ("pickle", "_pickle") or self.busy:
            return None
        if name == "_pickle" and _is_loading("oxipickle"):
            return None  # the engine asks for the interpreter's own
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self)  # type: ignore[arg-type, assignment]
                return spec
        return None


class _Loader:
    """Loads as `loader` does, then switches on; to look at, it is that loader."""

    def __init__(self, loader: "SourceFileLoader", finder: OxipickleFinder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        if spec.name == "_pickle":
            return None  # this one is thrown away
        return self._loader.create_module(spec)

    def exec_module(self, module: "ModuleType") -> None:
        finder = self._finder
        spec = module.__spec__
        assert spec is not None
        if finder.busy:  # it is done, or another thread is at it: just load
            if spec.name == "_pickle":
                raise ImportError("a spec of _pickle from before it was replaced", name="_pickle")
            self._loader.exec_module(module)
            return
        finder.busy = True
        try:
            if spec.name == "_pickle":
                # `pickle` imports the interpreter's own; then ours, or that one, stands there.
                del sys.modules["_pickle"]
                import pickle  # noqa: F401
            else:
                spec.loader = vars(module)["__loader__"] = self._loader
                self._loader.exec_module(module)
            _switch_on()
        except BaseException:
            finder.busy = False
            raise
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


def _is_loading(name: str) -> bool:
    return bool(getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False))


def _switch_on() -> None:
    """Hands over to the package; a failure is one warning and the interpreter's own `_pickle`."""
    try:
        from oxipickle import activation

        activation._start_up(_HOW)
    except Exception as error:
        if "subinterpreter" in str(error):
            return  # known and documented: these use C
        _warn(
            f"oxipickle was switched on by {_HOW} but cannot be used ({type(error).__name__}: "
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
