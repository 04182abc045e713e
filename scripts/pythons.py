#!/usr/bin/env python3
"""The Pythons that a machine has, and those it lacks.

    python3 scripts/pythons.py list            every CPython 3.11-3.15 found here
    python3 scripts/pythons.py fetch           bring the versions that this machine lacks
    python3 scripts/pythons.py run NAME ARG... run one of them (`run 3.15 -VV`)
    python3 scripts/pythons.py wheel NAME...   build the wheel for each; prints its path

An interpreter is either a program on this machine or one in a Debian sid tree that `fetch`
makes with debootstrap and `run` enters with chroot. The tree is kept outside the repository
(`$OXIPICKLE_PYTHONS`, by default `~/.cache/oxipickle/pythons`), so that every clone shares it. A
program in the tree sees the repository under its own path; its mounts live in a mount namespace of
the process and vanish with it, however it ends.

Uses the standard library only, since it runs before anything is installed. It runs no tests.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
#: Versions that `fetch` installs into the Debian sid tree.
SID_VERSIONS = ("3.13", "3.14", "3.15")

# A mirror that lags is past its "valid until" date; its signatures are checked all the same.
APT = ("apt-get", "-q", "-o", "Acquire::Check-Valid-Until=false", "-o", "Acquire::Retries=3")

PROBE = """
import importlib.util, json, platform, sys, sysconfig
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": platform.python_version(),
    "executable": sys.executable,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
    "suites": importlib.util.find_spec("test.test_pickle") is not None,
    "venv": importlib.util.find_spec("ensurepip") is not None,
}))
"""


class Unavailable(Exception):
    """Something that the tests need cannot be had on this machine."""


def home() -> Path:
    """The folder of the Debian tree."""
    chosen = os.environ.get("OXIPICKLE_PYTHONS")
    if chosen:
        return Path(chosen).resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "oxipickle" / "pythons"


def sid() -> Path:
    """The root of the Debian tree (whether or not it is there)."""
    return home() / "sid"


# Shell scripts, to be run in a mount namespace of their own.
ENTER = REPO / "scripts" / "sid-enter.sh"
INSTALL = REPO / "scripts" / "sid-install.sh"


def enter(command: Sequence[str], *, cwd: Path | None = None) -> list[str]:
    """The command line that runs `command` inside the Debian tree.

    `cwd` must be the repository or a folder below it; it has the same path inside.
    """
    elevate = [] if os.geteuid() == 0 else ["sudo", "-E"]
    places = [str(sid()), str(REPO), str(cwd or REPO)]
    return [*elevate, "unshare", "--mount", str(ENTER), *places, *command]


@dataclass(frozen=True)
class Interpreter:
    """A CPython that the tests can run on."""

    #: Unique here, stable on one machine: "3.11.7", "debian-3.15.2", "3.14.1t".
    name: str
    #: "3.15"
    version: str
    #: "3.15.2"
    full_version: str
    #: Path of the program (inside the tree if `chroot`).
    executable: str
    chroot: bool
    free_threaded: bool
    debug: bool
    #: Has CPython's own test package.
    suites: bool
    #: Has ensurepip, so that `-m venv` works.
    venv: bool

    @property
    def abi(self) -> str:
        """What a wheel must match: "3.15", "3.15t", "3.15d"."""
        return self.version + "t" * self.free_threaded + "d" * self.debug

    def command(self, *args: str, program: str | None = None) -> list[str]:
        """The command line that runs this interpreter (or a `program` of a venv made by it)."""
        line = [program or self.executable, *args]
        return enter(line) if self.chroot else line


def probe(executable: str, *, chroot: bool) -> Interpreter | None:
    """Ask a program what it is; None if it is not a CPython that runs."""
    line = [executable, "-I", "-c", PROBE]
    try:
        done = subprocess.run(
            enter(line) if chroot else line,
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            return None
        facts = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    version = ".".join(facts["version"].split(".")[:2])
    if facts["implementation"] != "cpython" or version not in VERSIONS:
        return None
    debian = chroot or facts["executable"].startswith("/usr/bin/")
    suffix = "t" * facts["free_threaded"] + "d" * facts["debug"]
    return Interpreter(
        name=("system-" if debian and not chroot else "debian-" if chroot else "")
        + facts["version"]
        + suffix,
        version=version,
        full_version=facts["version"],
        executable=facts["executable"],
        chroot=chroot,
        free_threaded=facts["free_threaded"],
        debug=facts["debug"],
        suites=facts["suites"],
        venv=facts["venv"],
    )


def _candidates() -> Iterator[Path]:
    names = [f"python{version}{t}" for version in VERSIONS for t in ("", "t")]
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [Path("/usr/bin"), Path("/usr/local/bin")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders += sorted(pyenv.glob("versions/*/bin"))
    for folder in folders:
        # pyenv's shims are scripts that run whichever version is selected; its versions are real.
        if folder.name != "shims":
            yield from (folder / name for name in names)
    # Of a virtual environment, the Python that made it.
    yield Path(getattr(sys, "_base_executable", sys.executable))


@functools.cache
def found() -> tuple[Interpreter, ...]:
    """Every CPython 3.11-3.15 of this machine: its own first, then those of the Debian tree.

    A virtual environment counts as the interpreter that made it; each build counts once.
    """
    seen: dict[str, Interpreter] = {}
    programs: set[Path] = set()
    for path in _candidates():
        if not path.is_file():
            continue
        program = path.resolve()
        if program not in programs:
            programs.add(program)
            interpreter = probe(str(program), chroot=False)
            if interpreter:
                seen.setdefault(interpreter.name, interpreter)
    if sid().is_dir():
        for version in SID_VERSIONS:
            if (sid() / f"usr/bin/python{version}").exists():
                interpreter = probe(f"/usr/bin/python{version}", chroot=True)
                if interpreter is None:
                    raise Unavailable(f"{sid()} is there, but its python{version} does not run")
                seen.setdefault(interpreter.name, interpreter)
    return tuple(sorted(seen.values(), key=lambda one: (_numbers(one.full_version), one.name)))


def _numbers(version: str) -> tuple[int, ...]:
    """Sort key of a version; a pre-release counts as its release."""
    digits = "".join(c if c.isdigit() else " " for c in version.split("a")[0].split("b")[0])
    return tuple(int(part) for part in digits.split())


def choose(name: str) -> Interpreter:
    """The interpreter of that name, or the newest of that version ("3.15", "3.15t")."""
    for interpreter in found():
        if interpreter.name == name:
            return interpreter
    matches = [one for one in found() if name in (one.abi, one.full_version)]
    if not matches:
        known = ", ".join(one.name for one in found())
        raise Unavailable(f"no Python {name} here (there are: {known or 'none'})")
    return matches[-1]


def selected() -> tuple[Interpreter, ...]:
    """The interpreters that the tests run on: all, or those that OXIPICKLE_TEST_ON names.

    The variable holds names as `choose` takes them, with commas; "current" is the Python that runs
    this.
    """
    names = [name for name in os.environ.get("OXIPICKLE_TEST_ON", "").split(",") if name]
    if not names:
        return found()
    chosen = [choose(_current() if name == "current" else name) for name in names]
    return tuple(interpreter for interpreter in found() if interpreter in chosen)


def _current() -> str:
    own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    for interpreter in found():
        if not interpreter.chroot and Path(interpreter.executable).resolve() == own:
            return interpreter.name
    raise Unavailable(f"{own} is not one of Python {', '.join(VERSIONS)}")


# Bringing what is missing


def _say(text: str) -> None:
    print(f"pythons: {text}", file=sys.stderr, flush=True)


def _run(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
    _say(shlex.join(command))
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", **(env or {})}
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise Unavailable(f"{command[0]} failed with exit code {done.returncode}:\n{tail}")


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    import fcntl  # not on Windows, where there is nothing to lock

    home().mkdir(parents=True, exist_ok=True)
    with (home() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _root_only(what: str) -> None:
    if os.geteuid():
        raise Unavailable(f"{what} needs root: run `sudo -E {sys.executable} {__file__} fetch`")


def _fetch_system() -> None:
    """CPython's test package and ensurepip for this machine's own Debian Python."""
    if not shutil.which("apt-get"):
        return
    packages = []
    for version in VERSIONS:
        interpreter = probe(f"/usr/bin/python{version}", chroot=False)
        if interpreter and not interpreter.suites:
            packages.append(f"libpython{version}-testsuite")
        if interpreter and not interpreter.venv:
            packages.append(f"python{version}-venv")
    if packages:
        _root_only("installing " + " ".join(packages))
        _run([*APT, "update"])
        _run([*APT, "install", "-y", "--no-install-recommends", *packages])


def _fetch_sid() -> None:
    """The Debian sid tree. Made under another name and renamed when whole."""
    packages = []
    for version in SID_VERSIONS:
        packages += [f"python{version}", f"python{version}-venv", f"libpython{version}-testsuite"]
    stamp = sid() / ".oxipickle-packages"
    if stamp.exists() and stamp.read_text() == " ".join(packages):
        return
    if platform.system() != "Linux":
        raise Unavailable(
            f"this machine lacks Python {', '.join(_missing())}; only on Linux can they be fetched"
        )
    _root_only("debootstrap")
    if not shutil.which("debootstrap"):
        if not shutil.which("apt-get"):
            raise Unavailable("debootstrap is not installed and there is no apt-get")
        _run([*APT, "update"])
        _run([*APT, "install", "-y", "--no-install-recommends", "debootstrap"])
    partial = home() / "sid.partial"
    if partial.exists():
        shutil.rmtree(partial)
    if not sid().exists():
        _run(["debootstrap", "--variant=minbase", "sid", str(partial)])
    root = sid() if sid().exists() else partial
    inside = ["unshare", "--mount", str(INSTALL), str(root), *APT]
    _run([*inside, "update"])
    _run([*inside, "install", "-y", "--no-install-recommends", *packages])
    _run([*inside, "clean"])
    (root / stamp.name).write_text(" ".join(packages))
    if root == partial:
        partial.rename(sid())


def fetch(*, sid_too: bool) -> None:
    """Bring what is missing.

    `sid_too` makes the Debian tree even where the machine has all five versions itself (its
    patch releases are the current ones).
    Raises `Unavailable` if a version is still missing at the end.
    """
    with _locked():
        _fetch_system()
        found.cache_clear()
        if sid_too or _missing():
            _fetch_sid()
        found.cache_clear()
    if _missing():
        raise Unavailable(f"still missing: Python {', '.join(_missing())}")


def _missing() -> list[str]:
    have = {one.abi for one in found()}
    return [version for version in VERSIONS if version not in have]


# Building


def pyo3_config(folder: Path, version: str) -> Path:
    """A file for PYO3_CONFIG_FILE: the facts of a Python that PyO3 cannot run, or need not."""
    text = (
        f"implementation=CPython\nversion={version}\nshared=true\nabi3=false\n"
        "pointer_width=64\nbuild_flags=\nsuppress_build_script_link_lines=false\n"
    )
    path = folder / "pyo3-config.txt"
    # Not touched if right: cargo rebuilds what depends on a newer file.
    if not path.exists() or path.read_text() != text:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path


#: What an extension can be built with, and the flags of the compiler; those with -Z need nightly.
INSTRUMENTS = {
    # The Cargo feature of that name: what makes it fast can be switched off (src/levers.rs).
    "levers": "",
    "address": "-Zsanitizer=address",
    # One counter for each edge; the extension then needs the library of fuzz/counters.rs.
    "coverage": "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3"
    " -Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
}


def wheel(interpreter: Interpreter, *, profile: str = "ci", instrument: str = "") -> Path:
    """Build the wheel that fits `interpreter`, with this machine's Rust; return its path.

    `profile` is a Cargo profile, `instrument` one of `INSTRUMENTS`.
    Each version and profile has a target folder of its own: the version's `cfg` flags change every
    crate that depends on PyO3, so a shared one would be rebuilt at each turn.
    """
    kind = "-".join(part for part in (interpreter.abi, profile, instrument) if part)
    target = REPO / "target" / "wheels-build" / kind
    out = target / "dist"
    if out.exists():
        shutil.rmtree(out)
    env = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    # Patch releases of a version share a wheel, so the first that runs here may build it.
    alike = [one for one in found() if one.abi == interpreter.abi and not one.chroot]
    if alike:
        python = alike[0].executable
    else:
        # Built on the host all the same, whose glibc is the older one. An extension module links
        # no libpython and PyO3 reads no header, so nothing of the tree is needed.
        python = f"python{interpreter.version}"
        env["PYO3_CONFIG_FILE"] = str(pyo3_config(target, interpreter.version))
    command = [sys.executable, "-m", "maturin", "build", "--locked", "--profile", profile]
    command += ["--out", str(out), "--interpreter", python]
    if instrument == "levers":
        command += ["--features", instrument]
    elif instrument:
        # With a target named, the flags are for the extension, not for build scripts and macros.
        command += ["--target", "x86_64-unknown-linux-gnu"]
        env["RUSTFLAGS"] = INSTRUMENTS[instrument]
        if "-Z" in env["RUSTFLAGS"]:
            env["RUSTUP_TOOLCHAIN"] = "nightly"
    subprocess.run(command, cwd=REPO, env=env, check=True, stdin=subprocess.DEVNULL, stdout=2)
    (built,) = out.glob("*.whl")
    return built


def main() -> int:
    """Entry point; exit code 1 with one line on standard error if something is not to be had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    lister = commands.add_parser("list", help="every CPython 3.11-3.15 found here")
    lister.add_argument("--json", action="store_true")
    fetcher = commands.add_parser("fetch", help="bring the versions that this machine lacks")
    fetcher.add_argument("--sid", action="store_true", help="the Debian sid tree in any case")
    runner = commands.add_parser("run", help="run one of them")
    runner.add_argument("name")
    runner.add_argument("args", nargs=argparse.REMAINDER)
    builder = commands.add_parser("wheel", help="build the wheel for each (needs maturin)")
    builder.add_argument("names", nargs="+")
    builder.add_argument("--profile", default="ci")
    builder.add_argument("--instrument", default="", choices=["", *INSTRUMENTS])
    options = parser.parse_args()
    try:
        if options.command == "fetch":
            fetch(sid_too=options.sid)
        elif options.command == "run":
            return subprocess.call(choose(options.name).command(*options.args))
        elif options.command == "wheel":
            for name in options.names:
                print(wheel(choose(name), profile=options.profile, instrument=options.instrument))
        elif options.json:
            print(json.dumps([vars(one) | {"abi": one.abi} for one in found()], indent=1))
        if options.command in ("fetch", "list") and not getattr(options, "json", False):
            for one in found():
                place = "in the Debian tree" if one.chroot else one.executable
                lacks = "" if one.suites else "  (no test package)"
                print(f"{one.name:16} {one.abi:6} {place}{lacks}")
    except (Unavailable, subprocess.CalledProcessError) as error:
        print(f"\n*** PYTHONS MISSING OR NOT BUILT ***\n{error}\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
