"""Each engine: without oxipickle, with it in all processes, and in mixed fleets, both ways.

Runs in an environment that has oxipickle, oxipickle-auto and the engines installed (nox session
`engines`), so every process is switched on unless `OXIPICKLE_DISABLE` is set. The programs check
the results by themselves and say which processes had oxipickle in place.
"""

import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest

HERE = pathlib.Path(__file__).resolve().parent
RECIPES = HERE.parent / "docs" / "recipes"
OFF = "OXIPICKLE_DISABLE=1"
ENGINES = {
    "fork": ("executor.py", "fork"),
    "spawn": ("executor.py", "spawn"),
    "forkserver": ("executor.py", "forkserver"),
    "joblib": ("loky.py",),
    "distributed": ("dask_cluster.py",),
    "celery": ("celery_tasks.py",),
    "ray": ("ray_cluster.py",),
    "pyspark": ("spark.py",),
}


def missing(engine: str) -> str | None:
    if engine in ("fork", "forkserver") and os.name == "nt":
        return "Windows has no such start method"
    if engine in ("spawn", "fork", "forkserver"):
        return None
    if importlib.util.find_spec(engine) is None:
        return f"{engine} is not installed (nox session `clusters` has Ray and PySpark)"
    if engine == "pyspark" and shutil.which("java") is None:
        return "PySpark needs java, which this machine has not"
    return None


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=HERE / "programs",
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def report(*command: str, **environment: str) -> dict[str, Any]:
    lines = run(*command, **environment).splitlines()
    [line] = [line for line in lines if line.startswith("REPORT ")]
    return json.loads(line.removeprefix("REPORT "))


@pytest.fixture(params=ENGINES)
def program(request: pytest.FixtureRequest) -> tuple[str, ...]:
    reason = missing(request.param)
    if reason is not None:
        pytest.skip(reason)
    return ENGINES[request.param]


def test_all_without(program: tuple[str, ...]) -> None:
    said = report(*program, OXIPICKLE_DISABLE="1")
    assert not said["program"]["installed"]
    assert not said["worker"]["installed"]


def test_all_with(program: tuple[str, ...]) -> None:
    """The environment is switched on: nothing of any process is missed."""
    said = report(*program)
    for where in ("program", "worker"):
        assert said[where]["installed"], where
        assert said[where]["missed"] == [], where


def test_workers_without(program: tuple[str, ...]) -> None:
    if "fork" in program:
        pytest.skip("a forked worker is as its parent is")
    said = report(*program, OFF)
    assert said["program"]["installed"]
    assert not said["worker"]["installed"]


def test_only_workers_with(program: tuple[str, ...]) -> None:
    """The program is started switched off, and takes that back for its workers."""
    if "fork" in program:
        pytest.skip("a forked worker is as its parent is")
    said = report(*program, "OXIPICKLE_DISABLE=0", OXIPICKLE_DISABLE="1")
    assert not said["program"]["installed"]
    assert said["worker"]["installed"]
    assert said["worker"]["missed"] == []


@pytest.fixture
def on_request(tmp_path: pathlib.Path) -> dict[str, str]:
    """Variables of a process where the start-up files act on request only, and of its children.

    As with `enable --on-request`; here oxipickle-auto is installed, which always acts.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, _oxipickle_auto\n"
        "sys.meta_path[:] = [one for one in sys.meta_path if not hasattr(one, 'busy')]\n"
        "_oxipickle_auto.start_if_asked()\n"
    )
    return {"PYTHONPATH": str(tmp_path)}


def recipes() -> list[pathlib.Path]:
    return sorted(RECIPES.glob("*.py"))


@pytest.mark.parametrize("recipe", recipes(), ids=lambda path: path.stem)
def test_recipe_of_the_documentation(recipe: pathlib.Path, on_request: dict[str, str]) -> None:
    """They switch on by themselves."""
    engine = recipe.stem.partition("_")[0]
    reason = missing({"dask": "distributed"}.get(engine, engine)) if engine != "pool" else None
    if reason is not None:
        pytest.skip(reason)
    printed = run(str(recipe), **on_request)
    assert printed.splitlines()[-1] == "True", printed


def test_command_line_of_a_dask_worker_in_the_documentation(on_request: dict[str, str]) -> None:
    reason = missing("distributed")
    if reason is not None:
        pytest.skip(reason)
    page = (RECIPES.parent / "engines.md").read_text(encoding="utf-8")
    [options] = re.findall(r"`dask worker (.+?)\s+tcp://scheduler:8786`", page)
    for arguments, installed in ((shlex.split(options), True), ([], False)):
        printed = run("dask_command_line.py", *arguments, **on_request)
        assert printed.splitlines()[-1] == str(installed), printed


def test_there_are_recipes() -> None:
    assert len(recipes()) >= 4
