"""The command line: parses, reports, and chooses exit codes; it measures nothing itself."""

import fnmatch
import json
import pathlib
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from oxipickle import HIGHEST_PROTOCOL, __version__, _environment, _measure, _report, _run
from oxipickle._status import status as get_status
from oxipickle.activation import interpreter_pickle

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A drop-in replacement for CPython's pickle accelerator.",
)
output = Console()
errors = Console(stderr=True)
if not output.is_terminal:
    output.width = 100  # the table's own width; a file or a pipe has none


def _print_version(wanted: bool) -> None:
    if wanted:
        output.print(f"oxipickle {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    options_metavar="",
    epilog="The exit code is the program's own; 2 if there is no such script.",
)
def run(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[-m MODULE | SCRIPT] [ARGS]...", show_default=False)
    ],
) -> None:
    """Run a program with oxipickle in the place of _pickle from its first import on.

    sys.argv, sys.path, __main__, exit code and tracebacks are as with plain Python. Processes
    of this Python that the program starts use oxipickle too, unless with -E, -I or -S.
    """
    _run.run(arguments)


def _do(action: Callable[[], str]) -> None:
    """Prints what was done, or why not, with exit code 1."""
    try:
        output.print(action(), markup=False, highlight=False, soft_wrap=True)
    except _environment.EnvironmentFault as fault:
        errors.print(str(fault), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


@app.command(epilog="Exit codes: 0 it is on; 1 it could not be done, and nothing was changed.")
def enable(
    force: Annotated[
        bool, typer.Option(help="Also for a Python that is no virtual environment.")
    ] = False,
    on_request: Annotated[
        bool,
        typer.Option(help="Only for processes with OXIPICKLE_ENABLE=1 in their environment."),
    ] = False,
) -> None:
    """Switch oxipickle on for every Python process of this virtual environment.

    Writes start-up files into its site-packages. They cost nothing until pickle is imported, and
    OXIPICKLE_DISABLE=1 in the environment of a process overrules them.
    """
    _do(lambda: _environment.enable(force, on_request))


@app.command(epilog="Exit codes: 0 it is off; 1 it could not be done.")
def disable() -> None:
    """Take away what `enable` wrote."""
    _do(_environment.disable)


@app.command(epilog="Exit codes: 0 on and complete; 3 on, but something was not reached; 1 not on.")
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Tell whether Python processes of this environment use oxipickle, and how.

    What a program of yours uses, and what of it was not reached, oxipickle.status() tells there.
    """
    now = get_status()
    pairs = _environment.find_pair()
    if as_json:
        found = [pair._asdict() for pair in pairs]
        print(json.dumps({**now.as_dict(), "environment": found}, indent=2))
    else:
        text = str(now)
        for pair in pairs:
            when = ", where OXIPICKLE_ENABLE=1 is set" if pair.only_if_asked else ""
            text += f"\nthis environment: switched on by {pair.by}{when}"
        if not pairs:
            text += "\nthis environment: not switched on"
        output.print(text, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(now.exit_code)


def _read_pickles(path: pathlib.Path) -> list[Any]:
    """The objects of a file of one pickle or several, one after the other."""
    load = interpreter_pickle().load
    objects: list[Any] = []
    with path.open("rb") as file:
        while not objects or file.peek(1):
            objects.append(load(file))
    return objects


def _file_case(path: pathlib.Path, protocol: int | None) -> _measure.Case:
    """A case of a user's file; ends the command with code 2 if it cannot be loaded."""
    try:
        objects = _read_pickles(path)
        content = path.read_bytes()
    except Exception as error:  # a pickle may raise anything
        reason = " ".join(str(error).split()) or "no reason given"
        errors.print(
            f"cannot load {path}: {type(error).__name__}: {reason}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(2) from None
    several = len(objects) > 1
    return _measure.Case(
        path.name,
        lambda: objects if several else objects[0],
        "your files",
        messages=several,
        stream=content if protocol is None and not several else None,
    )


def _chosen(cases: list[_measure.Case], only: list[str]) -> list[_measure.Case]:
    """The cases whose names one of the patterns matches; code 2 if none does."""
    if not only:
        return cases
    patterns = [pattern if set(pattern) & set("*?[") else f"*{pattern}*" for pattern in only]
    chosen = [c for c in cases if any(fnmatch.fnmatch(c.name, pattern) for pattern in patterns)]
    if not chosen:
        names = ", ".join(repr(case.name) for case in cases)
        errors.print(f"--only matches none of: {names}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2)
    return chosen


@app.command(
    epilog="Exit codes: 0 measured; 1 oxipickle and C differ in what they write or load; "
    "2 wrong usage, or a file that cannot be loaded; 130 interrupted."
)
def bench(
    files: Annotated[
        list[pathlib.Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            show_default=False,
            help="Pickle files. They are loaded, and loading a pickle can run any code: give "
            "only files that you trust. Without any, data found on this machine and made.",
        ),
    ] = None,
    protocol: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=HIGHEST_PROTOCOL,
            show_default=False,
            help=f"Protocol to dump with, and to load from. By default {HIGHEST_PROTOCOL}, and "
            "files are loaded as they are.",
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=0.0, help="Time to measure for, all in all; large data takes longer."),
    ] = 20.0,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", show_default=False, help="Only data with this in its name; repeatable."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table, for programs.")
    ] = False,
) -> None:
    """Measure dump and load against this interpreter's C _pickle, on your data or on found data.

    Both are timed in this process in turns, with the garbage collector off; times are medians
    of CPU time for one call, and the ratio says how many times as fast as C oxipickle is.
    """
    if files:
        cases = [_file_case(path, protocol) for path in files]
    else:
        from oxipickle._samples import default_cases

        cases = default_cases()
    cases = _chosen(cases, only or [])

    written = HIGHEST_PROTOCOL if protocol is None else protocol
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        disable=not errors.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=2 * len(cases))

        def show(name: str) -> Callable[[], None]:
            progress.update(task, description=name)
            return lambda: progress.advance(task)

        rows, faults = _measure_all(cases, written, seconds, show)

    where = _report.environment()
    if as_json:
        document = _report.as_json(rows, where, differences=faults)
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        output.print(_report.table(rows))
        output.print(
            f"Protocol {written}; medians of CPU time; ratio: C's time divided by oxipickle's, so "
            f"above 1 is faster. {_report.environment_line(where)}.",
            highlight=False,
        )
    for name, fault in faults.items():
        errors.print(f"{name}: {fault}", style="red", markup=False, highlight=False)
    if faults:
        raise typer.Exit(1)


def _measure_all(
    cases: list[_measure.Case],
    protocol: int,
    seconds: float,
    show: Callable[[str], Callable[[], None]],
) -> tuple[list[_measure.Row], dict[str, str]]:
    subjects = _measure.pickle_subjects()
    share = seconds / len(cases) / 2
    rows = []
    faults = {}
    for case in cases:
        advance = show(case.name)
        fault = _measure.check(case, subjects, protocol)
        if fault is not None:
            faults[case.name] = fault
        rows += _measure.measure(
            case,
            ("dumps", "loads"),
            subjects,
            protocol=protocol,
            seconds=share,
            advance=advance,
        )
    return rows, faults
