"""The start-up hook, `enable`, `disable`, `status` of an environment, and the children of `run`.

Each test works in a virtual environment of its own that has a copy of the installed package. The
libraries of the command line come from the environment that runs the tests.
"""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Iterator
from importlib.metadata import distribution

import oxipickle
import pytest
from oxipickle import _cli, _environment
from typer.testing import CliRunner

pytestmark = pytest.mark.ends

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = pathlib.Path(oxipickle.__file__).parent
INFO = distribution("oxipickle").locate_file(f"oxipickle-{oxipickle.__version__}.dist-info")
OWN = ("_oxipickle_enabled.py", "oxipickle_enabled.pth", "oxipickle_enabled.start")
MANIFEST = "oxipickle_enabled.json"
STATE = """
import oxipickle, pickle
status = oxipickle.status()
print(status.state, status.how, oxipickle.installed())
"""
#: What a program finds with the engine in its place, and what with the interpreter's own.
OURS, STOCK = "oxipickle._pickle", "_pickle"
WHICH = "import pickle; print(pickle.dumps.__self__.__name__, pickle.loads(pickle.dumps([1])))"


class Environment:
    """A virtual environment with oxipickle installed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        venv.create(folder, symlinks=os.name != "nt")
        scripts = "Scripts/python.exe" if os.name == "nt" else "bin/python"
        self.program = str(folder / scripts)
        names = {"base": str(folder), "platbase": str(folder), "installed_base": str(folder)}
        self.site = pathlib.Path(sysconfig.get_path("purelib", "venv", names))
        shutil.copytree(
            PACKAGE, self.site / "oxipickle", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(str(INFO), self.site / pathlib.Path(str(INFO)).name)
        self.libraries = self.site / "zz_libraries.pth"
        outer = sysconfig.get_path("purelib")
        self.libraries.write_text(f"import sys; sys.path.append({outer!r})\n")
        self.before = self.files()

    def files(self) -> set[str]:
        found = (path for path in self.site.rglob("*") if "__pycache__" not in path.parts)
        return {path.relative_to(self.site).as_posix() for path in found}

    def run(
        self, *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.program, *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            cwd=self.folder,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", **environment},
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def says(self, program: str, *options: str, **environment: str) -> str:
        """What a program prints; it must not complain."""
        done = self.run(*options, "-c", textwrap.dedent(program), **environment)
        assert done.stderr == ""
        return done.stdout.strip()

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "oxipickle", *arguments, check=check)

    def remove_package(self) -> None:
        shutil.rmtree(self.site / "oxipickle")
        self.libraries.unlink()

    def install_auto(self) -> None:
        """As its wheel does."""
        for file in (ROOT / "auto").glob("*oxipickle_auto.*"):
            shutil.copy(file, self.site)


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> Environment:
    return Environment(tmp_path / "environment")


@pytest.fixture(params=["enable", "auto"])
def switched_on(environment: Environment, request: pytest.FixtureRequest) -> Environment:
    """Both ways to have start-up files."""
    if request.param == "auto":
        environment.install_auto()
    else:
        environment.command("enable")
    return environment


# --- the hook


def test_every_process_of_the_environment_is_switched_on(switched_on: Environment) -> None:
    done = switched_on.says(STATE)
    assert done.startswith("active ") and done.endswith(" True")
    assert switched_on.says(WHICH) == f"{OURS} [1]"


def test_at_start_nothing_is_imported(switched_on: Environment) -> None:
    """No more than where the same start-up files are read and the hook returns at once."""
    shown = "import sys; print(*sys.modules)"
    with_hook = set(switched_on.says(shown).split())
    assert with_hook == set(switched_on.says(shown, OXIPICKLE_DISABLE="1").split())
    assert not with_hook & {"pickle", "_pickle", "oxipickle", "oxipickle._pickle"}


def test_uninstall_before_pickle_is_imported(switched_on: Environment) -> None:
    printed = switched_on.says(
        """
        import oxipickle
        print(oxipickle.status().state, oxipickle.installed())
        oxipickle.uninstall()
        print(oxipickle.status().state)
        import pickle
        print(oxipickle.installed())
        """
    )
    assert printed.split() == ["waiting", "False", "off", "False"]


def test_uninstall_after_pickle_is_imported(switched_on: Environment) -> None:
    printed = switched_on.says(
        """
        import pickle, sys, oxipickle
        ours = pickle.dumps is oxipickle.dumps
        oxipickle.uninstall()
        stock = oxipickle.activation.interpreter_pickle()
        print(ours, sys.modules["_pickle"] is stock, pickle.dumps is stock.dumps)
        """
    )
    assert printed == "True True True"


@pytest.mark.parametrize(
    "imports",
    [
        "import pickle, _pickle",
        "import _pickle, pickle",
        "import oxipickle, pickle, _pickle",
        "from pickle import dumps; import _pickle, pickle",
        "import shelve, multiprocessing.reduction, _pickle, pickle",
        "import importlib; _pickle = importlib.import_module('_pickle'); import pickle",
    ],
)
def test_any_first_import(switched_on: Environment, imports: str) -> None:
    printed = switched_on.says(
        f"""
        {imports}
        import oxipickle, sys
        assert _pickle is sys.modules["_pickle"] is oxipickle._pickle
        assert oxipickle.installed()
        assert oxipickle.status().missed == (), oxipickle.status()
        assert pickle.PickleBuffer is oxipickle.activation.interpreter_pickle().PickleBuffer
        assert type(pickle.__loader__).__module__ != "_oxipickle_enabled"
        assert pickle.__spec__.loader is pickle.__loader__
        assert not [one for one in sys.meta_path if "xipickle" in type(one).__name__]
        print("done")
        """
    )
    assert printed == "done"


def test_looking_for_pickle_is_not_importing_it(switched_on: Environment) -> None:
    printed = switched_on.says(
        """
        import importlib.util, sys
        spec = importlib.util.find_spec("pickle")
        native = importlib.util.find_spec("_pickle")
        print("pickle" in sys.modules, spec.origin == spec.loader.get_filename("pickle"))
        print(spec.loader.get_source("pickle")[:3], native.name)
        import pickle, oxipickle
        print(oxipickle.installed())
        """
    )
    assert printed.splitlines() == ["False True", '""" _pickle', "True"]
    assert "usage" in switched_on.run("-m", "pickle", "--help").stdout
    assert "pickle" in switched_on.run("-m", "pickletools", "--help").stdout


def test_threads_that_import_it_at_once(switched_on: Environment) -> None:
    printed = switched_on.says(
        """
        import threading
        start = threading.Barrier(8)
        seen = []
        def work(number):
            start.wait()
            import pickle
            seen.append(pickle.loads(pickle.dumps(number)))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        import oxipickle
        print(sorted(seen), oxipickle.installed())
        """
    )
    assert printed == f"{list(range(8))} True"


def test_pickle_imported_by_another_start_up_file(switched_on: Environment) -> None:
    (switched_on.site / "a_first.pth").write_text("import pickle\n")
    assert switched_on.says(WHICH) == f"{OURS} [1]"


def test_both_ways_at_once(environment: Environment) -> None:
    environment.command("enable")
    environment.install_auto()
    assert environment.says(WHICH) == f"{OURS} [1]"
    assert environment.says("import sys; print(len(sys.meta_path))") == "4"


# --- options and variables


@pytest.mark.parametrize(
    ("options", "which"), [("-I", OURS), ("-E", OURS), ("-s", OURS), ("-S", STOCK), ("-IS", STOCK)]
)
def test_options_of_the_interpreter(switched_on: Environment, options: str, which: str) -> None:
    """Start-up files are the business of `site`: only -S leaves them out."""
    assert switched_on.says(WHICH, options) == f"{which} [1]"


@pytest.mark.parametrize("options", ["-c", "-I -c"])
def test_disable_variable_wins(switched_on: Environment, options: str) -> None:
    *flags, _ = options.split()
    variables = {"OXIPICKLE_DISABLE": "1", "OXIPICKLE_ENABLE": "1"}
    assert switched_on.says(WHICH, *flags, **variables) == f"{STOCK} [1]"
    assert switched_on.says(WHICH, *flags, OXIPICKLE_DISABLE="0") == f"{OURS} [1]"
    done = switched_on.run("-m", "oxipickle", "status", check=False, OXIPICKLE_DISABLE="1")
    assert done.returncode == 1
    assert "OXIPICKLE_DISABLE" in done.stdout


def test_only_on_request(environment: Environment) -> None:
    done = environment.command("enable", "--on-request")
    assert "where OXIPICKLE_ENABLE=1 is set" in done.stdout
    assert environment.says(WHICH) == f"{STOCK} [1]"
    assert environment.says(WHICH, OXIPICKLE_ENABLE="0") == f"{STOCK} [1]"
    assert environment.says(WHICH, OXIPICKLE_ENABLE="1") == f"{OURS} [1]"
    both = {"OXIPICKLE_ENABLE": "1", "OXIPICKLE_DISABLE": "1"}
    assert environment.says(WHICH, **both) == f"{STOCK} [1]"
    assert "OXIPICKLE_ENABLE=1" in environment.command("status", check=False).stdout


# --- a broken or removed package never breaks a start


def complaints(environment: Environment, program: str, *options: str) -> tuple[str, str]:
    done = environment.run(*options, "-c", program)
    return done.stdout.strip(), done.stderr


def test_removed_package(switched_on: Environment) -> None:
    switched_on.remove_package()
    assert complaints(switched_on, "print('up')") == ("up", "")
    printed, complaint = complaints(switched_on, WHICH)
    assert printed == f"{STOCK} [1]"
    assert complaint.count("RuntimeWarning") == 1
    assert "No module named 'oxipickle'" in complaint
    assert "pickle uses the interpreter's own _pickle" in complaint
    assert complaints(switched_on, WHICH, "-W", "ignore") == (printed, "")
    # Warnings that are errors must not be errors of `import pickle`.
    assert complaints(switched_on, WHICH, "-W", "error")[0] == printed


@pytest.mark.parametrize(
    "damage",
    ["raise OSError('broken on purpose')", "import no_such_module", "def broken(:", "1 / 0"],
)
def test_broken_package(switched_on: Environment, damage: str) -> None:
    (switched_on.site / "oxipickle" / "__init__.py").write_text(damage)
    printed, complaint = complaints(switched_on, WHICH)
    assert printed == f"{STOCK} [1]"
    assert complaint.count("RuntimeWarning") == 1


def extensions(environment: Environment) -> Iterator[pathlib.Path]:
    return (environment.site / "oxipickle").glob("_pickle.*[!i]")


def test_missing_extension(switched_on: Environment) -> None:
    for file in list(extensions(switched_on)):
        file.unlink()
    printed, complaint = complaints(switched_on, WHICH)
    assert printed == f"{STOCK} [1]"
    assert "oxipickle._pickle" in complaint


def test_extension_of_another_python(switched_on: Environment) -> None:
    """One for another version has another name and is as good as none."""
    for file in list(extensions(switched_on)):
        file.rename(file.with_name("_pickle.cpython-399-x86_64-linux-gnu.so"))
    printed, complaint = complaints(switched_on, WHICH)
    assert printed == f"{STOCK} [1]"
    assert complaint.count("RuntimeWarning") == 1


def test_extension_that_is_none(switched_on: Environment) -> None:
    for file in list(extensions(switched_on)):
        file.write_bytes(b"no shared library")
    printed, complaint = complaints(switched_on, WHICH)
    assert printed == f"{STOCK} [1]"
    assert complaint.count("RuntimeWarning") == 1


def test_closed_standard_error(switched_on: Environment) -> None:
    switched_on.remove_package()
    printed = switched_on.says(f"import sys; sys.stderr = None; {WHICH}", "-W", "error")
    assert printed == f"{STOCK} [1]"


SUBINTERPRETER = """
import {module} as interpreters
one = interpreters.create()
text = '''{text}'''
result = interpreters.{call}(one, text)
assert not result, result
interpreters.destroy(one)
import pickle
print(pickle.dumps.__self__.__name__, pickle.loads(pickle.dumps([1])), flush=True)
"""


def in_subinterpreter(text: str) -> str:
    """A program that runs `text` in a subinterpreter before it imports pickle itself."""
    new = sys.version_info >= (3, 13)
    module, call = ("_interpreters", "exec") if new else ("_xxsubinterpreters", "run_string")
    return SUBINTERPRETER.format(module=module, call=call, text=text)


def test_a_subinterpreter_uses_the_interpreters_own_in_silence(switched_on: Environment) -> None:
    program = in_subinterpreter(
        "import pickle; "
        "print(pickle.dumps.__self__.__name__, pickle.loads(pickle.dumps([1])), flush=True)"
    )
    printed = switched_on.says(program)
    assert printed.splitlines() == [f"{STOCK} [1]", f"{OURS} [1]"]


def test_a_subinterpreter_that_imports_it_first_is_refused(switched_on: Environment) -> None:
    """It was let in, and on 3.11 its first dump waited for ever."""
    text = """
try:
    import oxipickle
except ImportError as error:
    print(type(error).__name__, flush=True)
"""
    printed = switched_on.says(in_subinterpreter(text))
    assert printed.splitlines() == ["ImportError", f"{OURS} [1]"]


# --- enable, disable, status


def test_enable_and_disable_leave_nothing(environment: Environment) -> None:
    record = environment.site / pathlib.Path(str(INFO)).name / "RECORD"
    text = record.read_text()
    done = environment.command("enable")
    assert done.stdout.startswith("oxipickle is switched on for ")
    assert environment.files() - environment.before == {*OWN, MANIFEST}
    rows = {row[0]: row for row in csv.reader(record.read_text().splitlines())}
    assert set(rows) >= {*OWN, MANIFEST}
    for name in (*OWN, MANIFEST):
        content = (environment.site / name).read_bytes()
        expected = [name, f"sha256={_environment._digest(content)}", str(len(content))]
        assert rows[name] == expected
    manifest = json.loads((environment.site / MANIFEST).read_text())
    assert set(manifest["files"]) == set(OWN)

    assert environment.command("status").returncode == 0
    done = environment.command("disable")
    assert done.stdout.startswith("oxipickle is switched off for ")
    assert environment.files() == environment.before
    assert not list((environment.site / "__pycache__").glob("_oxipickle*"))
    assert record.read_text() == text
    assert environment.says(WHICH) == f"{STOCK} [1]"


def test_both_start_up_files_say_the_same(environment: Environment) -> None:
    environment.command("enable")
    pth = (environment.site / "oxipickle_enabled.pth").read_text()
    assert pth == "import _oxipickle_enabled; _oxipickle_enabled.start()\n"
    start = (environment.site / "oxipickle_enabled.start").read_text()
    assert start == "_oxipickle_enabled:start\n"


def test_disable_without_enable(environment: Environment) -> None:
    done = environment.command("disable")
    assert done.stdout.startswith("oxipickle was not enabled for ")
    assert environment.files() == environment.before


def test_enable_over_an_old_one(environment: Environment) -> None:
    """Of an earlier version, or with files gone: the result is one whole set of ours."""
    environment.command("enable", "--on-request")
    (environment.site / "_oxipickle_enabled.py").write_text("def start_if_asked(): pass\n")
    (environment.site / MANIFEST).unlink()
    done = environment.command("enable")
    assert done.stdout.startswith("oxipickle is switched on again for ")
    assert environment.says(WHICH) == f"{OURS} [1]"
    environment.command("enable")
    environment.command("disable")
    assert environment.files() == environment.before


def test_the_manifest_says_what_an_earlier_version_wrote(environment: Environment) -> None:
    for again in ("enable", "disable"):
        environment.command("enable")
        old = environment.site / "_oxipickle_older.py"
        old.write_text("")
        path = environment.site / MANIFEST
        manifest = json.loads(path.read_text())
        # Only names in this folder that are ours: it is a file that anyone may have changed.
        manifest["files"].update({old.name: "", "../oxipickle.py": "", "zz_libraries.pth": ""})
        path.write_text(json.dumps(manifest))
        record = environment.site / pathlib.Path(str(INFO)).name / "RECORD"
        record.write_text(record.read_text() + f"{old.name},,\n")
        environment.command(again)
        assert not old.exists()
        assert old.name not in record.read_text()
        assert environment.libraries.exists()
    assert environment.files() == environment.before
    environment.command("enable")
    for broken in ("", "[]", '{"files": 3}', "\udcff"):
        path.write_text(broken, errors="surrogateescape")
        environment.command("enable")
    environment.command("disable")
    assert environment.files() == environment.before


def test_pip_uninstall_leaves_nothing(environment: Environment) -> None:
    environment.command("enable")
    assert environment.says(WHICH) == f"{OURS} [1]"
    environment.libraries.unlink()
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python"]
        + [environment.program, "uninstall", "--yes", "--quiet", "oxipickle"],
        check=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    left = [path for path in environment.site.rglob("*") if "oxipickle" in path.name.lower()]
    assert left == []
    assert environment.says(WHICH) == f"{STOCK} [1]"


def test_status_of_an_environment(environment: Environment) -> None:
    done = environment.command("status", check=False)
    assert done.returncode == 1
    assert "oxipickle is off" in done.stdout
    assert "not switched on" in done.stdout
    environment.command("enable")
    done = environment.command("status", "--json")
    document = json.loads(done.stdout)
    assert document["state"] in ("active", "waiting")
    assert document["environment"] == [
        {"by": "enable", "files": sorted(OWN), "only_if_asked": False}
    ]


def test_enable_where_auto_is_installed(environment: Environment) -> None:
    environment.install_auto()
    before = environment.files()
    done = environment.command("enable", check=False)
    assert done.returncode == 1
    assert "oxipickle-auto is installed here" in done.stderr
    done = environment.command("disable", check=False)
    assert done.returncode == 1
    assert "pip uninstall oxipickle-auto" in done.stderr
    assert environment.files() == before
    assert "oxipickle-auto" in environment.command("status").stdout


def test_two_copies(environment: Environment, tmp_path: pathlib.Path) -> None:
    """The one that is asked is not the one that a plain start would find."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(environment.site / "oxipickle", elsewhere / "oxipickle")
    done = environment.run("-m", "oxipickle", "enable", check=False, PYTHONPATH=str(elsewhere))
    assert done.returncode == 1
    assert str(elsewhere / "oxipickle") in done.stderr
    assert str(environment.site / "oxipickle") in done.stderr
    assert environment.files() == environment.before
    # Started that way, the copy that comes first on the path is the one in place.
    environment.command("enable")
    printed = environment.says(
        "import pickle, oxipickle; print(oxipickle.__file__, oxipickle.installed())",
        PYTHONPATH=str(elsewhere),
    )
    assert printed == f"{elsewhere / 'oxipickle' / '__init__.py'} True"


# --- the environment that runs the tests: only faults, which change nothing


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    monkeypatch.setattr(_environment, "site_packages", lambda: tmp_path)
    monkeypatch.setattr(_environment, "_expect_this_copy", lambda: None)
    return tmp_path


def test_a_system_interpreter_is_refused_unless_forced(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    monkeypatch.setattr(_environment, "_try_out", lambda _only: None)
    result = CliRunner().invoke(_cli.app, ["enable"])
    assert result.exit_code == 1
    assert "is not a virtual environment" in result.output
    assert list(here.iterdir()) == []
    result = CliRunner().invoke(_cli.app, ["enable", "--force"])
    assert result.exit_code == 0, result.output
    assert {path.name for path in here.iterdir()} == {*OWN, MANIFEST}
    assert CliRunner().invoke(_cli.app, ["disable"]).exit_code == 0
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("last", range(4))
def test_read_only_site_packages(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """Also where the fault comes in the middle: none of the files is left."""
    monkeypatch.setattr(_environment, "_is_own_environment", lambda: True)
    written = []
    replace = pathlib.Path.replace

    def refuse(self: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        if len(written) == last:
            raise OSError(30, "Read-only file system", str(target))
        written.append(target)
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", refuse)
    result = CliRunner().invoke(_cli.app, ["enable"])
    assert result.exit_code == 1
    assert "cannot write to" in result.output and "Read-only file system" in result.output
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("said", ["False", "Traceback\nLookupError: no such thing"])
def test_enable_that_does_not_come_up_is_taken_back(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(_environment, "_is_own_environment", lambda: True)
    monkeypatch.setattr(_environment, "_python", lambda _code, **_variables: said)
    result = CliRunner().invoke(_cli.app, ["enable"])
    assert result.exit_code == 1
    assert "taken back" in result.output
    assert ("not replaced" if said == "False" else "no such thing") in result.output
    assert list(here.iterdir()) == []


def test_files_that_cannot_be_removed(here: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "oxipickle_enabled.pth").write_text("")

    def refuse(self: pathlib.Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "unlink", refuse)
        result = CliRunner().invoke(_cli.app, ["disable"])
    assert result.exit_code == 1
    assert "cannot remove from" in result.output


# --- the children of `run`

CHILDREN = """
import concurrent.futures, multiprocessing, os, subprocess, sys

def who(_=None):
    import oxipickle, pickle
    status = oxipickle.status()
    return [oxipickle.installed(), list(status.missed), any("_startup" in p for p in sys.path)]

def grandchild(_=None):
    return subprocess.run([sys.executable, __file__, "who"], capture_output=True, text=True,
                          check=True).stdout.strip()

if __name__ == "__main__":
    if sys.argv[1:] == ["who"]:
        print(who())
    else:
        print("self", who())
        for method in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context(method)
            with context.Pool(1) as pool:
                print(method, pool.apply(who))
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
                print("executor", method, executor.submit(who).result())
                print("grandchild", method, executor.submit(grandchild).result())
"""


def test_run_includes_children(environment: Environment) -> None:
    file = environment.folder / "program.py"
    file.write_text(CHILDREN)
    lines = environment.command("run", "program.py").stdout.splitlines()
    assert len(lines) >= 4
    for line in lines:
        assert line.endswith("[True, [], False]"), line
    for line in environment.run("program.py").stdout.splitlines():
        assert line.endswith("[False, [], False]"), line
    disabled = environment.run("-m", "oxipickle", "run", "program.py", OXIPICKLE_DISABLE="1")
    for line in disabled.stdout.splitlines():
        assert line.endswith("[False, [], False]"), line


@pytest.mark.parametrize(
    ("options", "which"), [("", OURS), ("-s", OURS), ("-E", STOCK), ("-I", STOCK), ("-S", STOCK)]
)
def test_children_of_run_with_options(environment: Environment, options: str, which: str) -> None:
    """What has Python ignore PYTHONPATH or `site` has it ignore the hook; silently, as documented."""
    (environment.folder / "program.py").write_text(
        textwrap.dedent(
            f"""
            import subprocess, sys
            options = {options.split()!r}
            subprocess.run([sys.executable, *options, "-c", {WHICH!r}], check=True)
            """
        )
    )
    done = environment.command("run", "program.py")
    assert (done.stdout.strip(), done.stderr) == (f"{which} [1]", "")


def test_run_keeps_pythonpath_and_a_sitecustomize_of_ones_own(environment: Environment) -> None:
    own = environment.folder / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys; sys.customized = __name__, __file__\n")
    (environment.folder / "program.py").write_text(
        textwrap.dedent(
            """
            import os, subprocess, sys
            shown = ("import sys, pickle; print(sys.customized, sys.path, "
                     "sys.modules['sitecustomize'].__file__)")
            print(os.environ["PYTHONPATH"].split(os.pathsep)[1:])
            sys.stdout.flush()
            subprocess.run([sys.executable, "-c", shown], check=True)
            """
        )
    )
    plain = environment.run("program.py", PYTHONPATH=str(own))
    ours = environment.run("-m", "oxipickle", "run", "program.py", PYTHONPATH=str(own))
    assert ours.stdout.splitlines()[0] == f"[{str(own)!r}]"
    assert ours.stdout.splitlines()[1:] == plain.stdout.splitlines()[1:]
    assert ours.stderr == plain.stderr == ""


@pytest.mark.parametrize("path", ["", "folder", ":folder", "folder:", "folder::other", ":", "::"])
def test_children_of_run_look_where_they_would_without(environment: Environment, path: str) -> None:
    """An empty entry of PYTHONPATH means the current folder, unless it is all there is."""
    (environment.folder / "program.py").write_text(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import sys; print(sys.path)'], check=True)\n"
    )
    variable = path.replace(":", os.pathsep)
    plain = environment.run("program.py", PYTHONPATH=variable)
    ours = environment.run("-m", "oxipickle", "run", "program.py", PYTHONPATH=variable)
    assert ours.stdout == plain.stdout


@pytest.mark.parametrize("content", ["1 / 0\n", "import no_such_module\n"])
def test_a_sitecustomize_that_fails_is_reported_as_without_run(
    environment: Environment, content: str
) -> None:
    own = environment.folder / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text(content)
    (environment.folder / "program.py").write_text(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WHICH!r}], check=True)\n"
    )
    done = environment.run("-m", "oxipickle", "run", "program.py", PYTHONPATH=str(own))
    assert done.stdout.strip() == f"{OURS} [1]"
    assert "sitecustomize" in done.stderr


def test_children_in_another_environment_are_left_alone(
    environment: Environment, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "other"
    venv.create(other, symlinks=os.name != "nt")
    program = other / pathlib.Path(environment.program).relative_to(environment.folder)
    (environment.folder / "program.py").write_text(
        f"import subprocess; subprocess.run([{str(program)!r}, '-c', {WHICH!r}], check=True)\n"
    )
    done = environment.command("run", "program.py")
    assert (done.stdout.strip(), done.stderr) == (f"{STOCK} [1]", "")


# --- the second distribution


def test_auto_has_a_copy_of_the_hook_and_its_own_pair() -> None:
    auto = ROOT / "auto"
    hook = PACKAGE / "_startup" / "_oxipickle_run.py"
    assert (auto / "_oxipickle_auto.py").read_bytes() == hook.read_bytes()
    pth = (auto / "oxipickle_auto.pth").read_text()
    assert pth == "import _oxipickle_auto; _oxipickle_auto.start()\n"
    assert (auto / "oxipickle_auto.start").read_text() == "_oxipickle_auto:start\n"
