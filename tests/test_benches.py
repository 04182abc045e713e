"""The benchmark set's programs: that they run, write what they say, and fill in the README."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[1]
BENCHES = ROOT / "benches"


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """`benches/` is a folder of programs and no package."""
    sys.path.insert(0, str(BENCHES))
    try:
        names = ("cases", "floors", "instructions", "report", "run", "start")
        yield {name: __import__(name) for name in names}
    finally:
        sys.path.remove(str(BENCHES))


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHES / program), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("results")
    done = run(
        "run.py", "--seconds", "0", "--only", "dict of four", "--only", "datetimes, UTC",
        "--output", str(folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_run_writes_json_and_tables(results: pathlib.Path) -> None:
    (path,) = results.glob("*.json")
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    assert document["differences"] == {}
    assert str(ROOT) not in text
    assert sys.prefix not in text
    assert list(document["extensions"]) == ["set", "others", "routes", "protocols"]
    assert len(set(document["extensions"].values())) == 1
    rows = {
        (row["case"], row["route"], row["protocol"]): row
        for row in document["rows"]
        if row["part"] in ("set", "routes")
    }
    assert set(rows["dict of four", "dumps", 5]["seconds"]) >= {"oxipickle", "C", "marshal"}
    assert set(rows["datetimes, UTC", "loads", 5]["seconds"]) == {"oxipickle", "C", "making"}
    written = [row["protocol"] for row in document["rows"] if row["part"] == "protocols"]
    assert written == [2, 2, 3, 3, 4, 4, 5, 5]
    assert ("dict of four", "Pickler, reducer_override", 5) in rows
    tables = path.with_suffix(".md").read_text(encoding="utf-8")
    for heading in ("## The set", "## Other ways through the API", "## Protocols"):
        assert heading in tables
    assert "| dict of four | 59 B |" in tables
    for library in ("numpy", "orjson"):
        assert (f"{library}: it is not installed" in tables) is not installed(library)


def installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def test_others_are_measured_where_they_are_installed(results: pathlib.Path) -> None:
    (path,) = results.glob("*.json")
    rows = [
        row
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
        if row["part"] == "others"
    ]
    assert {row["case"] for row in rows} == {"dict of four"}
    expected = {"C", "oxipickle", *filter(installed, ("orjson", "msgspec"))}
    assert all(set(row["seconds"]) == expected for row in rows)


def test_others_stand_in_a_table_of_their_own(modules: dict[str, ModuleType]) -> None:
    def row(route: str, orjson: float | None) -> dict[str, object]:
        seconds = {"C": 8e-6, "oxipickle": 2e-6} | ({"orjson": orjson} if orjson else {})
        return {"part": "others", "case": "one", "route": route, "seconds": seconds}

    table = modules["report"]._others_table
    text = table({"rows": [row("dumps", 3e-6), row("loads", 1e-6)]})
    assert "| one | 8.00 µs | 2.00 µs | 3.00 µs | 8.00 µs | 2.00 µs | 1.00 µs |" in text
    assert "| *oxipickle, as fast as orjson* |  |  | *1.50* |  |  | *0.50* |" in text
    assert "as fast as msgspec" not in text
    assert table({"rows": [row("dumps", None), row("loads", None)]}) == ""


def test_parts_measured_alone_leave_the_others_as_they_are(modules: dict[str, ModuleType]) -> None:
    def document(extension: str, case: str, *parts: str) -> dict[str, object]:
        return {
            "environment": {"python": "3.x"},
            "extensions": dict.fromkeys(parts, extension),
            "differences": {},
            "rows": [{"part": part, "case": case} for part in parts],
        }

    merged = modules["run"]._merged
    old, new = document("a", "old", "set", "routes"), document("b", "new", "others", "routes")
    both = merged(old, new)
    assert both["extensions"] == {"set": "a", "routes": "b", "others": "b"}
    assert [(row["part"], row["case"]) for row in both["rows"]] == [
        ("set", "old"),
        ("others", "new"),
        ("routes", "new"),
    ]
    assert merged(old | {"environment": {"python": "3.y"}}, new) == new


def test_a_look_at_some_cases_is_printed() -> None:
    kept = {path: path.read_bytes() for path in (BENCHES / "results").iterdir()}
    done = run("run.py", "--part", "protocols", "--seconds", "0", "--only", "dict of four")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| ratio | 2 | 3 | 4 | 5 |" in done.stdout
    assert "## The set" not in done.stdout
    assert {path: path.read_bytes() for path in (BENCHES / "results").iterdir()} == kept


def test_run_of_no_case() -> None:
    done = run("run.py", "--only", "no such case")
    assert done.returncode == 2
    assert "no such case" in done.stderr


def test_report_fills_in_the_readme(
    results: pathlib.Path,
    modules: dict[str, ModuleType],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = modules["report"]
    real = (ROOT / "README.md").read_text(encoding="utf-8")
    assert real.count(report.BEGIN) == real.count(report.END) == 1
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(report, "README", readme)
    for bench in ("engines", "instructions", "memory", "start"):  # results of other programs
        (results / f"{bench}-cpython-3.11.2.json").write_text("{}", encoding="utf-8")
    for _ in range(2):  # the second time over what the first has written
        report.main(readme=True, results=results)
        text = readme.read_text(encoding="utf-8")
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        assert text.count("geometric mean") == 1
        assert ("](benches/results/figures.svg)" in text) is installed("matplotlib")
        assert (results / "figures.svg").exists() is installed("matplotlib")
    readme.write_text("no region", encoding="utf-8")
    with pytest.raises(report.typer.Exit):
        report.main(readme=True, results=results)


def test_pictures_show_each_case(results: pathlib.Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are made where matplotlib is installed")
    (picture,) = results.glob("cpython-*.svg")
    text = picture.read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    for name in ("dict of four", "datetimes, UTC", ">dumps<", ">loads<"):
        assert name in text
    assert f"]({picture.name})" in picture.with_suffix(".md").read_text(encoding="utf-8")


def test_old_pictures_do_not_stay_beside_new_figures(
    results: pathlib.Path,
    modules: dict[str, ModuleType],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (source,) = results.glob("cpython-*.json")
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    path.with_suffix(".svg").write_text("old", encoding="utf-8")
    monkeypatch.setattr(modules["report"].picture, "available", lambda: False)
    modules["report"].write(path)
    assert not path.with_suffix(".svg").exists()
    assert ".svg" not in path.with_suffix(".md").read_text(encoding="utf-8")


def test_cases_have_names_of_their_own(modules: dict[str, ModuleType]) -> None:
    names = [case.name for case in modules["cases"].cases()]
    assert len(names) == len(set(names)) > 50


def test_making_makes_the_like(modules: dict[str, ModuleType]) -> None:
    cases = [case for case in modules["cases"].cases() if case.floor is not None]
    assert len(cases) >= 20
    for case in cases:
        objects = case.make()[:3]
        made = case.floor(objects)()
        assert list(map(type, made)) == list(map(type, objects)), case.name
        for one, other in zip(made, objects, strict=True):
            assert one.__reduce_ex__(2)[1] == other.__reduce_ex__(2)[1], case.name
            assert getattr(one, "__dict__", None) == getattr(other, "__dict__", None), case.name


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/clear_refs").exists(),
    reason="only Linux can set back the peak memory of a process",
)
def test_depth_writes_its_table(tmp_path: pathlib.Path) -> None:
    done = run("depth.py", "--deepest", "100000", "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    (table,) = tmp_path.glob("depth-*.md")
    rows = [line for line in table.read_text(encoding="utf-8").splitlines() if " ns, " in line]
    assert len(rows) == 14
    # A level of the smallest kind takes a list of one item, or a task and a byte or two of the stream.
    assert all(10 < int(row.split(" ns, ")[1].split()[0]) < 3000 for row in rows), rows


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/clear_refs").exists(),
    reason="only Linux can set back the peak memory of a process",
)
def test_memory_of_one_operation(tmp_path: pathlib.Path) -> None:
    scratch = str(tmp_path / "scratch")
    assert run("memory.py", "10 MB of bytes", "C", "prepare", scratch).returncode == 0
    for side in ("C", "oxipickle"):
        for operation in ("dumps", "loads"):
            done = run("memory.py", "10 MB of bytes", side, operation, scratch)
            assert done.returncode == 0, done.stderr
            figures = json.loads(done.stdout)
            assert 9_000_000 < figures["kept"] <= figures["peak"] < 40_000_000


def test_instructions_beyond_the_record_are_named(modules: dict[str, ModuleType]) -> None:
    def rows(**ours: float) -> dict[str, dict[str, float]]:
        return {name: {"C": 1.0, "oxipickle": count} for name, count in ours.items()}

    compared = modules["instructions"].compared
    recorded = rows(same=1000.0, slower=1000.0, faster=1000.0, gone=1000.0)
    counted = rows(same=1029.0, slower=1031.0, faster=900.0, new=1000.0)
    more, less = compared(counted, recorded)
    assert more == ["slower: 1031, recorded 1000 (+3.1%)", "gone: not counted", "new: not recorded"]
    assert less == ["faster: 900, recorded 1000 (-10.0%)"]


def test_instructions_are_counted_for_what_both_sides_write_alike(
    modules: dict[str, ModuleType],
) -> None:
    instructions = modules["instructions"]
    for name, obj in instructions.objects().items():
        stream = instructions.interpreter_pickle().dumps(obj, 5)
        assert instructions.native.dumps(obj, 5) == stream, name
    for loop in instructions.loops(instructions.native).values():
        loop(1)


def test_instructions_without_a_record(tmp_path: pathlib.Path) -> None:
    done = run("instructions.py", "--results", str(tmp_path))
    assert done.returncode == 2
    assert ("nothing to compare with" if shutil.which("valgrind") else "valgrind") in done.stdout


def test_what_a_start_costs(modules: dict[str, ModuleType], tmp_path: pathlib.Path) -> None:
    taken = modules["start"].times(tmp_path, 3)
    assert set(taken) == {"empty module", "hook"}
    for quartiles in taken.values():
        assert 0 < quartiles[0] <= quartiles[1] <= quartiles[2]
