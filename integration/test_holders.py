"""How libraries hold `pickle`, and whether `install()` after their import reaches it.

docs/switching-on.md has the same table. Each library is imported in a process of its own that
starts switched off, as the environment of the session `libraries` has oxipickle-auto.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

import pytest

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "switching-on.md"
PROGRAM = """
import json, os, sys
import {module}
os.environ.pop("OXIPICKLE_DISABLE")
import oxipickle
oxipickle.install()
status = oxipickle.status()
print(json.dumps({{
    "reached": [one for one in status.reached if one.startswith({module!r})],
    "missed": [one.name for one in status.missed if one.module.startswith({module!r})],
    "pure": [one.name for one in status.pure_python if one.module.startswith({module!r})],
}}))
{use}
"""


class Row(NamedTuple):
    library: str
    """As the table of the documentation has it."""
    module: str
    holds: str
    late: str
    early: str
    missed: set[str]
    """Last names of what has to be listed."""
    reached: bool
    use: str
    """Goes on working after a late `install()`."""


ROUND_TRIP = "from {0} import dumps, loads; assert loads(dumps([1, 'a'])) == [1, 'a']"
ROWS = [
    Row(
        *("NumPy", "numpy", "`pickle.dumps(...)`", "yes", "yes", set(), False),
        "import io; f = io.BytesIO(); numpy.save(f, numpy.array([{}, 1], object))",
    ),
    Row(
        *("pandas `to_pickle`", "pandas", "`pickle.dump(...)`", "yes", "yes", {"Unpickler"}, False),
        "import io; pandas.DataFrame({'a': [1]}).to_pickle(io.BytesIO())",
    ),
    Row(
        *(
            "cloudpickle",
            "cloudpickle",
            "derived from `pickle.Pickler`; `from pickle import loads`",
        ),
        *("`loads` yes, `dumps` listed", "yes", {"Pickler"}, True),
        ROUND_TRIP.format("cloudpickle"),
    ),
    Row(
        *("distributed", "distributed", "derived from `pickle.Pickler`; cloudpickle"),
        *("listed", "yes", {"_DaskPickler"}, False),
        ROUND_TRIP.format("distributed.protocol.pickle"),
    ),
    Row(
        *("joblib, loky: workers", "joblib", "derived from `pickle.Pickler` and cloudpickle's"),
        *("listed", "yes", {"CustomizablePickler"}, True),
        "assert joblib.Parallel(2)(joblib.delayed(abs)(-n) for n in range(4)) == [0, 1, 2, 3]",
    ),
    Row(
        *("joblib: files and hashes", "joblib", "derived from `pickle._Pickler`"),
        *("no: written in Python", "no: written in Python", {"NumpyPickler"}, True),
        "import io; joblib.dump([1], io.BytesIO()); joblib.hash([1])",
    ),
    Row(
        *("dill: dump", "dill", "derived from `pickle._Pickler`"),
        *("no: written in Python", "no: written in Python", {"Pickler"}, False),
        "assert dill.loads(dill.dumps(lambda: 3))() == 3",
    ),
    Row(
        *("dill: load", "dill", "derived from `pickle.Unpickler`", "listed", "yes"),
        *({"Unpickler", "StockUnpickler"}, False),
        "assert dill.loads(dill.dumps([1])) == [1]",
    ),
    Row(
        *("multiprocess", "multiprocess.reduction", "derived from dill's"),
        *("no: written in Python", "no: written in Python", {"ForkingPickler"}, False),
        "from multiprocess.reduction import ForkingPickler; ForkingPickler.dumps([1])",
    ),
    Row(
        *("torch `save` and `load`", "torch", "`pickle_module.Pickler` at each call"),
        *("yes", "yes", {"PackagePickler"}, True),
        "import io; f = io.BytesIO(); torch.save([1], f); f.seek(0); torch.load(f)",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.library)
def test_late(row: Row, tmp_path: pathlib.Path) -> None:
    if importlib.util.find_spec(row.module.partition(".")[0]) is None:
        pytest.skip(f"{row.module} is not installed")
    file = tmp_path / "late.py"
    file.write_text(PROGRAM.format(module=row.module, use=row.use))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(file)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OXIPICKLE_DISABLE": "1"},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[0])
    assert row.missed <= {name.rpartition(".")[2] for name in said["missed"] + said["pure"]}
    assert bool(said["reached"]) == row.reached, said["reached"]


def test_the_table_of_the_documentation_says_the_same() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    columns = ("library", "how it holds `pickle`", "`install()` late")
    start = lines.index(f"| {' | '.join(columns)} | `install()` first, `run`, `enable` |")
    table = [f"| {row.library} | {row.holds} | {row.late} | {row.early} |" for row in ROWS]
    assert lines[start + 2 : start + 2 + len(table)] == table
