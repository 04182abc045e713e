"""Every way to hold something of `pickle`, and whether switching on late and early reaches it.

The table of docs/switching-on.md says the same, row by row; a test compares them.
"""

import os
import pathlib
import subprocess
import sys
import textwrap
from typing import NamedTuple

import oxipickle
import pytest

pytestmark = pytest.mark.ends

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "switching-on.md"
STARTUP = pathlib.Path(oxipickle.__file__).parent / "_startup"

YES = "yes"
LISTED = "no: `status()` lists it"
UNSEEN = "no, and not found"
NEVER = "no: written in Python"


class Row(NamedTuple):
    holder: str
    """As the table of the documentation has it."""
    take: str
    """Statements after which it holds `pickle`."""
    ours: str
    """An expression: whether it uses oxipickle now."""
    late: str
    """What `install()` after that does for it."""
    listed: tuple[str, str] | None = None
    """Module and name in `status()`."""
    early: str = YES


ROWS = [
    Row(
        "`pickle.dumps(...)`, looked up at each call",
        "import pickle",
        "pickle.dumps is oxipickle.dumps and pickle.Unpickler is oxipickle.Unpickler",
        YES,
    ),
    Row(
        "`from pickle import dumps` in a module",
        "from pickle import dumps, Pickler",
        "dumps is oxipickle.dumps and Pickler is oxipickle.Pickler",
        YES,
    ),
    Row(
        "`import _pickle` in a module",
        "import _pickle",
        "_pickle is oxipickle._pickle",
        LISTED,
        ("__main__", "_pickle"),
    ),
    Row(
        "`shelve`",
        "import shelve",
        # 3.15 takes other names than the versions before.
        "getattr(shelve, 'Pickler', None) is oxipickle.Pickler or shelve.dumps is oxipickle.dumps",
        YES,
    ),
    Row(
        "`multiprocessing`: queues, pipes, pools, managers, shared memory",
        """
        from multiprocessing import connection, managers, queues, reduction, sharedctypes
        from multiprocessing.reduction import ForkingPickler
        holders = [reduction.ForkingPickler, reduction.AbstractReducer.ForkingPickler]
        def held():
            modules = [connection, queues, sharedctypes]
            return [one._ForkingPickler for one in modules] + [
                ForkingPickler, reduction.ForkingPickler,
                reduction.AbstractReducer.ForkingPickler, managers.reduction.ForkingPickler]
        """,
        "all(issubclass(one, oxipickle.Pickler) and one.loads is oxipickle.loads for one in held())",
        YES,
    ),
    Row(
        "`concurrent.futures.ProcessPoolExecutor`",
        "from concurrent.futures import process",
        "issubclass(process.mp.queues._ForkingPickler, oxipickle.Pickler)",
        YES,
    ),
    Row(
        "`logging.handlers`, `tracemalloc`, `trace`",
        "import logging.handlers, tracemalloc, trace",
        "all(m.pickle.dumps is oxipickle.dumps for m in (logging.handlers, tracemalloc, trace))",
        YES,
    ),
    Row(
        "`copyreg`: its table and extension registry, which are shared",
        """
        import copyreg, io, pickle
        class Thing: ...
        copyreg.pickle(Thing, lambda one: (int, (7,)))
        """,
        "oxipickle.loads(oxipickle.dumps(Thing())) == 7 == pickle.loads(pickle.dumps(Thing()))",
        YES,
    ),
    Row(
        "a class derived from `pickle.Pickler` or `Unpickler`",
        """
        import pickle
        class Mine(pickle.Pickler): ...
        """,
        "issubclass(Mine, oxipickle.Pickler)",
        LISTED,
        ("__main__", "Mine"),
    ),
    Row(
        "a class attribute",
        """
        import pickle
        class Codec:
            encode = staticmethod(pickle.dumps)
        """,
        "Codec.encode is oxipickle.dumps",
        LISTED,
        ("__main__", "Codec.encode"),
    ),
    Row(
        "a default argument",
        """
        import pickle
        def save(value, using=pickle.dumps): ...
        """,
        "save.__defaults__ == (oxipickle.dumps,)",
        LISTED,
        ("__main__", "save"),
    ),
    Row(
        "a closure",
        """
        import pickle
        def make(using):
            return lambda value: using(value)
        save = make(pickle.dumps)
        """,
        "save.__closure__[0].cell_contents is oxipickle.dumps",
        LISTED,
        ("__main__", "make.<locals>.<lambda>"),
    ),
    Row(
        "a list, dict, tuple or set with a name",
        """
        import pickle
        CODECS = {"pickle": pickle.loads}
        """,
        "CODECS['pickle'] is oxipickle.loads",
        LISTED,
        ("__main__", "CODECS"),
    ),
    Row(
        "an attribute of an object, `functools.partial`",
        """
        import pickle
        class Client:
            def __init__(self):
                self.encode = pickle.dumps
        client = Client()
        """,
        "client.encode is oxipickle.dumps",
        LISTED,
        ("__main__", "Client"),
    ),
    Row(
        "containers within containers, local variables, C code",
        """
        import pickle
        CODECS = {"pickle": (pickle.dumps, pickle.loads)}
        """,
        "CODECS['pickle'] == (oxipickle.dumps, oxipickle.loads)",
        UNSEEN,
    ),
    Row(
        "a class derived from `pickle._Pickler` or `_Unpickler`",
        """
        import pickle
        class Mine(pickle._Pickler): ...
        """,
        "issubclass(Mine, oxipickle.Pickler)",
        LISTED,
        ("__main__", "Mine"),
        NEVER,
    ),
]


def says(program: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def program(*parts: str) -> str:
    return "\n".join(textwrap.dedent(part).strip() for part in parts)


INSTALL = "import oxipickle; oxipickle.install()"


@pytest.fixture(params=ROWS, ids=lambda row: row.holder)
def row(request: pytest.FixtureRequest) -> Row:
    assert isinstance(request.param, Row)
    return request.param


def test_late(row: Row) -> None:
    report = """
    status = oxipickle.status()
    for one in status.missed + status.pure_python:
        print(one.module, one.name, sep="\\t")
    """
    printed = says(program(row.take, INSTALL, f"print({row.ours})", report))
    assert printed[0] == str(row.late == YES)
    if row.listed:
        assert "\t".join(row.listed) in printed[1:]
    else:
        assert printed[1:] == []


def test_early_by_install(row: Row) -> None:
    printed = says(program(INSTALL, row.take, f"print({row.ours}, oxipickle.status().missed)"))
    assert printed == [f"{row.early == YES} ()"]


def test_early_by_the_start_up_hook(row: Row) -> None:
    text = program(row.take, "import oxipickle", f"print({row.ours}, oxipickle.status().missed)")
    path = os.pathsep.join(filter(None, [str(STARTUP), os.environ.get("PYTHONPATH")]))
    which = f"{sys.implementation.cache_tag} {sys.prefix}"
    assert says(text, PYTHONPATH=path, OXIPICKLE_RUN=which) == [f"{row.early == YES} ()"]


def test_the_table_of_the_documentation_says_the_same() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("| holder | `install()` late | `install()` first, `run`, `enable` |")
    table = [f"| {row.holder} | {row.late} | {row.early} |" for row in ROWS]
    assert lines[start + 2 : start + 2 + len(table)] == table
