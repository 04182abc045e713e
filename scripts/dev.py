#!/usr/bin/env python3
"""One command for each thing that a developer or a user of a clone does.

    python3 scripts/dev.py bench [ARG...]  install it in the clone, measure it against C's _pickle
    python3 scripts/dev.py test            lint, and test on every Python that this machine has
    python3 scripts/dev.py nox ARG...      run nox, which these commands are made of (`nox -l`)

All that is needed beforehand is Python 3.11 or later and Rust. Everything goes to folders of the
clone that git ignores. `test` ends with the counts of every runner and Python, added up.

Uses the standard library only, since it is what installs the rest.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
REPORTS = REPO / "reports"
REQUIREMENTS = ["nox>=2025.2.9"]


def tools() -> Path:
    """The Python of the environment that has nox, made at first use."""
    folder = REPO / ".nox" / "dev"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS)
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True, symlinks=os.name != "nt")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, *REQUIREMENTS], check=True)
        stamp.write_text(wanted)
    return python


def nox(*args: str) -> int:
    """Run nox; its exit code."""
    return subprocess.call([str(tools()), "-m", "nox", *args], cwd=REPO)


@dataclass
class Counts:
    """How many tests one run passed, failed and skipped."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def _pytest(path: Path) -> Counts:
    counts = Counts(path.stem)
    for suite in ET.parse(path).getroot().iter("testsuite"):
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        counts.failed += bad
        counts.skipped += skipped
        counts.passed += int(suite.get("tests", 0)) - bad - skipped
    return counts


def _stdlib(path: Path) -> Counts:
    return Counts(path.stem, **json.loads(path.read_text())["totals"])


def _cargo(path: Path) -> Counts:
    counts = Counts(path.stem)
    line = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.M)
    for passed, failed, ignored in line.findall(path.read_text()):
        counts.passed += int(passed)
        counts.failed += int(failed)
        counts.skipped += int(ignored)
    return counts


def _sessions(path: Path) -> Iterator[tuple[str, str]]:
    """Name and outcome ("success", "failed", "aborted", "skipped") of each nox session."""
    if path.exists():
        for session in json.loads(path.read_text())["sessions"]:
            yield session["signatures"][0], session["result"]


def summary(code: int, elapsed: float) -> None:
    """Print what ran and the sums; `code` is nox's exit code."""
    runs = [_pytest(path) for path in sorted(REPORTS.glob("pytest-*.xml"))]
    runs += [_stdlib(path) for path in sorted(REPORTS.glob("stdlib-*.json"))]
    runs += [_stdlib(path) for path in sorted(REPORTS.glob("long-*.json"))]
    runs += [_cargo(path) for path in sorted(REPORTS.glob("rust-*.txt"))]
    print(f"\n{'':28}{'passed':>9}{'failed':>9}{'skipped':>9}")
    for run in runs:
        print(f"{run.name:28}{run.passed:9}{run.failed:9}{run.skipped:9}")
    failed = sum(run.failed for run in runs)
    for name, outcome in _sessions(REPORTS / "sessions.json"):
        print(f"session {name}: {outcome}")
    if code and not failed:
        failed = 1  # not a test: the formatter, a build, nox itself
    passed = sum(run.passed for run in runs)
    skipped = sum(run.skipped for run in runs)
    print(f"{elapsed / 60:.1f} minutes\n")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)


def test(args: list[str]) -> int:
    """Everything that must hold, then the sums; exit code 1 if anything failed."""
    start = time.monotonic()
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir()
    code = nox(*args, "--report", str(REPORTS / "sessions.json"))
    summary(code, time.monotonic() - start)
    return 1 if code else 0


def main() -> int:
    """Entry point; exit codes: 0 all well, 1 something failed, 2 wrong use."""
    if sys.version_info < (3, 11):  # noqa: UP036  (nothing has checked it before)
        print("scripts/dev.py needs Python 3.11 or later", file=sys.stderr)
        return 2
    command, *args = sys.argv[1:] or ["help"]
    if command == "bench":
        return nox("--session", "bench", "--", *args)
    if command == "test":
        return test(args)
    if command == "nox":
        return nox(*args)
    print(__doc__)
    return 0 if command in ("help", "-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main())
