"""Bars on a logarithmic scale, as SVG, of figures that `report.py` hands over.

The background is transparent and all colours stand out from white and from black alike, so that
one picture serves light and dark pages. Needs matplotlib. It reads, averages and judges nothing.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["available", "bars", "panels"]

INK = "#7a7a7a"
COLOURS = ("#d0562f", "#3f8fc5", "#8a9a2b", "#9b6fc4", "#c48a1f")

# A value for each name; None or NaN where there is none.
Values = Sequence[float | None]


def available() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    settings: dict[str, Any] = {
        "svg.hashsalt": "oxipickle",  # the same picture from the same figures
        "svg.fonttype": "none",  # text stays text
        "font.size": 9,
        "savefig.transparent": True,
    }
    for name in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"):
        settings[name] = INK
    mpl.rcParams.update(settings)
    import matplotlib.pyplot as plt

    return plt


def _draw(axes: Any, names: Sequence[str], series: Mapping[str, Values], label: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    height = 0.8 / len(series)
    lowest, highest = 1.0, 2.0
    for number, (name, values) in enumerate(series.items()):
        offset = (number - (len(series) - 1) / 2) * height
        drawn = [
            (place + offset, value)
            for place, value in enumerate(values)
            if value is not None and not math.isnan(value)
        ]
        # A bar starts at 1, so that slower than C points the other way.
        axes.barh(
            [place for place, _ in drawn],
            [value - 1 for _, value in drawn],
            left=1,
            height=height * 0.92,
            color=COLOURS[number % len(COLOURS)],
            label=name,
        )
        for place, value in drawn:
            after = value >= 1
            axes.annotate(
                f"{value:.1f}" if after else f"{value:.2f}",
                (value, place),
                xytext=(2 if after else -2, 0),
                textcoords="offset points",
                ha="left" if after else "right",
                va="center",
                fontsize=6.5,
            )
        found = [value for _, value in drawn]
        lowest, highest = min(lowest, *found), max(highest, *found)
    axes.set_xscale("log", base=2)
    axes.set_xlim(lowest / 1.25, highest * 1.25)
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color=INK, alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(label)


def bars(
    path: pathlib.Path, title: str, names: Sequence[str], series: Mapping[str, Values]
) -> None:
    """One chart: for each name, a bar of each series."""
    plt = _pyplot()
    size = (7.5, (0.13 * len(series) + 0.06) * len(names) + 1.2)
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    _draw(axes, names, series, "times as fast as C _pickle (logarithmic)")
    axes.set_title(title, fontsize=10)
    figure.legend(loc="outside upper right", ncols=len(series), frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def panels(
    path: pathlib.Path, names: Sequence[str], charts: Mapping[str, Mapping[str, Values]]
) -> None:
    """Charts beside each other, with the same names and series, under their titles."""
    plt = _pyplot()
    count = max(len(series) for series in charts.values())
    size = (7.5, (0.13 * count + 0.08) * len(names) + 1.2)
    figure, all_axes = plt.subplots(
        1, len(charts), figsize=size, layout="constrained", sharey=True, squeeze=False
    )
    for axes, (title, series) in zip(all_axes[0], charts.items(), strict=True):
        _draw(axes, names, series, "times as fast as C (logarithmic)")
        axes.set_title(title, fontsize=10)
    handles, labels = all_axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=count, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
