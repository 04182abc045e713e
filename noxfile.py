"""The project's tasks, run by nox: `nox -l` lists them, `scripts/dev.py` sets nox up.

    bench  measures against C's _pickle on the Python that runs nox
    lint   format, lints and types of the Rust and Python code, and of the workflows
    rust   the Rust tests: the byte format alone, then with Python
    miri   the byte format's tests under Miri, if this machine's nightly toolchain has it
    test   for every Python here: the package's tests, then CPython's own suites of what pickles
    long   CPython's suites of multiprocessing and concurrent.futures, on one Python

And, not part of the usual run:

    sanitizer  the tests with the extension built for AddressSanitizer (nightly Rust, gcc's libasan)

Each session installs what it needs into environments below `.nox/` and writes its counts to
`reports/`, where `scripts/dev.py` adds them up. A session tests what a user installs, a built
wheel, never the source tree.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nox

REPO = Path(__file__).resolve().parent
sys.path.insert(0, str(REPO / "scripts"))

import pythons  # noqa: E402  (it is no package: it runs before anything is installed)

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "rust", "miri", "test", "long"]
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


def _wheel(session: nox.Session, interpreter: pythons.Interpreter, sanitize: str) -> str:
    """The wheel to test: built here, or the one in OXIPICKLE_WHEELS that fits."""
    prebuilt = os.environ.get("OXIPICKLE_WHEELS")
    if prebuilt:
        abi = "cp" + interpreter.abi.replace(".", "")
        found = sorted((REPO / prebuilt).glob(f"oxipickle-*-{abi}-*.whl"))
        if len(found) != 1:
            session.error(f"not one but {len(found)} wheels for {abi} in {prebuilt}")
        return str(found[0])
    session.install(*_group("build"))
    built = session.run(
        *("python", "scripts/pythons.py", "wheel", interpreter.name),
        *("--profile", os.environ.get("OXIPICKLE_PROFILE", "ci"), "--sanitize", sanitize),
        silent=True,
        stderr=None,
    )
    return str(built).strip().splitlines()[-1]


def _environment(
    session: nox.Session, interpreter: pythons.Interpreter, sanitize: str = ""
) -> list[str]:
    """A virtual environment of `interpreter` with the wheel and what the tests need.

    Returns the command line that starts its Python.
    """
    folder = REPO / ".nox" / f"python-{interpreter.name}{sanitize}"
    program = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    wheel = _wheel(session, interpreter, sanitize)
    if not folder.exists():
        session.run(*interpreter.command("-m", "venv", str(folder)), external=True)
    python = interpreter.command(program=str(program))
    pip = [*python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    session.run(*pip, *PROJECT["project"]["dependencies"], *_group("test"), external=True)
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
    groups = ("--group=core", "--group=rest", "--jobs=2")
    _run_all(
        session,
        [*pytest, "--numprocesses=auto", xml],
        [*python, "tests/stdlib/run.py", *groups, stdlib],
    )


@nox.session
def long(session: nox.Session) -> None:
    """CPython's suites of multiprocessing and concurrent.futures; argument: which Python."""
    name = session.posargs[0] if session.posargs else pythons.selected()[-1].name
    python = _environment(session, pythons.choose(name))
    report = f"--json=reports/long-{name}.json"
    session.run(*python, "tests/stdlib/run.py", "--group=long", "--jobs=2", report, external=True)


def _on_this_machine() -> pythons.Interpreter:
    """The first selected Python that is no program of the Debian tree."""
    return next(one for one in pythons.selected() if not one.chroot)


@nox.session
def sanitizer(session: nox.Session) -> None:
    """The package's tests with AddressSanitizer; arguments go to pytest."""
    find = ["gcc", "-print-file-name=libasan.so"]
    runtime = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
    python = _environment(session, _on_this_machine(), sanitize="address")
    env = {
        "LD_PRELOAD": runtime,
        # An interpreter frees little at its end; what we leak, the tests of memory count.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        # Python's own allocator would hide from the checker what is freed.
        "PYTHONMALLOC": "malloc",
    }
    session.run(*python, "-m", "pytest", *session.posargs, external=True, env=env)
