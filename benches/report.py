"""Makes tables, the picture and the README's figures out of results that `run.py` has written.

    python benches/report.py               tables and pictures of all results
    python benches/report.py --readme      also fills the marked region of README.md

Works on the JSON alone: no case is made, and nothing is measured.
"""

import json
import math
import pathlib
from typing import Annotated, Any

import picture
import typer
from oxipickle._measure import ROUTES as ALL_ROUTES
from oxipickle._report import bytes_text, duration, environment_line

__all__ = ["markdown", "write"]

HERE = pathlib.Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN = "<!-- figures: made by `python benches/report.py --readme`; do not edit -->"
END = "<!-- figures end -->"

ROUTES = ("dumps", "loads")

Document = dict[str, Any]
Row = dict[str, Any]


def _mean(rows: list[Row]) -> float:
    ratios = [row["ratio"] for row in rows if row["ratio"]]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def _ratio(row: Row | None) -> str:
    """The ratio; in bold where C is faster beyond noise, by the third quartile."""
    if row is None or row["ratio"] is None:
        return "-"
    _, high = row["ratio quartiles"] or (row["ratio"], row["ratio"])
    return f"**{row['ratio']:.2f}**" if high < 1 else f"{row['ratio']:.2f}"


def _part(document: Document, part: str) -> list[Row]:
    return [row for row in document["rows"] if row["part"] == part]


def _pairs(rows: list[Row]) -> dict[str, dict[str, Row]]:
    """Rows by case and route, in the order in which they were measured."""
    result: dict[str, dict[str, Row]] = {}
    for row in rows:
        result.setdefault(row["case"], {})[row["route"]] = row
    return result


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(header: list[str], rows: list[list[str]]) -> str:
    alignment = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join(_line(*cells) for cells in [header, alignment, *rows])


def _speed(row: Row | None, subject: str) -> str:
    """How many times as fast as C one of the others is, as our ratio is."""
    if row is None or subject not in row["seconds"]:
        return "-"
    return f"{row['seconds']['C'] / row['seconds'][subject]:.2f}"


def _set_table(document: Document) -> str:
    rows = _part(document, "set")
    if not rows:
        return ""
    others = list(
        dict.fromkeys(
            name for row in rows for name in row["seconds"] if name not in ("oxipickle", "C")
        )
    )
    header = ["data", "pickle"]
    for route in ROUTES:
        header += [f"{route}, C", "oxipickle", "ratio"]
        header += [name for name in others if route == "loads" or name != "making"]
    lines = []
    for case, of_case in _pairs(rows).items():
        cells = [case, bytes_text(next(iter(of_case.values()))["bytes"])]
        for route in ROUTES:
            row = of_case.get(route)
            times = row["seconds"] if row else {}
            cells += [duration(times.get("C")), duration(times.get("oxipickle")), _ratio(row)]
            cells += [_speed(row, name) for name in others if route == "loads" or name != "making"]
        lines.append(cells)
    means = [f"{_mean([r for r in rows if r['route'] == route]):.2f}" for route in ROUTES]
    return (
        "## The set\n\nRatios are C's time divided by the other's: above 1 is faster than C; bold "
        "ones are slower beyond noise (by three quarters of the samples). The columns beside ours "
        "say the same of `marshal`, where it gives back equal objects of the same types, and of "
        "*making* the objects without reading a stream."
        f"\n\n{_table(header, lines)}\n\n"
        f"Geometric mean: dumps **{means[0]}**, loads **{means[1]}**."
    )


RIVALS = ("orjson", "msgspec")


def _against(rows: list[Row], rival: str, route: str) -> float:
    """How many times as fast as `rival` we are: geometric mean over the rows that it has."""
    ratios = [
        row["seconds"][rival] / row["seconds"]["oxipickle"]
        for row in rows
        if row["route"] == route and rival in row["seconds"]
    ]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def _others_table(document: Document) -> str:
    rows = _part(document, "others")
    rivals = [name for name in RIVALS if any(name in row["seconds"] for row in rows)]
    if not rivals:
        return ""
    subjects = ["C", "oxipickle", *rivals]
    header = ["data"]
    for route in ROUTES:
        header += [f"{route}, C", *subjects[1:]]
    lines = [
        [case]
        + [duration(of_case[route]["seconds"].get(name)) for route in ROUTES for name in subjects]
        for case, of_case in _pairs(rows).items()
    ]
    lines += [
        [f"*oxipickle, as fast as {rival}*"]
        + [
            f"*{_against(rows, name, route):.2f}*" if name == rival else ""
            for route in ROUTES
            for name in subjects
        ]
        for rival in rivals
    ]
    return (
        "## Beside orjson and msgspec\n\nData that all of them can hold and give back equal, each "
        "in its own format (orjson: JSON; msgspec: MessagePack, with encoder and decoder made "
        "once). Neither keeps which objects are one and the same, as pickle does. The last rows "
        "are geometric means of their time divided by ours.\n\n"
        f"{_table(header, lines)}"
    )


def _routes_table(document: Document) -> str:
    rows = _part(document, "routes")
    if not rows:
        return ""
    cases = list(_pairs(rows))
    measured = {row["route"] for row in rows}
    routes = [route for route in ALL_ROUTES if route in measured]
    by_route = {(row["route"], row["case"]): row for row in rows}
    lines = [
        [
            case,
            *[_ratio(by_route.get((route, case))) for route in routes],
        ]
        for case in cases
    ]
    means = [f"{_mean([row for row in rows if row['route'] == route]):.2f}" for route in routes]
    lines.append(["geometric mean", *means])
    return (
        "## Other ways through the API\n\nRatios as above. *reused* is one object for many "
        "messages; *reducer_override* is a subclass as cloudpickle's, *dispatch_table* one as "
        "multiprocessing's `ForkingPickler`, *find_class* that of a restricted loader.\n\n"
        f"{_table(['', *routes], lines)}"
    )


def _protocols_table(document: Document) -> str:
    rows = _part(document, "protocols")
    if not rows:
        return ""
    protocols = sorted({row["protocol"] for row in rows})
    by_protocol = {(row["case"], row["route"], row["protocol"]): row for row in rows}
    lines = [
        [f"{case}, {route}", *[_ratio(by_protocol.get((case, route, p))) for p in protocols]]
        for case in _pairs(rows)
        for route in ROUTES
    ]
    return f"## Protocols\n\n{_table(['ratio', *map(str, protocols)], lines)}"


def markdown(document: Document, image: str | None = None) -> str:
    """The tables of all parts that the document has, and a picture of the set."""
    where = document["environment"]
    builds = document["extensions"]
    parts = [
        f"# {where['implementation']} {where['python']}",
        f"{environment_line(where)}.",
        *[f"{sentence[0].upper()}{sentence[1:]}." for sentence in document["not_measured"]],
        *[f"**{name}: {fault}.**" for name, fault in document["differences"].items()],
        f"![Bars of the ratios below, on a logarithmic scale]({image})" if image else "",
        _set_table(document),
        _others_table(document),
        _routes_table(document),
        _protocols_table(document),
    ]
    if len(set(builds.values())) > 1:
        listed = ", ".join(f"{part} {digest}" for part, digest in builds.items())
        parts.insert(2, f"Not all parts were measured with the same build: {listed}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _picture(document: Document, path: pathlib.Path) -> None:
    """A bar for dumps and one for loads of every case of the set."""
    pairs = _pairs(_part(document, "set"))
    series = {
        route: [of_case[route]["ratio"] if route in of_case else None for of_case in pairs.values()]
        for route in ROUTES
    }
    where = document["environment"]
    title = f"oxipickle {where['oxipickle']}, {where['implementation']} {where['python']}"
    picture.bars(path, title, list(pairs), series)


def write(path: pathlib.Path) -> None:
    """Writes the tables and, with matplotlib, the picture of one file of results beside it."""
    document = json.loads(path.read_text(encoding="utf-8"))
    image = path.with_suffix(".svg")
    # One that is not of these figures would be worse than none.
    image.unlink(missing_ok=True)
    if picture.available() and _part(document, "set"):
        _picture(document, image)
    text = markdown(document, image.name if image.exists() else None)
    path.with_suffix(".md").write_text(text, encoding="utf-8")


def _version(path: pathlib.Path) -> tuple[int, ...]:
    number = path.stem.rpartition("-")[2].rstrip("t")
    return tuple(int(part) for part in number.split(".") if part.isdigit())


def _readme_figures(paths: list[pathlib.Path], image: pathlib.Path, where: str) -> str:
    """Geometric means of every interpreter by group of data, and where they come from.

    With matplotlib, also draws them in the file `image`, which the README refers to as `where`.
    """
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    groups = list(
        dict.fromkeys(row["group"] for document in documents for row in _part(document, "set"))
    )
    header = ["dump / load"] + [document["environment"]["python"] for document in documents]

    def mean(document: Document, group: str | None, route: str) -> float:
        rows = [row for row in _part(document, "set") if group in (None, row["group"])]
        return _mean([row for row in rows if row["route"] == route])

    def cell(document: Document, group: str | None) -> str:
        found = [mean(document, group, route) for route in ROUTES]
        return " / ".join("-" if math.isnan(value) else f"{value:.2f}" for value in found)

    def worst(document: Document) -> str:
        rows = [row for row in _part(document, "set") if row["ratio"]]
        return " / ".join(
            f"{min(row['ratio'] for row in rows if row['route'] == route):.2f}" for route in ROUTES
        )

    lines = [[group, *[cell(document, group) for document in documents]] for group in groups]
    lines.append(["**all, geometric mean**", *[f"**{cell(d, None)}**" for d in documents]])
    lines.append(["worst row", *[worst(document) for document in documents]])

    def against(document: Document, rival: str) -> str:
        rows = _part(document, "others")
        if not any(rival in row["seconds"] for row in rows):
            return "not measured"
        return " / ".join(f"{_against(rows, rival, route):.2f}" for route in ROUTES)

    for rival in RIVALS:
        cells = [against(document, rival) for document in documents]
        lines.append([f"*as fast as {rival}, JSON-like data*", *cells])
    sources = "\n".join(
        f"- [{path.stem}](benches/results/{path.stem}.md): "
        f"{environment_line(document['environment'])}"
        for path, document in zip(paths, documents, strict=True)
    )
    image.unlink(missing_ok=True)
    shown = ""
    if picture.available():
        charts = {
            route: {
                name: [mean(document, group, route) for group in (*groups, None)]
                for name, document in zip(header[1:], documents, strict=True)
            }
            for route in ROUTES
        }
        picture.panels(image, [*groups, "all"], charts)
        shown = f"![The table below as bars, on a logarithmic scale]({where})\n\n"
    return f"{shown}{_table(header, lines)}\n\n{sources}"


def main(
    readme: Annotated[bool, typer.Option("--readme", help="Fill in the README's figures.")] = False,
    results: Annotated[pathlib.Path, typer.Option(help="Folder of results.")] = HERE / "results",
) -> None:
    """Make the tables and pictures again from the results that are there."""
    paths = sorted(results.glob("*.json"), key=_version)
    # Those of other benches begin with the bench's name.
    paths = [path for path in paths if path.stem.count("-") == 1]
    if not paths:
        print("no results: run benches/run.py first")
        raise typer.Exit(2)
    for path in paths:
        write(path)
    if readme:
        text = README.read_text(encoding="utf-8")
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            print("README.md has no marked region for figures")
            raise typer.Exit(2)
        image = results / "figures.svg"
        where = f"benches/results/{image.name}"
        filled = f"{before}{BEGIN}\n\n{_readme_figures(paths, image, where)}\n\n{END}{after}"
        README.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
