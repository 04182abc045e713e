"""The project's tasks, run by nox: `nox -l` lists them, `scripts/dev.py` sets nox up.

    bench  measures against C's _pickle on the Python that runs nox
    lint   format, lints and types of the Rust and Python code, and of the workflows
    rust   the Rust tests: the byte format alone, then with Python
    miri   the byte format's tests under Miri, if this machine's nightly toolchain has it
    test   for every Python here: the package's tests, then CPython's own suites of what pickles
    long   CPython's suites of multiprocessing and concurrent.futures, on one Python
    auto   both wheels, oxipickle and oxipickle-auto: installed, tried, uninstalled; on one Python
    docs   the documentation site, warnings being errors
    fuzz   the fuzzers of tests/fuzz against C's _pickle, for a minute on one Python

And, not part of the usual run:

    engines    joblib, Dask and Celery, with, without and mixed, on one Python: some minutes
    clusters   likewise Ray and PySpark (needs Java): large downloads
    libraries  pickle tests of libraries with and without oxipickle, on one Python

    figures      the benchmark set beside other libraries, with tables and pictures, on one Python
    instructions  instructions a call takes against what is recorded, on one Python (valgrind)
    levers       the tests without what makes it fast, and with frozen windows closed at random
    sanitizer    the tests and fuzzers with AddressSanitizer (nightly Rust, gcc's libasan)
    valgrind     the core of the tests under valgrind's memcheck
    fuzz_format  the fuzz targets of the byte format (nightly Rust, cargo-fuzz)

Each session installs what it needs into environments below `.nox/` and writes its counts to
`reports/`, where `scripts/dev.py` adds them up. A session tests what a user installs, a built
wheel, never the source tree.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nox

REPO = Path(__file__).resolve().parent
sys.path.insert(0, str(REPO / "scripts"))

import pythons  # noqa: E402  (it is no package: it runs before anything is installed)

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "rust", "miri", "test", "long", "auto", "docs", "fuzz"]
nox.options.reuse_venv = "yes"

REPORTS = REPO / "reports"
PROJECT = nox.project.load_toml(REPO / "pyproject.toml")
#: Python code that is not a test; the tests have rules of their own in tests/ruff.toml.
TYPED = ["python/oxipickle", "scripts", "noxfile.py", "tests/stdlib/run.py"]


def _group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, name))


def _cargo(session: nox.Session, *args: str, env: dict[str, str] | None = None) -> None:
    session.run("cargo", *args, env=env, external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against C's _pickle on this Python; arguments go to `python -m oxipickle bench`."""
    session.install(".")
    session.run("python", "-m", "oxipickle", "bench", *session.posargs)


@nox.session
def figures(session: nox.Session) -> None:
    """All figures of the repository for one Python; arguments: which, then those of benches/run.py.

    A release build, beside the libraries of the group `bench`: time, then memory, then the README.
    What has no wheel for that Python is left out, and the results say so.
    """
    name, *arguments = session.posargs or [""]
    interpreter = pythons.choose(name) if name else _on_this_machine()
    python = _environment(session, interpreter, profile="release", group="bench")
    session.run(*python, "benches/run.py", *arguments, external=True)
    if not arguments:
        session.run(*python, "benches/memory.py", external=True)
    session.run(*python, "benches/report.py", "--readme", external=True)


@nox.session
def instructions(session: nox.Session) -> None:
    """Instructions of a release build under callgrind, against the record in benches/results.

    Arguments: which Python (else the first with a record), then those of benches/instructions.py.
    Fails where a call takes over 3 % more than is recorded.
    """
    name, *arguments = session.posargs or [""]
    if name:
        interpreter = pythons.choose(name)
    else:
        records = (REPO / "benches" / "results").glob("instructions-cpython-*.json")
        recorded = {path.stem.rpartition("-")[2] for path in records}
        here = [one for one in pythons.found() if one.full_version in recorded and not one.chroot]
        if not here:
            session.error(f"none of the Pythons with a record is here: {sorted(recorded)}")
        interpreter = here[0]
    python = _environment(session, interpreter, profile="release", group="build")
    session.run(*python, "benches/instructions.py", *arguments, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lints and types of the Rust and Python code, and of the workflows."""
    session.install(*_group("lint"))
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("mypy", "--strict", *TYPED)
    session.run("zizmor", "--offline", "--persona=regular", ".github")
    _cargo(session, "fmt", "--check")
    clippy = ("clippy", "--locked", "--all-targets", "--quiet")
    deny = ("--", "--deny", "warnings")
    alone = {"CARGO_TARGET_DIR": str(REPO / "target" / "check-format")}
    _cargo(session, *clippy, "--no-default-features", *deny, env=alone)
    # The code differs by version (`cfg`), so each is looked at.
    for version in pythons.VERSIONS:
        target = REPO / "target" / f"check-{version}"
        env = {
            "CARGO_TARGET_DIR": str(target),
            "PYO3_CONFIG_FILE": str(pythons.pyo3_config(target, version)),
        }
        _cargo(session, *clippy, *deny, env=env)


@nox.session
def rust(session: nox.Session) -> None:
    """The Rust tests: the byte format alone, then with Python."""
    REPORTS.mkdir(exist_ok=True)
    runs = {"format": ["--no-default-features"], "python": []}
    for name, features in runs.items():
        env = {"CARGO_TARGET_DIR": str(REPO / "target" / f"test-{name}")}
        # cargo's own closing lines are the counts that scripts/dev.py reads.
        output = session.run(
            *("cargo", "test", "--locked", *features), env=env, external=True, silent=True
        )
        session.log(output)
        (REPORTS / f"rust-{name}.txt").write_text(str(output))


@nox.session(venv_backend="none")
def miri(session: nox.Session) -> None:
    """The byte format's tests under Miri, if this machine's nightly toolchain has it."""
    cargo = ["cargo", "+nightly", "miri"]
    if subprocess.run([*cargo, "--version"], capture_output=True).returncode:
        session.skip("NOT RUN: this machine has no nightly toolchain with the component miri")
    target = str(REPO / "target" / "miri")
    session.run(*cargo, "test", "--no-default-features", "--target-dir", target, external=True)


def _wheel(
    session: nox.Session, interpreter: pythons.Interpreter, instrument: str, profile: str
) -> str:
    """The wheel to test: built here, or the one in OXIPICKLE_WHEELS that fits."""
    prebuilt = os.environ.get("OXIPICKLE_WHEELS")
    if prebuilt and not instrument:
        abi = "cp" + interpreter.abi.replace(".", "")
        found = sorted((REPO / prebuilt).glob(f"oxipickle-*-{abi}-*.whl"))
        if len(found) != 1:
            session.error(f"not one but {len(found)} wheels for {abi} in {prebuilt}")
        return str(found[0])
    session.install(*_group("build"))
    built = session.run(
        *("python", "scripts/pythons.py", "wheel", interpreter.name),
        *("--profile", os.environ.get("OXIPICKLE_PROFILE", profile), "--instrument", instrument),
        silent=True,
        stderr=None,
    )
    return str(built).strip().splitlines()[-1]


def _environment(
    session: nox.Session,
    interpreter: pythons.Interpreter,
    instrument: str = "",
    profile: str = "ci",
    group: str = "test",
) -> list[str]:
    """A virtual environment of `interpreter` with the wheel and a dependency group.

    `instrument` is one of `pythons.INSTRUMENTS`, `profile` a Cargo profile.

    Returns the command line that starts its Python.
    """
    kind = instrument or ("" if profile == "ci" else profile)
    purpose = "python" if group == "test" else group
    folder = REPO / ".nox" / f"{purpose}-{interpreter.name}{kind}"
    program = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    wheel = _wheel(session, interpreter, instrument, profile)
    if not folder.exists():
        session.run(*interpreter.command("-m", "venv", str(folder)), external=True)
    python = interpreter.command(program=str(program))
    pip = [*python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    session.run(*pip, *PROJECT["project"]["dependencies"], external=True)
    if group != "bench":
        session.run(*pip, *_group(group), external=True)
    # Not all have wheels for each Python, and building them takes hours where it works at all.
    for library in {"bench": _group("bench"), "test": _group("data")}.get(group, []):
        line = [*pip, "--only-binary=:all:", library]
        session.run(*line, external=True, success_codes=[0, 1])
    session.run(*pip, "--no-deps", "--force-reinstall", wheel, external=True)
    return python


def _run_all(session: nox.Session, *commands: list[str]) -> None:
    """Run each command, also after one has failed; fail in the end."""
    failed = 0
    for command in commands:
        try:
            session.run(*command, external=True)
        except nox.command.CommandFailed:
            failed += 1
    if failed:
        session.error(f"{failed} of {len(commands)} commands failed")


@nox.session
@nox.parametrize("interpreter", [one.name for one in pythons.selected()])
def test(session: nox.Session, interpreter: str) -> None:
    """The package's tests and CPython's own suites; with arguments: pytest alone, with those."""
    python = _environment(session, pythons.choose(interpreter))
    pytest = [*python, "-m", "pytest"]
    if session.posargs:
        session.run(*pytest, *session.posargs, external=True)
        return
    xml = f"--junitxml=reports/pytest-{interpreter}.xml"
    stdlib = f"--json=reports/stdlib-{interpreter}.json"
    names = [one.name for one in pythons.selected()]
    middle = interpreter in names[1:-1]
    # What only the ends, or the newest, of several Pythons run: see CONTRIBUTING.md.
    left = " or ".join(["once"] * (interpreter != names[-1]) + ["ends"] * middle)
    groups = ["--group=core", *(() if middle else ("--group=rest",)), "--jobs=2"]
    _run_all(
        session,
        [*pytest, "--numprocesses=auto", xml, *(("-m", f"not ({left})") if left else ())],
        [*python, "tests/stdlib/run.py", *groups, stdlib],
    )


@nox.session
def long(session: nox.Session) -> None:
    """CPython's suites of multiprocessing and concurrent.futures; argument: which Python."""
    name = session.posargs[0] if session.posargs else pythons.selected()[-1].name
    python = _environment(session, pythons.choose(name))
    report = f"--json=reports/long-{name}.json"
    session.run(*python, "tests/stdlib/run.py", "--group=long", "--jobs=3", report, external=True)


def _on_this_machine(name: str = "") -> pythons.Interpreter:
    """The named Python, or the last selected one that is no program of the Debian tree."""
    if name:
        return pythons.choose(name)
    return [one for one in pythons.selected() if not one.chroot][-1]


def _auto_wheel(session: nox.Session) -> str:
    """The wheel of oxipickle-auto, built here."""
    # session.create_tmp() would move the temporary folder of all that follows into the session's
    # environment, and Ray's workers refuse to start with theirs in there.
    folder = REPO / "target" / "wheels-auto"
    shutil.rmtree(folder, ignore_errors=True)
    session.install("pip")
    session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "./auto")
    [wheel] = folder.glob("oxipickle_auto-*.whl")
    return str(wheel)


def _switched_on(session: nox.Session, python: list[str]) -> None:
    """Installs oxipickle-auto into the environment of `python`."""
    pip = [*python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    wheel = _auto_wheel(session)
    session.run(*pip, "--no-deps", "--force-reinstall", wheel, external=True)


@nox.session
def auto(session: nox.Session) -> None:
    """Both wheels, installed, tried and uninstalled; argument: which Python."""
    interpreter = _on_this_machine(*session.posargs)
    shutil.rmtree(REPO / ".nox" / f"build-{interpreter.name}", ignore_errors=True)
    python = _environment(session, interpreter, group="build")
    which = "import pickle, sys; print(pickle.dumps.__self__.__name__)"

    def says(environ: dict[str, str] | None = None) -> str:
        output = session.run(*python, "-c", which, external=True, silent=True, env=environ)
        return str(output).strip()

    assert says() == "_pickle", "oxipickle alone must change nothing"
    _switched_on(session, python)
    assert says() == "oxipickle._pickle", "installing oxipickle-auto is the switch"
    assert says({"OXIPICKLE_DISABLE": "1"}) == "_pickle", "the variable wins"
    session.run(*python, "-m", "oxipickle", "status", external=True)
    uninstall = [*python, "-m", "pip", "uninstall", "--yes", "--quiet"]
    session.run(*uninstall, "oxipickle", external=True)
    said = str(session.run(*python, "-c", which, external=True, silent=True))
    assert "RuntimeWarning: oxipickle was switched on" in said, said
    assert said.strip().splitlines()[-1] == "_pickle" or said.startswith("_pickle"), said
    session.run(*uninstall, "oxipickle-auto", external=True)
    folder = REPO / ".nox" / f"build-{interpreter.name}"
    left = [str(path) for path in folder.rglob("*oxipickle*")]
    assert not left, left
    assert says() == "_pickle"


def _engines(session: nox.Session, group: str) -> None:
    python = _environment(session, _on_this_machine(*session.posargs[:1]), group=group)
    _switched_on(session, python)
    xml = f"--junitxml=reports/pytest-{group}.xml"
    session.run(*python, "-m", "pytest", "integration/test_engines.py", xml, external=True)


@nox.session
def engines(session: nox.Session) -> None:
    """joblib, Dask and Celery, with, without and mixed; argument: which Python."""
    _engines(session, "engines")


@nox.session
def clusters(session: nox.Session) -> None:
    """Ray and PySpark, with, without and mixed; argument: which Python."""
    _engines(session, "clusters")


@nox.session
def libraries(session: nox.Session) -> None:
    """Pickle tests of libraries with and without oxipickle, on one Python.

    Arguments: which Python, then those of integration/libraries.py; `--torch` installs torch as
    well (several GB on Linux, unless PIP_EXTRA_INDEX_URL names an index of its CPU wheels).
    """
    names = [one for one in session.posargs if one != "--torch"]
    python = _environment(session, _on_this_machine(*names[:1]), group="suites")
    _switched_on(session, python)
    pip = [*python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    tested = [*_group("libraries"), *(["torch"] if "--torch" in session.posargs else [])]
    for one in tested:
        # A new Python has wheels of some only; building the rest would take an hour.
        got = session.run(
            *(*pip, "--only-binary=:all:", one),
            external=True,
            success_codes=range(256),
            silent=True,
        )
        if got:
            session.warn(f"{one}: {got}")
    session.run(*python, "integration/libraries.py", *names[1:], external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site in build/docs, warnings being errors."""
    session.install(*_group("docs"))
    python = pythons.choose(f"{sys.version_info[0]}.{sys.version_info[1]}")
    session.install(_wheel(session, python, "", "ci"), "--no-deps", "--force-reinstall")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-q", "docs", "build/docs")


#: The tests that run in a reasonable time where everything is twenty to fifty times slower.
CORE = "arguments attributes errors gc load memory oob opcodes own_dict parity_bytes"
CORE += " picklebuffer_parity recipes reentry repeated_keys subclass text"


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz loading and dumping against C, guided by coverage; arguments go to tests/fuzz/drive.py.

    On the newest Python selected. Without arguments for a minute, from the same seed each time:
    a change is not to fail by what another seed would have found before it. Only on Linux:
    elsewhere the compiler's counters have other names.
    """
    if sys.platform != "linux":
        session.skip("NOT RUN: the counters are those of Linux")
    interpreter = pythons.selected()[-1]
    python = _environment(session, interpreter, "coverage")
    counters = REPO / "target" / "libcounters.so"
    rustc = ("rustc", "--edition", "2024", "-O", "--crate-type", "cdylib", "-o", str(counters))
    session.run(*rustc, "fuzz/counters.rs", external=True)
    line = [*python, "tests/fuzz/drive.py", *(session.posargs or ("--minutes", "1", "--seed", "1"))]
    if not {"loading", "dumping"} & set(session.posargs):
        line += ["loading", "dumping"]
    if "--corpus" not in session.posargs:
        line += ["--corpus", str(REPO / ".nox" / f"corpus-{interpreter.name}")]
    session.run(*line, external=True, env={"OXIPICKLE_COUNTERS": str(counters)})


@nox.session(venv_backend="none")
def fuzz_format(session: nox.Session) -> None:
    """Fuzz the byte format alone, each target for a minute or the seconds given as argument."""
    cargo = ["cargo", "+nightly", "fuzz"]
    if subprocess.run([*cargo, "--version"], capture_output=True).returncode:
        session.skip("NOT RUN: this machine has no nightly toolchain or no cargo-fuzz")
    seconds = session.posargs[0] if session.posargs else "60"
    seeds = REPO / ".nox" / "format-seeds"
    session.run(sys.executable, "fuzz/seeds.py", str(seeds))
    listed = subprocess.run([*cargo, "list"], check=True, capture_output=True, text=True, cwd=REPO)
    for target in listed.stdout.split():
        corpus = REPO / "fuzz" / "corpus" / target
        corpus.mkdir(parents=True, exist_ok=True)
        session.run(
            *(*cargo, "run", target, str(corpus), str(seeds / "streams"), "--"),
            *(f"-max_total_time={seconds}", "-max_len=65536", f"-dict={seeds / 'opcodes.dict'}"),
            # What the format reserves is bounded by what it is given: see the targets.
            *("-malloc_limit_mb=64", "-rss_limit_mb=1024", "-print_final_stats=1"),
            external=True,
        )


@nox.session
def levers(session: nox.Session) -> None:
    """The tests without what makes it fast; arguments: which Python, then those of pytest.

    Once with every lever of src/levers.rs off, once with frozen windows closed at random, once
    with both.
    """
    name, *arguments = session.posargs or [""]
    interpreter = pythons.choose(name) if name else pythons.selected()[-1]
    python = _environment(session, interpreter, "levers")
    failed = []
    for without in ("all", "window", "all,window"):
        xml = f"--junitxml=reports/pytest-without-{without}.xml"
        line = [*python, "-m", "pytest", *(arguments or ["--numprocesses=auto"]), xml]
        try:
            session.run(*line, external=True, env={"OXIPICKLE_WITHOUT": without})
        except nox.command.CommandFailed:
            failed.append(without)
    if failed:
        session.error(f"failed without {' and without '.join(failed)}")


@nox.session
def sanitizer(session: nox.Session) -> None:
    """The package's tests with AddressSanitizer; arguments go to pytest."""
    find = ["gcc", "-print-file-name=libasan.so"]
    runtime = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
    python = _environment(session, _on_this_machine(), "address")
    env = {
        "LD_PRELOAD": runtime,
        # An interpreter frees little at its end; what we leak, the tests of memory count.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        # Python's own allocator would hide from the checker what is freed.
        "PYTHONMALLOC": "malloc",
    }
    session.run(*python, "-m", "pytest", *session.posargs, external=True, env=env)
    if not session.posargs:
        # Older C asks for what a length says, and there is no limit of memory under the checker.
        env["ASAN_OPTIONS"] += ":max_allocation_size_mb=400"
        fuzzers = [*python, "tests/fuzz/drive.py", "loading", "dumping", "--minutes", "5"]
        session.run(*fuzzers, external=True, env=env)


#: What is on the stack of a leak that is none: made once when the module is loaded, or kept by an
#: import, whose strings no interpreter frees.
ONCE = ("create_type_object", "functions::register", "PyImport_ImportModuleLevelObject")


#: Cases of a test function that memcheck takes: a matrix of protocols, ways and objects repeats
#: the same paths, at fifty times the cost. Functions marked `large` give one.
CASES = 24


@nox.session
def valgrind(session: nox.Session) -> None:
    """The core of the tests under memcheck; arguments: test files instead of those, with all cases.

    Takes every test function of those files: all its cases up to 24, of more 24 that a checksum
    of their names chooses, and one of what is marked `large` (`--cases` in tests/conftest.py).
    Child processes are not looked into. About 40 minutes on one core.

    Fails for an invalid access and a branch on what was never written, but for what
    tests/valgrind.supp says of glibc, and for a block that is lost for good with a function of the
    extension on the stack; the interpreter loses thousands of its own.
    """
    python = _environment(session, _on_this_machine(), profile="profiling")
    tests = [f"tests/test_{name}.py" for name in CORE.split()]
    tests = session.posargs or [*tests, f"--cases={CASES}"]
    REPORTS.mkdir(exist_ok=True)
    log = REPORTS / "valgrind.txt"
    session.run(
        *("valgrind", "--error-exitcode=99", "--leak-check=full", "--num-callers=40"),
        *("--show-leak-kinds=definite", "--errors-for-leak-kinds=none", f"--log-file={log}"),
        *("--suppressions=tests/valgrind.supp", *python, "-m", "pytest", "-p", "no:cacheprovider"),
        *("--quiet", "--timeout=0", *tests),
        external=True,
        env={"PYTHONMALLOC": "malloc"},
    )
    found = log.read_text()
    records = re.split(r"\n==\d+== \n", found)
    # A frame with a line number shows the function and no path.
    lost = [one for one in records if "definitely lost in" in one]
    ours = [one for one in lost if "oxipickle::" in one]
    ours = [one for one in ours if not any(name in one for name in ONCE)]
    if ours:
        session.error("\n\n".join(ours[:10]))
    [summary] = re.findall(r"ERROR SUMMARY: .*", found)
    session.log(f"{summary}; of {len(lost)} records of lost blocks none is the extension's")
