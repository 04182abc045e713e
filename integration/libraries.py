"""Runs libraries' own tests of what they pickle twice, without oxipickle and with it, and compares.

    python integration/libraries.py [SUITE | SUITE=FOLDER...]

The environment must have the libraries, oxipickle and oxipickle-auto (nox session `libraries`).
cloudpickle and distributed have their tests in their repositories only: these are cloned at the tag
of the installed version, or are in the named folder. Suites that are named are run alone; a folder
by itself leaves the choice as it is. Exit code 1 if a test fails with oxipickle that passes
without (but for those in EXPECTED), if a suite passes none, and if the two runs are not of the same
tests. Counts are printed and written to reports/libraries-VERSION.json.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORTS = HERE.parent / "reports"
#: Arguments to pytest; `{cloudpickle}` is the folder of that library's repository.
SUITES = {
    "cloudpickle": """
        {cloudpickle}/tests/cloudpickle_test.py {cloudpickle}/tests/cloudpickle_file_test.py
    """,
    "joblib": """
        --pyargs joblib.test.test_numpy_pickle joblib.test.test_numpy_pickle_utils
        joblib.test.test_cloudpickle_wrapper joblib.test.test_hashing
    """,
    "numpy": """
        --pyargs numpy._core.tests.test_multiarray numpy._core.tests.test_dtype
        numpy._core.tests.test_records numpy._core.tests.test_memmap numpy._core.tests.test_ufunc
        numpy._core.tests.test_datetime numpy.lib.tests.test_format numpy.ma.tests
        numpy.random.tests -k pickle|Pickl|memmap
    """,
    # Its wheel has no old pickles: the two tests of these fail with and without.
    "pandas": """
        --pyargs pandas.tests.io.test_pickle
        pandas.tests.indexes.base_class.test_pickle pandas.tests.indexes.datetimes.test_pickle
        pandas.tests.indexes.interval.test_pickle pandas.tests.indexes.multi.test_pickle
        pandas.tests.indexes.period.test_pickle pandas.tests.indexes.timedeltas.test_pickle
        pandas.tests.indexes.test_any_index pandas.tests.indexes.test_old_base
        pandas.tests.arrays.sparse.test_array
        pandas.tests.arrays.test_ndarray_backed pandas.tests.dtypes.test_dtypes
        pandas.tests.frame.test_block_internals pandas.tests.frame.test_subclass
        pandas.tests.generic.test_duplicate_labels pandas.tests.internals.test_internals
        pandas.tests.scalar.test_nat pandas.tests.scalar.test_na_scalar
        pandas.tests.scalar.period.test_period pandas.tests.scalar.timedelta.test_timedelta
        pandas.tests.scalar.timestamp.test_timestamp pandas.tests.tseries.offsets.test_offsets
        -k pickle
    """,
    "scikit-learn": """
        --pyargs sklearn.tests.test_base sklearn.tests.test_common sklearn.tree.tests.test_tree
        -k pickle
    """,
    "distributed": """
        -c {distributed}/pyproject.toml {distributed}/distributed/protocol
        {distributed}/distributed/shuffle/tests/test_pickle.py
        {distributed}/distributed/tests/test_locks.py
        {distributed}/distributed/tests/test_collections.py
    """,
    "dill": "",  # no pytest: each file is a program of its own
    "samples": f"{HERE / 'test_samples.py'} {HERE / 'test_holders.py'}",
}
REPOSITORIES = {
    "cloudpickle": ("https://github.com/cloudpipe/cloudpickle", "v{}"),
    "distributed": ("https://github.com/dask/distributed", "{}"),
}
OPTIONS = ["-q", "-pno:cacheprovider", "-Wignore", "--timeout=300", "-oaddopts=", "-c", os.devnull]
MODULES = {"scikit-learn": "sklearn", "samples": "attrs"}
DISTRIBUTIONS = {"samples": "attrs"}
#: Tests that fail with oxipickle because it does what they say cannot be done.
EXPECTED = {
    # A dict of 100,000 levels "could not be serialized".
    "distributed": {"distributed.protocol.tests.test_protocol::test_deeply_nested_structures"},
}


def source(name: str, folder: Path) -> Path | None:
    """The repository at the tag of the installed version; None if it cannot be had."""
    url, tag = REPOSITORIES[name]
    command = ["git", "clone", "--quiet", "--depth=1", "--branch", tag.format(version(name)), url]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            [*command, str(folder)], check=False, env=environment, timeout=120, capture_output=True
        )
    except (subprocess.TimeoutExpired, FileNotFoundError):  # no answer, or no git
        return None
    return folder if done.returncode == 0 else None


def programs(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """As `outcomes`, for a suite whose files are programs."""
    spec = importlib.util.find_spec("dill")
    assert spec is not None and spec.origin is not None
    found = {}
    for file in sorted(Path(spec.origin).parent.glob("tests/test_*.py")):
        done = subprocess.run(
            [sys.executable, str(file)],
            cwd=folder,
            env={**os.environ, **environment},
            check=False,
            capture_output=True,
            timeout=300,
        )
        found[file.name] = "failed" if done.returncode else "passed"
    return found


def outcomes(arguments: list[str], folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """`passed`, `failed` or `skipped` of each test."""
    xml = folder / "result.xml"
    xml.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--junitxml={xml}", *OPTIONS, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    if not xml.exists():
        print(f"pytest gave no result for {arguments}:", *done.stderr.splitlines()[-5:], sep="\n  ")
        return {}
    found = {}
    for case in ET.parse(xml).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        bad = kinds & {"failure", "error"}
        name = f"{case.get('classname')}::{case.get('name')}"
        found[name] = "failed" if bad else "skipped" if "skipped" in kinds else "passed"
    return found


def count(found: dict[str, str], outcome: str) -> int:
    return sum(one == outcome for one in found.values())


def both(
    name: str, arguments: list[str], temporary: str, path: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The outcomes without and with oxipickle."""
    environment = {"PYTHONPATH": os.pathsep.join(path)} if path else {}
    work = Path(temporary, f"work-{name}")
    work.mkdir()
    runs = []
    for extra in ({"OXIPICKLE_DISABLE": "1"}, {}):
        whole = {**environment, **extra}
        runs.append(outcomes(arguments, work, whole) if arguments else programs(work, whole))
    return runs[0], runs[1]


def main() -> int:
    folders = dict(one.split("=", 1) for one in sys.argv[1:] if "=" in one)
    chosen = [one for one in sys.argv[1:] if "=" not in one] or list(SUITES)
    unknown = {*chosen, *folders} - {*SUITES}
    if unknown:
        print(f"no such suite: {', '.join(sorted(unknown))}; there are: {', '.join(SUITES)}")
        return 2
    table = {}
    worse = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in chosen:
            if importlib.util.find_spec(MODULES.get(name, name)) is None:
                print(f"{name}: NOT RUN, it is not installed")
                continue
            path: list[str] = []
            arguments = [one.replace("|", " or ") for one in SUITES[name].split()]
            if name in REPOSITORIES:
                if name in folders:
                    folder: Path | None = Path(folders[name]).resolve()
                else:
                    folder = source(name, Path(temporary, name))
                if folder is None:
                    print(f"{name}: NOT RUN, its repository cannot be cloned")
                    continue
                arguments = [one.format(**{name: folder}) for one in arguments]
                path = [str(folder)]
                if name == "cloudpickle":
                    path += [str(folder / "tests" / "cloudpickle_testpkg")]
            without, with_ours = both(name, arguments, temporary, path)
            broken = [
                test
                for test, outcome in without.items()
                if outcome == "passed" and with_ours.get(test) != "passed"
            ]
            expected = EXPECTED.get(name, set()) & set(broken)
            broken = [test for test in broken if test not in expected]
            worse += [f"{name}: {test} passes without oxipickle only" for test in broken]
            if not count(without, "passed"):
                worse.append(f"{name}: no test passes")
            if without.keys() != with_ours.keys():
                worse.append(f"{name}: not the same tests were run")
            row = {
                "version": version(DISTRIBUTIONS.get(name, name)),
                **{f"without: {k}": count(without, k) for k in ("passed", "failed", "skipped")},
                **{f"with: {k}": count(with_ours, k) for k in ("passed", "failed", "skipped")},
            }
            numbers = [str(value) for value in row.values()]
            table[name] = {**row, "expected to fail": sorted(expected)}
            print(
                f"{name:14} {numbers[0]:10} without: {' / '.join(numbers[1:4])}, "
                f"with: {' / '.join(numbers[4:])} (passed / failed / skipped)",
                flush=True,
            )
            for test in sorted(expected):
                print(f"  fails with oxipickle, as it should: {test}")
    REPORTS.mkdir(exist_ok=True)
    tag = ".".join(map(str, sys.version_info[:2]))
    (REPORTS / f"libraries-{tag}.json").write_text(json.dumps(table, indent=2) + "\n")
    for one in worse:
        print(one)
    if not table:
        print("no suite ran")
    return 1 if worse or not table else 0


if __name__ == "__main__":
    sys.exit(main())
