"""Puts a replacement in place of `_pickle` while the interpreter starts.

`run.py` copies this file into a virtual environment's site-packages beside a `.pth` line that
imports it, so that it acts in every process of a run, also in those that CPython's tests start
with `-I`.
It acts only if the environment variable OXIPICKLE_STAND_IN names a module.

It must import nothing that imports `pickle`, and it must not let a run go on with C's `_pickle` by
mistake: when it cannot do its work it ends the process.
"""

import os
import sys


def _load(name):
    """Import the module `name` without running its package's `__init__`.

    The package may import `pickle` and much else that a test of start-up behaviour would notice.
    """
    import importlib.util
    from importlib.machinery import PathFinder

    path = None
    parts = name.split(".")
    for i, part in enumerate(parts, 1):
        spec = PathFinder.find_spec(".".join(parts[:i]), path)
        if spec is None:
            raise ImportError(f"no module named {name!r} ({part!r} not found)")
        path = spec.submodule_search_locations
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _in_main_interpreter():
    try:
        import _interpreters  # 3.13
    except ImportError:
        try:
            import _xxsubinterpreters as _interpreters
        except ImportError:
            return True
    current = _interpreters.get_current()
    return current == _interpreters.get_main()


def _install(name):
    if "pickle" in sys.modules:
        raise RuntimeError("pickle was imported before the stand-in")
    try:
        sys.modules["_pickle"] = _load(name)
    except ImportError:
        # An extension may not support subinterpreters; there the program keeps C's module.
        if _in_main_interpreter():
            raise
        sys.modules.pop(name, None)


if os.environ.get("OXIPICKLE_STAND_IN"):
    try:
        _install(os.environ["OXIPICKLE_STAND_IN"])
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.write("the stand-in for _pickle could not be installed\n")
        sys.stderr.flush()
        os._exit(70)
