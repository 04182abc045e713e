#!/usr/bin/env python3
"""Runs CPython's own test suites, unmodified, with `oxipickle._pickle` in place of `_pickle`.

    python tests/stdlib/run.py                       the four suites of pickle itself
    python tests/stdlib/run.py --group rest          what else of the standard library pickles
    python tests/stdlib/run.py --group all --json results.json
    python tests/stdlib/run.py test_enum test_uuid   single suites

Run it with the Python of a virtual environment that has oxipickle; it puts a start-up file
(`stand_in.py`) there for the time of the run. Each suite runs in a process of its own. A suite
that fails with the stand-in is run again with C's `_pickle`: what fails there too is counted as
"as with C" and is no failure of ours. The suites of `pickle` itself are always run with both, and
the same tests must have run and been skipped.

Exit codes: 0 nothing fails that passes with C; 1 something does; 2 the run could not be made.

It changes no test and catches no failure; what is expected to fail is listed in `skips.txt`.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import faulthandler
import importlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import unittest
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
GATE = "OXIPICKLE_STAND_IN"

CORE = ("test_pickle", "test_picklebuffer", "test_pickletools", "test_copyreg")
REST = (
    "test_datetime",
    "test_decimal",
    "test_collections",
    "test_ordered_dict",
    "test_enum",
    "test_dataclasses",
    "test_typing",
    "test_functools",
    "test_array",
    "test_bytes",
    "test_set",
    "test_dict",
    "test_range",
    "test_slice",
    "test_exceptions",
    "test_re",
    "test_random",
    "test_uuid",
    "test_fractions",
    "test_zoneinfo",
    "test_shelve",
    "test_xml_etree",
    "test_email",
    "test_logging",
    "test_copy",
    "test_audit",
    "test_free_threading.test_pickle",
)
LONG = (
    "test_multiprocessing_spawn",
    "test_multiprocessing_fork",
    "test_multiprocessing_forkserver",
    "test_concurrent_futures",
)
GROUPS = {"core": CORE, "rest": REST, "long": LONG, "all": CORE + REST + LONG}
#: Suites for free-threaded builds only.
FREE_THREADED = {"test_free_threading.test_pickle"}
#: Suites with races and timeouts of their own: what fails there gets a second try, alone.
TIMING = {*LONG, "test_logging"}
#: One process's time limit, in seconds.
LIMIT = {suite: 2400 for suite in LONG}
DEFAULT_LIMIT = 900
#: Started first when several run at a time.
SLOWEST = ("test_logging", "test_datetime", "test_concurrent_futures")

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


# In the child: run one suite and write down what became of each test


class Recorder(unittest.TextTestResult):
    """Writes one JSON line for each test that starts and for each outcome.

    Written as it happens, so that a crash shows which test was running.
    """

    out: Any = None
    suite: str = ""

    def _write(self, test: unittest.TestCase, outcome: str, detail: str = "") -> None:
        name = test.id()
        if name.startswith("setUpClass (") or name.startswith("setUpModule ("):
            name = name.partition("(")[2].rstrip(")")
        elif hasattr(test, "test_case"):  # a subtest: counts for its test
            name = test.test_case.id()
        if name.startswith("__main__"):
            name = f"test.{self.suite}{name.removeprefix('__main__')}"
        self.out.write(json.dumps({"test": name, "outcome": outcome, "detail": detail}) + "\n")
        self.out.flush()

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._write(test, "started")

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self._write(test, PASSED)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._write(test, PASSED)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._write(test, SKIPPED, reason)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._write(test, FAILED, self.failures[-1][1])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._write(test, FAILED, self.errors[-1][1])

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._write(test, FAILED, "passed, but is marked as an expected failure")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        before = len(self.failures) + len(self.errors)
        super().addSubTest(test, subtest, err)
        if err is not None and len(self.failures) + len(self.errors) > before:
            fails = err[0] is not None and issubclass(err[0], test.failureException)
            text = (self.failures if fails else self.errors)[-1][1]
            self._write(test, FAILED, f"{subtest}\n{text}")


def _check_stand_in(module: str) -> None:
    """End the run unless `pickle` really uses the replacement."""
    import pickle

    replacement = sys.modules[module]
    wrong = [name for name in _names() if getattr(pickle, name) is not getattr(replacement, name)]
    if wrong or sys.modules["_pickle"] is not replacement:
        raise SystemExit(f"pickle does not use {module}: {', '.join(wrong) or '_pickle'}")


def _names() -> list[str]:
    text = "PickleBuffer PickleError Pickler PicklingError Unpickler UnpicklingError"
    return [*text.split(), "dump", "dumps", "load", "loads"]


def _module(suite: str) -> ModuleType:
    """The suite's module.

    Some installations leave out the three small modules that choose multiprocessing's start
    method, but have the tests themselves: then a module that does the choosing is written, as a
    file, since child processes import it too.
    """
    if _importable(f"test.{suite}"):
        return importlib.import_module(f"test.{suite}")
    kind = suite.removeprefix("test_multiprocessing_")
    folder = Path(tempfile.mkdtemp())
    (folder / f"{suite}.py").write_text(
        "import test._test_multiprocessing\n"
        f"test._test_multiprocessing.install_tests_in_module_dict(globals(), {kind!r})\n"
    )
    sys.path.insert(0, str(folder))
    return importlib.import_module(suite)


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package
        return False


def _exists(suite: str) -> bool:
    if suite.startswith("test_multiprocessing_"):
        return _importable("test._test_multiprocessing")
    return _importable(f"test.{suite}")


def _select(suite: unittest.TestSuite, wanted: set[str]) -> unittest.TestSuite:
    chosen = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            chosen.addTest(_select(test, wanted))
        elif test.id() in wanted:
            chosen.addTest(test)
    return chosen


def child(suite: str, out: Path, only: Path | None) -> int:
    """Run one suite in this process."""
    faulthandler.enable()
    gate = os.environ.get(GATE)
    if gate:
        _check_stand_in(gate)
    support: Any = importlib.import_module("test.support")
    support.verbose = 0
    with out.open("w") as stream:
        Recorder.out, Recorder.suite = stream, suite
        os.chdir(tempfile.mkdtemp())
        wanted = None if only is None else set(only.read_text().split("\n"))

        def run(tests: unittest.TestSuite) -> None:
            if wanted is not None:
                tests = _select(tests, wanted)
            kind: Any = Recorder
            unittest.TextTestRunner(resultclass=kind, verbosity=0, stream=sys.stderr).run(tests)

        try:
            module = _module(suite)
        except unittest.SkipTest as skip:
            record = {"test": f"test.{suite}", "outcome": SKIPPED, "detail": str(skip)}
            stream.write(json.dumps(record) + "\n")
            module = None
        if module is None:
            pass
        elif hasattr(module, "test_main") and hasattr(support, "_run_suite"):
            # The older form of a suite (3.11): the function prepares something, then comes here.
            support._run_suite = run
            module.test_main()
        else:
            run(unittest.defaultTestLoader.loadTestsFromModule(module))
        if gate:
            _check_stand_in(gate)  # a test may import pickle afresh, but must put it back
        stream.write(json.dumps({"finished": True}) + "\n")
    return 0


# In the parent


def _in_venv() -> bool:
    return sys.prefix != sys.base_prefix


@contextlib.contextmanager
def start_up_file() -> Iterator[None]:
    """`stand_in.py` in the virtual environment's site-packages, for the time of the run."""
    site = Path(sysconfig.get_path("purelib"))
    module, pth = site / "_oxipickle_stand_in.py", site / "_oxipickle_stand_in.pth"
    shutil.copyfile(HERE / "stand_in.py", module)
    pth.write_text("import _oxipickle_stand_in\n")
    try:
        yield
    finally:
        pth.unlink(missing_ok=True)
        module.unlink(missing_ok=True)


def _environment(stand_in: str | None, temporary: str) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env.pop(GATE, None)
    # A stand-in that is not installed (a folder on PYTHONPATH) is for trying this driver out.
    if stand_in and "PYTHONPATH" in os.environ:
        env["PYTHONPATH"] = os.environ["PYTHONPATH"]
    if stand_in:
        env[GATE] = stand_in
    env["TMPDIR"] = temporary
    return env


def preflight(stand_in: str) -> None:
    """The stand-in must be in place in this interpreter's children, however they are started."""
    code = (
        "import multiprocessing, sys\n"
        "def name(): import pickle; return pickle.Pickler.__module__, id(type(pickle.dumps))\n"
        f"import pickle; assert pickle.Pickler is sys.modules[{stand_in!r}].Pickler\n"
        "print('in place')\n"
    )
    spawned = (
        "import multiprocessing\n"
        "from multiprocessing.reduction import ForkingPickler\n"
        "import importlib\n"
        "if __name__ == '__main__':\n"
        "    for kind in multiprocessing.get_all_start_methods():\n"
        "        with multiprocessing.get_context(kind).Pool(1) as pool:\n"
        f"            assert pool.apply(eval, (\"'in place' if __import__('pickle').Pickler is"
        f" __import__('sys').modules[{stand_in!r}].Pickler else 'C'\",)) == 'in place', kind\n"
        "    print('in place')\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "spawned.py"
        script.write_text(spawned)
        for arguments in (["-c", code], ["-I", "-c", code], [str(script)]):
            if arguments[0] == "-I" and "PYTHONPATH" in os.environ:
                continue
            done = subprocess.run(
                [sys.executable, *arguments],
                env=_environment(stand_in, folder),
                capture_output=True,
                text=True,
                timeout=120,
                stdin=subprocess.DEVNULL,
            )
            if done.returncode or done.stdout != "in place\n":
                kept = "".join(line + "\n" for line in done.stderr.splitlines()[-20:])
                raise SystemExit(f"{stand_in} is not in place in {arguments[0]}:\n{kept}")


Outcomes = dict[str, tuple[str, str]]


def _read(path: Path) -> tuple[Outcomes, list[str], bool]:
    """Outcomes by test (the worst counts), tests that started and never ended, whole or not."""
    outcomes: Outcomes = {}
    running: list[str] = []
    finished = False
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        record = json.loads(line)
        if "finished" in record:
            finished = True
            continue
        name, outcome = record["test"], record["outcome"]
        if outcome == "started":
            running.append(name)
            continue
        if name in running:
            running.remove(name)
        # A test that fails in a subtest is never reported as passed as well, but one that skips a
        # subtest may be.
        before = outcomes.get(name)
        if before is None or outcome == FAILED or (before[0] == SKIPPED and outcome == PASSED):
            detail = record["detail"]
            if before and before[0] == FAILED:
                detail = before[1] + "\n" + detail
            outcomes[name] = (outcome, detail)
    return outcomes, running, finished


def run_suite(suite: str, stand_in: str | None, only: Iterable[str] | None = None) -> Outcomes:
    """Run one suite in a process of its own.

    A crash, or a time limit passed, is the failure of the test that was running (and of the suite).
    """
    with tempfile.TemporaryDirectory(prefix="stdlib-", ignore_cleanup_errors=True) as folder:
        record = Path(folder) / "record.jsonl"
        log = Path(folder) / "log.txt"
        command = [sys.executable, "-u", "-X", "faulthandler", str(HERE / "run.py")]
        command += ["--child", suite, "--record", str(record)]
        if only is not None:
            chosen = Path(folder) / "only.txt"
            chosen.write_text("\n".join(only))
            command += ["--only", str(chosen)]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                env=_environment(stand_in, folder),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(LIMIT.get(suite, DEFAULT_LIMIT))
                ended = f"ended with exit code {code}"
            except subprocess.TimeoutExpired:
                ended = f"did not end within {LIMIT.get(suite, DEFAULT_LIMIT)} s"
            finally:
                # Also what the tests left behind.
                if sys.platform != "win32":
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.wait()
        outcomes, running, finished = _read(record)
        if not finished:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
            for test in running or [f"test.{suite}"]:
                outcomes[test] = (FAILED, f"the process {ended}\n{tail}")
        return outcomes


def skip_list() -> dict[str, str]:
    """`skips.txt`: reason by test."""
    reasons = {}
    for line in (HERE / "skips.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            test, separator, reason = line.partition(": ")
            if not separator or not reason.strip():
                raise SystemExit(f"skips.txt: no reason given for {test}")
            reasons[test] = reason.strip()
    return reasons


def judge(suite: str, stand_in: str, listed: dict[str, str], baseline: str) -> dict[str, Any]:
    """Run a suite with the stand-in, with C where that is needed, and compare."""
    print(f"{platform.python_version()} {suite} ...", flush=True)
    start = time.monotonic()
    ours = run_suite(suite, stand_in)
    if suite in TIMING:
        again = [test for test, (outcome, _) in ours.items() if outcome == FAILED]
        flaky = {}
        if again:
            second = run_suite(suite, stand_in, again)
            flaky = {test: ours[test][1] for test in again if second.get(test, " ")[0] == PASSED}
            ours |= {test: second[test] for test in flaky}
    else:
        flaky = {}
    failing = {test for test, (outcome, _) in ours.items() if outcome == FAILED}
    problems: list[str] = []
    as_with_c: set[str] = set()
    if baseline == "always" or (baseline == "auto" and (suite in CORE or failing - set(listed))):
        theirs = run_suite(suite, None)
        as_with_c = {test for test in failing if theirs.get(test, " ")[0] == FAILED}
        different = {
            test
            for test in ours.keys() | theirs.keys()
            if (ours.get(test, " ")[0] == SKIPPED) != (theirs.get(test, " ")[0] == SKIPPED)
            or (test in ours) != (test in theirs)
        }
        if suite not in TIMING:
            for test in sorted(different - failing):
                here, there = (run.get(test, ("not run", ""))[0] for run in (ours, theirs))
                problems.append(f"{test}: {here}, but with C {there}")
    expected = {test for test in failing if test in listed}
    # A listed test may be one that this version does not have.
    for test in sorted(ours.keys() & listed.keys() - expected):
        problems.append(f"{test}: is in skips.txt, but {ours[test][0]}")
    new = sorted(failing - expected - as_with_c)
    if not ours:
        problems.append(f"{suite} ran no test")
    skipped = {test: why for test, (outcome, why) in ours.items() if outcome == SKIPPED}
    return {
        "run": len(ours) - len(skipped),
        "passed": sum(outcome == PASSED for outcome, _ in ours.values()),
        "failed": len(new) + len(problems),
        "skipped": len(skipped) + len(expected),
        "seconds": round(time.monotonic() - start, 1),
        "failures": {test: ours[test][1] for test in new},
        "problems": problems,
        "as_with_c": sorted(as_with_c - expected),
        "passed_at_second_try": flaky,
        "skips": dict(collections.Counter(skipped.values()).most_common()),
        "listed": {test: listed[test] for test in sorted(expected)},
    }


def report(results: dict[str, dict[str, Any]], absent: list[str]) -> None:
    """The table, then what failed and why."""
    print(f"\n{'suite':34}{'run':>7}{'failed':>8}{'skipped':>9}{'as with C':>11}{'seconds':>9}")
    for suite, result in results.items():
        counts = f"{result['run']:7}{result['failed']:8}{result['skipped']:9}"
        print(f"{suite:34}{counts}{len(result['as_with_c']):11}{result['seconds']:9.1f}")
    for suite in absent:
        print(f"{suite:34}  not in this installation of Python")
    for result in results.values():
        for test, why in result["listed"].items():
            print(f"listed: {test}: {why}")
        for test in result["as_with_c"][:10]:
            print(f"fails as with C: {test}")
        if result["as_with_c"][10:]:
            print(f"fails as with C: {len(result['as_with_c'][10:])} more")
        for test in result["passed_at_second_try"]:
            print(f"passed at the second try: {test}")
    for result in results.values():
        for test, text in result["failures"].items():
            print(f"\nFAILED {test}\n{text.rstrip()}")
        for problem in result["problems"]:
            print(f"\nFAILED {problem}")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suites", nargs="*", help="single suites, as test_pickle")
    parser.add_argument("--group", action="append", choices=GROUPS, help="default: core")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument(
        "--baseline",
        choices=("auto", "always", "never"),
        default="auto",
        help="when to run a suite with C's _pickle too (auto: the core ones, and where one fails)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="suites at the same time")
    parser.add_argument("--module", default="oxipickle._pickle", help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.record, options.only)
    if not _in_venv():
        print("run this with the Python of a virtual environment", file=sys.stderr)
        return 2
    chosen = list(options.suites)
    for group in options.group or ([] if chosen else ["core"]):
        chosen += GROUPS[group]
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        chosen = [suite for suite in chosen if suite not in FREE_THREADED]
    absent = [suite for suite in chosen if not _exists(suite)]
    if set(absent) & set(CORE):
        print(f"{sys.executable} lacks CPython's tests: {', '.join(absent)}", file=sys.stderr)
        print("Debian has them in libpython3.X-testsuite", file=sys.stderr)
        return 2
    listed = skip_list()
    with start_up_file():
        preflight(options.module)
        present = [suite for suite in chosen if suite not in absent]
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            runs = {
                suite: pool.submit(judge, suite, options.module, listed, options.baseline)
                for suite in sorted(present, key=lambda suite: suite not in SLOWEST)
            }
            results = {suite: runs[suite].result() for suite in present}
    report(results, absent)
    totals = {
        key: sum(result[key] for result in results.values())
        for key in ("passed", "failed", "skipped")
    }
    if options.json:
        facts = {
            "python": platform.python_version(),
            "build": platform.python_build(),
            "stand_in": options.module,
            "totals": totals,
            "absent": absent,
            "suites": results,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"\n{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
