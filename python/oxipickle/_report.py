"""Figures as a table for people and as JSON for programs.

It shows what `_measure` found and where it was found. It must not name anything of the user's but
the processor, the operating system and the interpreter: no paths, no host name.
"""

import os
import pathlib
import platform
import statistics
import sys
import sysconfig
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from oxipickle import __version__
from oxipickle._measure import OURS, STOCK, Row, geometric_mean

__all__ = ["as_json", "bytes_text", "duration", "environment", "environment_line", "table"]

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def duration(seconds: float | None) -> str:
    """Three digits and a unit: `1.23 ms`."""
    if seconds is None:
        return "-"
    for unit, name in _SECONDS:
        if seconds >= unit:
            return f"{seconds / unit:#.3g}".rstrip(".") + f" {name}"
    return f"{seconds * 1e9:#.3g}".rstrip(".") + " ns"


def bytes_text(size: int) -> str:
    """Three digits and a unit: `1.23 MB`, in powers of ten."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:#.3g}".rstrip(".") + f" {name}"
    return f"{size} B"


def _processor() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    return platform.processor() or platform.machine()


def _built_with(option: str, flag: str) -> bool | None:
    """Whether the interpreter's build states an option of its configure script.

    None where it states nothing: Windows has no such record, and distributions build in steps of
    their own that leave none.
    """
    arguments = sysconfig.get_config_var("CONFIG_ARGS")
    if not arguments:
        return None
    flags = " ".join(
        str(sysconfig.get_config_var(name)) for name in ("PY_CORE_CFLAGS", "PY_CORE_LDFLAGS")
    )
    if option in arguments or flag in flags:
        return True
    return None if sys.base_prefix == "/usr" else False


def environment() -> dict[str, Any]:
    """Where the figures were made: interpreter, how it was built, machine."""
    return {
        "oxipickle": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "build": {
            "compiler": platform.python_compiler(),
            "pgo": _built_with("--enable-optimizations", "-fprofile-use"),
            "lto": _built_with("--with-lto", "-flto"),
            "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
            "free-threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        },
        "machine": {
            "processor": _processor(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.system(),
        },
    }


def environment_line(where: dict[str, Any]) -> str:
    """The environment in one line; says so where a build option is not known."""
    build, machine = where["build"], where["machine"]
    answers = {True: "yes", False: "no", None: "not stated by this build"}
    options = [f"{name.upper()} {answers[build[name]]}" for name in ("pgo", "lto")]
    options += [name for name in ("debug", "free-threaded") if build[name]]
    return (
        f"{where['implementation']} {where['python']} ({build['compiler']}; {', '.join(options)}), "
        f"oxipickle {where['oxipickle']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}"
    )


def _means(rows: Sequence[Row]) -> dict[str, float | None]:
    """Geometric mean of the ratios, by route."""
    routes = dict.fromkeys(row.route for row in rows)
    return {
        route: geometric_mean(
            [ratio for row in rows if row.route == route and (ratio := row.ratio()) is not None]
        )
        for route in routes
    }


def as_json(rows: Sequence[Row], where: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Everything, for `json.dumps`. Times are medians of CPU time, in seconds a call."""
    return {
        "environment": where,
        **more,
        "geometric mean": _means(rows),
        "rows": [
            {
                "case": row.case,
                "group": row.group,
                "route": row.route,
                "protocol": row.protocol,
                "bytes": row.size,
                "seconds": {name: row.seconds(name) for name in row.times},
                "ratio": row.ratio(),
                "ratio quartiles": row.quartiles(),
                "samples": min((len(samples) for samples in row.times.values()), default=0),
                "spread": {
                    name: statistics.pstdev(samples) / statistics.fmean(samples)
                    for name, samples in row.times.items()
                },
            }
            for row in rows
        ],
    }


def _ratio_text(ratio: float | None, quartiles: tuple[float, float] | None = None) -> Text:
    """The ratio; in green or red where even the quartile on the other side agrees."""
    if ratio is None:
        return Text("-")
    low, high = quartiles or (ratio, ratio)
    return Text(f"{ratio:.2f}", style="green" if low > 1 else "red" if high < 1 else "")


def table(rows: Sequence[Row]) -> Table:
    """A row for each case: dumps and loads, C and ours, and how many times as fast."""
    result = Table(box=box.SIMPLE_HEAD, show_footer=True)
    means = _means(rows)
    result.add_column("\ndata", footer="geometric mean", overflow="fold")
    result.add_column("\npickle", justify="right")
    for route in ("dumps", "loads"):
        for name in (STOCK, OURS):
            result.add_column(f"{route}\n{name}", justify="right", no_wrap=True)
        result.add_column("\nratio", justify="right", footer=_ratio_text(means.get(route)))
    cases = dict.fromkeys((row.group, row.case) for row in rows)
    last = None
    for group, case in cases:
        if group != last:
            result.add_section()
            last = group
        of_case = {row.route: row for row in rows if (row.group, row.case) == (group, case)}
        cells: list[str | Text] = [case, bytes_text(next(iter(of_case.values())).size)]
        for route in ("dumps", "loads"):
            row = of_case.get(route)
            if row is None:
                cells += ["-", "-", "-"]
            else:
                times = [duration(row.seconds(name)) for name in (STOCK, OURS)]
                cells += [*times, _ratio_text(row.ratio(), row.quartiles())]
        result.add_row(*cells)
    return result
