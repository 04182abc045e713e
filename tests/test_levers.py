"""Builds that can do without what makes them fast (`src/levers.rs`), and builds that cannot.

`nox -s levers` runs all other tests in such builds. Here: what the variable means.
"""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import pickle, sys
from oxipickle import _pickle
class A: pass
obj = []
for n in range(200):
    a = A()
    a.x, a.y, a.z = n, str(n), {"k": [n, (n, 1.5)], "l": None}
    obj += [a, {n, n + 1}, ValueError(n), a.z]
for protocol in range(6):
    stream = _pickle.dumps(obj, protocol)
    assert stream == pickle.dumps(obj, protocol), protocol
    again = pickle.dumps(_pickle.loads(stream), protocol)
    assert again == pickle.dumps(pickle.loads(stream), protocol), protocol
"""


def run(without: str, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "OXIPICKLE_WITHOUT": without},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def levers() -> list[str]:
    """Those of this build, which names them where it is given a name that is none."""
    done = run("?", "import oxipickle")
    return done.stderr.rpartition("is none of: ")[2].split() if done.returncode else []


LEVERS = levers()


@pytest.mark.skipif(bool(LEVERS), reason="a build with levers reads the variable")
def test_other_builds_do_not_read_the_variable() -> None:
    done = run("nothing of that name")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not LEVERS, reason="a build without the feature has no levers")
class TestBuildsWithLevers:
    @pytest.mark.parametrize("lever", ["", "all", "all,window", *LEVERS])
    def test_the_bytes_are_those_of_c_without(self, lever: str) -> None:
        done = run(lever)
        assert done.returncode == 0, done.stderr

    def test_unknown_names_are_errors(self) -> None:
        done = run("names,nothing of that name")
        assert "ImportError" in done.stderr
        assert "OXIPICKLE_WITHOUT: nothing of that name is none of: " in done.stderr
        assert len(LEVERS) == 13
