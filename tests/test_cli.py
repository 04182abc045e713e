"""`python -m oxipickle run` against plain Python, and `python -m oxipickle bench`."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import textwrap
import zipfile

import oxipickle
import pytest
from oxipickle import _cli, _measure
from oxipickle import _pickle as native
from typer.testing import CliRunner

pytestmark = pytest.mark.ends

RUN = ("-m", "oxipickle", "run")


def python(
    *arguments: str, cwd: pathlib.Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", **environment},
    )


def bench(*arguments: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "oxipickle", "bench", "--seconds", "0", *arguments, cwd=cwd)


# --- run

PROGRAM = """
import atexit
import sys

def show(name, value):
    print(name, value)

show("globals", sorted(globals()))
show("identity", [__name__, __file__, __package__, __doc__, type(__loader__).__name__])
show("spec", __spec__ and (__spec__.name, __spec__.origin))
show("builtins", __builtins__)
show("main", sys.modules["__main__"].__dict__ is globals())
show("argv", sys.argv)
show("path", sys.path[0])
show("excepthook", sys.excepthook is sys.__excepthook__)
show("thread", __import__("threading").main_thread().name)
atexit.register(show, "at exit", __name__)

def fail():
    raise LookupError("failed on purpose")

def hook(kind, error, traceback):
    import traceback as module
    show("hook", [kind, error.args, [entry.name for entry in module.extract_tb(traceback)]])

action = sys.argv[1] if len(sys.argv) > 1 else None
if action == "raise":
    fail()
elif action == "chain":
    try:
        fail()
    except LookupError as error:
        raise ValueError("while handling") from error
elif action == "code":
    sys.exit(7)
elif action == "message":
    sys.exit("ended on purpose")
elif action == "interrupt":
    raise KeyboardInterrupt
elif action == "hook":
    sys.excepthook = hook
    fail()
elif action == "late":
    import threading, time
    def late():
        time.sleep(0.1)
        show("late", sys.modules["__main__"].__dict__ is globals())
    threading.Thread(target=late).start()
"""


@pytest.fixture
def programs(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the program as script, module, package, folder, archive and bytecode."""
    package = tmp_path / "package"
    folder = tmp_path / "folder"
    inner = tmp_path / "inner"
    for directory in (package, folder, inner):
        directory.mkdir()
    for file in (
        tmp_path / "script.py",
        inner / "script.py",
        package / "__main__.py",
        package / "module.py",
        folder / "__main__.py",
    ):
        file.write_text(PROGRAM)
    (package / "__init__.py").touch()
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", PROGRAM)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "latin.py").write_bytes(b"# coding: latin-1\nprint(ascii('\xe9'))\n")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        "script.py",
        "script.py a -m b --help -- c",
        "script.py raise",
        "script.py chain",
        "script.py code",
        "script.py message",
        "script.py interrupt",
        "script.py hook",
        "script.py late",
        "inner/script.py",
        "./inner/../script.py raise",
        "broken.py",
        "latin.py",
        "missing.py",
        "folder raise",
        "archive.zip raise",
        "-m package x --version",
        "-m package raise",
        "-m package.module hook",
        "-m package.module interrupt",
        "-m missing",
        "-m package.missing",
        "-mpackage.module code",
    ],
)
@pytest.mark.parametrize("flags", [[], ["-P"]], ids=["", "safe path"])
def test_run_is_as_with_plain_python(
    programs: pathlib.Path, arguments: str, flags: list[str]
) -> None:
    # Compiled once beforehand: whether a module's bytecode is cached would show.
    paths = {"PYTHONDONTWRITEBYTECODE": "1"}
    plain = python(*flags, *arguments.split(), cwd=programs, **paths)
    ours = python(*flags, *RUN, *arguments.split(), cwd=programs, **paths)
    assert ours.stderr == plain.stderr
    assert ours.stdout == plain.stdout
    assert ours.returncode == plain.returncode


def test_run_bytecode(programs: pathlib.Path) -> None:
    import py_compile

    py_compile.compile(str(programs / "script.py"), str(programs / "compiled.pyc"))
    plain = python("compiled.pyc", "raise", cwd=programs)
    ours = python(*RUN, "compiled.pyc", "raise", cwd=programs)
    assert (ours.stdout, ours.stderr, ours.returncode) == (
        plain.stdout,
        plain.stderr,
        plain.returncode,
    )


@pytest.mark.skipif(os.name == "nt", reason="making a symbolic link needs a privilege there")
def test_run_script_through_a_link(programs: pathlib.Path) -> None:
    (programs / "inner" / "link.py").symlink_to(programs / "script.py")
    plain = python("inner/link.py", cwd=programs)
    ours = python(*RUN, "inner/link.py", cwd=programs)
    assert ours.stdout == plain.stdout
    assert f"path {programs.resolve()}" in ours.stdout


def test_run_puts_it_in_place_before_the_first_import(tmp_path: pathlib.Path) -> None:
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """
            import sys
            assert "typer" not in sys.modules and "rich" not in sys.modules
            from pickle import Pickler, dumps
            from multiprocessing.reduction import ForkingPickler
            import _pickle, oxipickle
            assert oxipickle.installed()
            assert _pickle is oxipickle._pickle
            assert dumps is _pickle.dumps
            assert issubclass(ForkingPickler, _pickle.Pickler)
            class Local:
                pass
            assert type(_pickle.loads(dumps(Local()))) is Local
            print("done")
            """
        )
    )
    for arguments in (["program.py"], ["-m", "program"]):
        done = python(*RUN, *arguments, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize("arguments", [[], ["-m"], ["--"], ["--no-such-option"], ["-c", "pass"]])
def test_run_used_wrongly(tmp_path: pathlib.Path, arguments: list[str]) -> None:
    done = python(*RUN, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: python -m oxipickle run")


def test_run_dashes_end_the_options(programs: pathlib.Path) -> None:
    done = python(*RUN, "--", "script.py", "--", "x", cwd=programs)
    assert "argv ['script.py', '--', 'x']" in done.stdout


def test_help_names_commands_and_exit_codes(tmp_path: pathlib.Path) -> None:
    wide = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
    top = python("-m", "oxipickle", "--help", cwd=tmp_path, **wide)
    assert top.returncode == 0
    assert re.search(r"\brun\b.*\n(.*\n)*.*\bbench\b", top.stdout)
    for_run = python("-m", "oxipickle", "run", "--help", cwd=tmp_path)
    assert (for_run.returncode, for_run.stderr) == (0, "")
    assert "-m MODULE | SCRIPT" in for_run.stdout
    for_bench = python("-m", "oxipickle", "bench", "--help", cwd=tmp_path, **wide)
    assert "Exit codes" in for_bench.stdout
    assert "can run any code" in for_bench.stdout


def test_version(tmp_path: pathlib.Path) -> None:
    done = python("-m", "oxipickle", "--version", cwd=tmp_path)
    assert done.stdout == f"oxipickle {oxipickle.__version__}\n"


# --- bench


def test_bench_prints_a_table(tmp_path: pathlib.Path) -> None:
    done = bench("--only", "log records", "--only", "messages", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line for line in done.stdout.splitlines() if line.startswith("  log records")]
    assert len(rows) == 1
    assert re.search(
        r"[\d.]+ [µm]s +[\d.]+ [µm]s +[\d.]+ +[\d.]+ [µm]s +[\d.]+ [µm]s +[\d.]+", rows[0]
    )
    assert "geometric mean" in done.stdout
    version = ".".join(map(str, sys.version_info[:3]))
    assert f"CPython {version}" in done.stdout
    assert re.search(r"PGO (yes|no|not\s+stated)", done.stdout)


def test_bench_json(tmp_path: pathlib.Path) -> None:
    done = bench("--only", "log*", "--json", "--protocol", "2", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert [(row["case"], row["route"], row["protocol"]) for row in document["rows"]] == [
        ("log records", "dumps", 2),
        ("log records", "loads", 2),
    ]
    for row in document["rows"]:
        times = row["seconds"]
        assert set(times) == {"oxipickle", "C"}
        assert row["ratio"] == pytest.approx(times["C"] / times["oxipickle"])
        assert document["geometric mean"][row["route"]] == pytest.approx(row["ratio"])
        assert row["samples"] >= 5
    assert document["differences"] == {}
    assert document["environment"]["oxipickle"] == oxipickle.__version__
    assert set(document["environment"]["build"]) >= {"pgo", "lto", "compiler"}


def test_bench_of_users_files(tmp_path: pathlib.Path) -> None:
    value = {"numbers": list(range(100))}
    (tmp_path / "old.pickle").write_bytes(pickle.dumps(value, 0))
    (tmp_path / "several.pickle").write_bytes(pickle.dumps(1) + pickle.dumps([2]) + pickle.dumps(3))
    done = bench("old.pickle", "several.pickle", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["case"] for row in rows] == ["old.pickle"] * 2 + ["several.pickle"] * 2
    assert rows[1]["bytes"] == len(pickle.dumps(value, 0))  # loaded as it is
    assert rows[3]["bytes"] == sum(len(pickle.dumps(item, 5)) for item in (1, [2], 3))
    done = bench("old.pickle", "--protocol", "5", "--json", cwd=tmp_path)
    rows = json.loads(done.stdout)["rows"]
    assert {row["bytes"] for row in rows} == {len(pickle.dumps(value, 5))}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EOFError"),
        (b"not a pickle", "UnpicklingError"),
        (b"cno_such_module\nname\n.", "ModuleNotFoundError: No module named 'no_such_module'"),
        (b"c__main__\nGone\n.", "AttributeError"),
        (pickle.dumps(1) + b"\x80\x05K", "cannot load"),
    ],
)
def test_bench_of_a_file_that_cannot_be_loaded(
    tmp_path: pathlib.Path, content: bytes, reason: str
) -> None:
    (tmp_path / "bad.pickle").write_bytes(content)
    done = bench("bad.pickle", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cannot load bad.pickle: ")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_bench_of_no_file(tmp_path: pathlib.Path) -> None:
    done = bench("missing.pickle", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("cannot load missing.pickle: FileNotFoundError")


def test_bench_used_wrongly(tmp_path: pathlib.Path) -> None:
    for arguments, reason in (
        (["--only", "no such data"], "matches none"),
        (["--protocol", "6"], "--protocol"),
        (["--no-such-option"], "--no-such-option"),
    ):
        done = bench(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert reason in done.stderr


def test_bench_finds_differences(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    class Wrong:
        loads = staticmethod(native.loads)

        @staticmethod
        def dumps(obj: object, protocol: int) -> bytes:
            return native.dumps(obj, protocol) + b"."

    stock = _measure.pickle_subjects()[1]
    monkeypatch.setattr(
        _measure, "pickle_subjects", lambda: [_measure.Subject("oxipickle", Wrong), stock]
    )
    file = tmp_path / "data.pickle"
    file.write_bytes(pickle.dumps([1]))
    result = CliRunner().invoke(_cli.app, ["bench", "--seconds", "0", str(file)])
    assert result.exit_code == 1
    assert "data.pickle: other bytes than C" in result.output


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals there")
def test_bench_shows_progress_on_a_terminal(tmp_path: pathlib.Path) -> None:
    import pty

    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "oxipickle", "bench", "--seconds", "1", "--only", "log records"],
        stdout=subprocess.DEVNULL,
        stderr=follower,
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 4096):
                shown += chunk
        except OSError:  # Linux says so when the other side has closed
            pass
        os.close(leader)
    assert process.returncode == 0
    assert b"log records" in shown
    assert b"1/2" in shown
