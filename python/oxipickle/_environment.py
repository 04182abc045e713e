"""`enable` and `disable`: the start-up files of a virtual environment.

Writes into the environment's site-packages exactly the files that it lists in a manifest there, and
in RECORD of the installed distribution, so that pip takes them away with it. Must not touch
anything else, and never leave some of the files.
"""

import base64
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import sysconfig
from importlib.util import cache_from_source
from pathlib import Path
from typing import NamedTuple

__all__ = ["EnvironmentFault", "Pair", "disable", "enable", "find_pair"]

MODULE = "_oxipickle_enabled"
MANIFEST = "oxipickle_enabled.json"
AUTO = "oxipickle_auto.pth"


class EnvironmentFault(Exception):
    """Why the environment was not changed; the text is for the user."""


class Pair(NamedTuple):
    """Start-up files that are in an environment."""

    by: str
    """`enable` or `oxipickle-auto`."""
    files: tuple[str, ...]
    only_if_asked: bool
    """Whether processes need `OXIPICKLE_ENABLE=1`."""


def site_packages() -> Path:
    """Where this environment keeps pure-Python distributions."""
    return Path(sysconfig.get_path("purelib"))


def find_pair(folder: Path | None = None) -> list[Pair]:
    """The start-up files in `folder`, by default this environment's site-packages."""
    folder = folder or site_packages()
    found = []
    enabled = [name for name in sorted(_contents(False)) if (folder / name).exists()]
    if any(name.endswith((".pth", ".start")) for name in enabled):
        text = "".join((folder / name).read_text() for name in enabled if name.endswith(".pth"))
        found.append(Pair("enable", tuple(enabled), "start_if_asked" in text))
    if (folder / AUTO).exists():
        auto = (AUTO, "oxipickle_auto.start", "_oxipickle_auto.py")
        found.append(Pair("oxipickle-auto", auto, False))
    return found


def _contents(only_if_asked: bool) -> dict[str, bytes]:
    """The files but for the manifest: both halves of the pair, for the versions that read each.

    Python 3.15 and later read `.start` files (PEP 829) and then skip the `.pth` of that name; older
    ones read only the `.pth`.
    """
    hook = Path(__file__).parent / "_startup" / "_oxipickle_run.py"
    entry = "start_if_asked" if only_if_asked else "start"
    return {
        f"{MODULE}.py": hook.read_bytes(),
        "oxipickle_enabled.pth": f"import {MODULE}; {MODULE}.{entry}()\n".encode(),
        "oxipickle_enabled.start": f"{MODULE}:{entry}\n".encode(),
    }


def enable(force: bool = False, only_if_asked: bool = False) -> str:
    """Switches oxipickle on for all Python processes of this environment; returns what to print.

    `force` also does so for a Python that is no virtual environment; with `only_if_asked`, only
    processes with `OXIPICKLE_ENABLE=1` are switched on. What an earlier version enabled is
    replaced.

    Raises EnvironmentFault, with no file written, if this Python is no virtual environment, does
    not find this oxipickle by itself, or cannot be written to, or if a fresh process of it does not
    come up with oxipickle in place.
    """
    folder = site_packages()
    if not _is_own_environment() and not force:
        raise EnvironmentFault(
            f"{sys.prefix} is not a virtual environment, and every program that uses this Python "
            "would be affected. Make one with python -m venv, or insist with --force."
        )
    if any(pair.by == "oxipickle-auto" for pair in find_pair(folder)):
        raise EnvironmentFault("oxipickle-auto is installed here and has switched it on already.")
    _expect_this_copy()
    before = _present(folder)
    _write_all(folder, _contents(only_if_asked))
    problem = _try_out(only_if_asked)
    if problem is not None:
        _remove(folder)
        raise EnvironmentFault(f"taken back, as a fresh Python process said: {problem}")
    verb = "switched on again" if before else "switched on"
    when = " where OXIPICKLE_ENABLE=1 is set" if only_if_asked else ""
    return f"oxipickle is {verb} for {sys.prefix}{when}"


def disable() -> str:
    """Takes away what `enable` wrote, and returns what to print. Nothing to take away is no fault.

    Raises EnvironmentFault if a file cannot be removed, or if oxipickle-auto switches it on, which
    is a distribution and pip's to uninstall.
    """
    folder = site_packages()
    found = _present(folder)
    _remove(folder)
    if any(pair.by == "oxipickle-auto" for pair in find_pair(folder)):
        raise EnvironmentFault(
            "oxipickle-auto switches it on here: python -m pip uninstall oxipickle-auto"
        )
    if not found:
        return f"oxipickle was not enabled for {sys.prefix}"
    return f"oxipickle is switched off for {sys.prefix}"


def _is_own_environment() -> bool:
    return sys.prefix != sys.base_prefix or Path(sys.prefix, "conda-meta").is_dir()


def _python(code: str, **variables: str) -> str:
    """What a fresh isolated process of this Python prints, or the last line of its complaint."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OXIPICKLE_")}
    command = [sys.executable, "-I", "-W", "always", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**environ, **variables}
    )
    return (done.stdout.strip() or done.stderr.strip() or f"exit code {done.returncode}").strip()


def _expect_this_copy() -> None:
    """A copy found only by PYTHONPATH or the current folder would be missing at the next start."""
    mine = str(Path(__file__).parent)
    other = _python("import oxipickle, os; print(os.path.dirname(oxipickle.__file__))")
    if not (Path(other).is_dir() and Path(other).samefile(mine)):
        raise EnvironmentFault(
            f"this is the oxipickle in {mine}, but without PYTHONPATH and the current folder "
            f"{sys.executable} finds another or none: {other.splitlines()[-1]}"
        )


def _try_out(only_if_asked: bool) -> str | None:
    """None if a fresh process comes up with oxipickle in place, else what it says."""
    code = "import pickle, oxipickle; print(oxipickle.installed())"
    said = _python(code, **({"OXIPICKLE_ENABLE": "1"} if only_if_asked else {}))
    if said == "True":
        return None
    return "pickle is not replaced" if said == "False" else said.splitlines()[-1]


# --- files


def _names(folder: Path) -> list[str]:
    """What `enable` writes, and what the manifest says that an earlier version wrote."""
    return list(dict.fromkeys([*_contents(False), *_manifest_files(folder), MANIFEST]))


def _present(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder) if (folder / name).exists()]


def _manifest_files(folder: Path) -> list[str]:
    """What the manifest in `folder` lists; nothing if there is none or it is not readable."""
    try:
        names = list(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [name for name in names if "oxipickle" in name and Path(name).name == name]


def _write_all(folder: Path, contents: dict[str, bytes]) -> None:
    record = _record(folder)
    manifest = {
        "by": "python -m oxipickle enable",
        "files": {name: _digest(content) for name, content in contents.items()},
        "record": None if record is None else record.relative_to(folder).as_posix(),
    }
    # The pair comes last: a start that falls in between finds what it names.
    text = json.dumps(manifest, indent=2) + "\n"
    whole = {MANIFEST: text.encode(), **contents}
    names = _names(folder)
    try:
        for path in _present(folder):
            if path.name not in whole:
                _unlink(path)
        for name, content in whole.items():
            _write(folder / name, content)
        if record is not None:
            _update_record(record, names, whole)
    except OSError as error:
        try:
            _remove(folder)
        except EnvironmentFault as fault:
            raise fault from error
        raise EnvironmentFault(f"cannot write to {folder}: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    """All or nothing: other processes of the environment may be starting."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    paths = list(reversed(_present(folder)))  # the manifest goes last, the pair before the module
    paths.sort(key=lambda path: (path.name == MANIFEST, path.suffix == ".py"))
    names = _names(folder)
    try:
        record = _record(folder)
        for path in paths:
            _unlink(path)
        if record is not None:
            _update_record(record, names, {})
    except OSError as error:
        raise EnvironmentFault(
            f"cannot remove from {folder}: {error.strerror}: {error.filename}"
        ) from error


def _unlink(path: Path) -> None:
    path.unlink()
    if path.suffix == ".py":
        Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _record(folder: Path) -> Path | None:
    """RECORD of the installed distribution, which an installer goes by when it uninstalls."""
    found = sorted(folder.glob("oxipickle-*.dist-info/RECORD"))
    return found[0] if len(found) == 1 else None


def _update_record(record: Path, ours: list[str], contents: dict[str, bytes]) -> None:
    """Lists `contents`, and no other files of `ours`, in RECORD."""
    text = record.read_text(encoding="utf-8")
    rows = [row for row in csv.reader(io.StringIO(text)) if row and row[0] not in ours]
    rows += [
        [name, f"sha256={_digest(content)}", str(len(content))]
        for name, content in contents.items()
    ]
    new = io.StringIO()
    csv.writer(new, lineterminator="\n").writerows(rows)
    if new.getvalue() != text:
        _write(record, new.getvalue().encode())
