"""`python -m oxipickle run`: runs a program as plain Python would, with oxipickle in place.

The program must not be able to tell the difference: `sys.argv`, `sys.path[0]`, `__main__`, exit
code and traceback are those of `python SCRIPT` or `python -m MODULE`. So this file must not
import what the program does not need, and leaves nothing of itself in what the program sees, but
for what its children need: an entry of PYTHONPATH and OXIPICKLE_RUN in the environment.
"""

# pathlib would tidy up paths that the program must see as they were given.
# ruff: noqa: PTH100, PTH109, PTH118, PTH120

import builtins
import importlib.machinery
import io
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType

from oxipickle.activation import _install, switched_off

__all__ = ["run"]

USAGE = "usage: python -m oxipickle run [-m MODULE | SCRIPT] [ARGS...]"


def run(arguments: list[str]) -> None:
    """Runs the program that `arguments` name and returns when it has ended.

    `arguments` is what follows `run` on the command line. What the program raises goes on to the
    interpreter, which ends as it would have without oxipickle. Raises SystemExit with code 2 for
    wrong usage and for a script that cannot be read, with 0 after printing the usage for --help.
    """
    option = arguments[0] if arguments else ""
    if option in ("-h", "--help"):
        print(USAGE)
        raise SystemExit(0)
    if option == "-m" and len(arguments) > 1:
        start, argv = _module(arguments[1]), ["-m", *arguments[2:]]
    elif option.startswith("-m") and len(option) > 2:
        start, argv = _module(option[2:]), ["-m", *arguments[1:]]
    elif option and not option.startswith("-"):
        start, argv = _script(option), arguments
    elif option == "--" and len(arguments) > 1:
        start, argv = _script(arguments[1]), arguments[1:]
    else:
        print(USAGE, file=sys.stderr)
        raise SystemExit(2)

    if not switched_off():
        _install("'python -m oxipickle run'")
        _reach_children()
    sys.argv[:] = argv
    main = ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    _execute(start, main)


def _reach_children() -> None:
    """Has Python processes that this one starts find the start-up hook.

    PYTHONPATH is what reaches all of them, however they are started: multiprocessing with spawn and
    forkserver, subprocess, a shell. Options that have Python ignore it (-E, -I, -S) keep the hook
    out.
    """
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_startup")
    # What is there stays as it is: an empty entry among others is the current folder.
    before = os.environ.get("PYTHONPATH", "")
    if folder not in before.split(os.pathsep):
        os.environ["PYTHONPATH"] = folder + (os.pathsep + before if before else "")
    # The hook is for this Python in this environment only, and others find themselves unchanged.
    os.environ["OXIPICKLE_RUN"] = f"{sys.implementation.cache_tag} {sys.prefix}"


def _execute(start: Callable[[ModuleType], None], main: ModuleType) -> None:
    try:
        start(main)
    except BaseException:
        _hide_own_frames()
        raise


def _hide_own_frames() -> None:
    """Has the interpreter's report of the exception on its way begin at the program's frames.

    Everything else about the report (an excepthook of the program's own, `sys.last_exc`, the
    exit code, death by SIGINT) is left to the interpreter.
    """
    hook = sys.excepthook

    def report(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        sys.excepthook = hook
        traceback = _program_frames(traceback)
        error.__traceback__ = sys.last_traceback = traceback
        hook(kind, error, traceback)

    sys.excepthook = report


def _program_frames(traceback: TracebackType | None) -> TracebackType | None:
    """What lies beyond our own frames: those down to `_execute` and what it calls in this file."""
    frame = traceback
    while frame is not None and frame.tb_frame.f_code is not _execute.__code__:
        frame = frame.tb_next
    while frame is not None and frame.tb_frame.f_globals is globals():
        frame = frame.tb_next
    return frame


def _module(name: str) -> Callable[[ModuleType], None]:
    def start(_main: ModuleType) -> None:
        _run_module(name, True)

    return start


def _run_module(name: str, alter_argv: bool) -> None:
    # What the interpreter itself calls for -m; the public runpy.run_module takes `__main__` away
    # again while threads, exit handlers and child processes still need it.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _script(path: str) -> Callable[[ModuleType], None]:
    """How to run the script, directory or archive at `path`; raises SystemExit(2) without one."""
    full = os.path.abspath(path) if os.name == "nt" else os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(full) is not None:

        def start_archive(_main: ModuleType) -> None:
            if not sys.flags.safe_path:
                del sys.path[0]
            sys.path.insert(0, full)
            _run_module("__main__", False)

        return start_archive

    try:
        with io.open_code(full) as file:
            content = file.read()
    except OSError as error:
        python = sys.orig_argv[0]
        print(
            f"{python}: can't open file {full!r}: [Errno {error.errno}] {error.strerror}",
            file=sys.stderr,
        )
        raise SystemExit(2) from None

    def start_script(main: ModuleType) -> None:
        if not sys.flags.safe_path:
            sys.path[0] = os.path.dirname(os.path.realpath(full))
        machinery = importlib.machinery
        loader: machinery.SourceFileLoader | machinery.SourcelessFileLoader
        if full.endswith(".pyc"):
            loader = machinery.SourcelessFileLoader("__main__", full)
            code = loader.get_code("__main__")
        else:
            loader = machinery.SourceFileLoader("__main__", full)
            code = compile(content, full, "exec", dont_inherit=True)
        namespace = vars(main)
        namespace.update(__file__=full, __loader__=loader)
        if sys.version_info < (3, 15):
            namespace["__cached__"] = None
        assert code is not None
        exec(code, namespace)

    return start_script
