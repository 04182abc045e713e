"""What the start-up hook of `python -m oxipickle enable` costs each Python process.

    python benches/start.py [--rounds 200] [--write]

Two measures, since 0.2 ms is less than what two starts of the same program differ by:

- the time of the line of the start-up file in a fresh process, and of that line for a module with
  an empty function: what importing anything costs. In turns; quartiles.
- where valgrind is installed, the instructions of a whole start in three virtual environments:
  without start-up files, with files of a comment only (the interpreter's own work for the first
  of them), with the hook. They hardly differ from run to run. System calls are not counted.

`--write` puts the figures into benches/results/start-cpython-VERSION.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EMPTY = "def start(): pass\n"
PROGRAM = """
import os, sys, time  # with `site`, os has been imported
sys.path.append({folder!r})
# Looks into every folder once, as `site` does in each process for a sitecustomize.
try:
    import no_such_sitecustomize
except ImportError:
    pass
begin = time.perf_counter_ns()
import _oxipickle_enabled; _oxipickle_enabled.start()
print(time.perf_counter_ns() - begin)
"""
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("OXIPICKLE_", "PYTHON"))}


def hook() -> str:
    import oxipickle

    file = Path(oxipickle.__file__).parent / "_startup" / "_oxipickle_run.py"
    return file.read_text(encoding="utf-8")


def milliseconds(folder: Path) -> float:
    program = PROGRAM.format(folder=str(folder))
    command = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return int(done.stdout) / 1e6


def times(temporary: Path, rounds: int) -> dict[str, list[float]]:
    """Quartiles of the milliseconds of the line, for an empty module and for the hook."""
    taken: dict[str, list[float]] = {}
    for name, text in {"empty module": EMPTY, "hook": hook()}.items():
        folder = temporary / name
        folder.mkdir()
        (folder / "_oxipickle_enabled.py").write_text(text, encoding="utf-8")
        milliseconds(folder)  # compiles it
        taken[name] = []
    for _ in range(rounds):
        for name, values in taken.items():
            values.append(milliseconds(temporary / name))
    return {name: statistics.quantiles(values, n=4) for name, values in taken.items()}


def instructions(temporary: Path) -> dict[str, int]:
    """Of a whole start, by what the environment has; fewest of three runs."""
    counts = {}
    files = {
        "without": {},
        "start-up files without a hook": {"pth": "# nothing\n", "start": "# nothing\n"},
        "hook": {
            "pth": "import _oxipickle_enabled; _oxipickle_enabled.start()\n",
            "start": "_oxipickle_enabled:start\n",
        },
    }
    for number, (name, pair) in enumerate(files.items()):
        folder = temporary / f"environment-{number}"
        venv.create(folder, symlinks=True)
        [site] = folder.glob("lib/python3*/site-packages")
        for suffix, text in pair.items():
            (site / f"oxipickle_enabled.{suffix}").write_text(text, encoding="utf-8")
        if name == "hook":
            (site / "_oxipickle_enabled.py").write_text(hook(), encoding="utf-8")
        start = [str(folder / "bin" / "python"), "-I", "-c", "pass"]
        subprocess.run(start, check=True, env=ENVIRONMENT)
        counter = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={temporary / 'counts'}"]
        counts[name] = min(_counted([*counter, *start]) for _ in range(3))
    return counts


def _counted(command: list[str]) -> int:
    # Where the hashes of text fall is chosen anew in each process, without this.
    environment = {**ENVIRONMENT, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    [count] = re.findall(r"Collected : (\d+)", done.stderr)
    return int(count)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    figures: dict[str, Any] = {"python": platform.python_version(), "rounds": options.rounds}
    with tempfile.TemporaryDirectory() as folder:
        figures["milliseconds, quartiles"] = times(Path(folder), options.rounds)
        if shutil.which("valgrind"):
            figures["instructions of a start"] = instructions(Path(folder))
    print(json.dumps(figures, indent=1))
    if options.write:
        name = f"start-cpython-{platform.python_version()}.json"
        (HERE / "results" / name).write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
