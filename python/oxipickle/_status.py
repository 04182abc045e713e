"""What is switched on in this process, how, and what still uses the interpreter's own `_pickle`.

Only looks: it imports nothing that is not imported yet but what it needs itself, and changes
nothing.
"""

import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from oxipickle import _holders, activation

__all__ = ["Holder", "Status", "status"]

Holder = _holders.Holder

State = Literal["active", "partly", "waiting", "off", "disabled"]


@dataclass(frozen=True)
class Status:
    """The state of this process; see `status()`."""

    state: State
    """`active`: everything that `install()` replaces in `pickle` is oxipickle's; `partly`: others
    have replaced some of it since; `waiting`: it will be, when `pickle` is first imported; `off`;
    `disabled`: the environment variable `OXIPICKLE_DISABLE` forbids it."""
    how: str | None
    """What switched it on, or None."""
    since: datetime | None
    """When, in UTC, or None."""
    foreign: tuple[str, ...]
    """Names of `pickle` that others have replaced while oxipickle is installed."""
    reached: tuple[str, ...]
    """Places outside `pickle` that held the old objects and were replaced, by qualified name."""
    missed: tuple[Holder, ...]
    """What imported modules hold of the interpreter's own `_pickle` that is not replaced. Empty
    while oxipickle is off: nothing is to be replaced then. Not found is what C code holds, and what
    is in containers within containers."""
    pure_python: tuple[Holder, ...]
    """Classes derived from `pickle._Pickler` and `pickle._Unpickler`, which are written in Python
    and use no accelerator, with or without oxipickle."""

    @property
    def exit_code(self) -> int:
        """For scripts: 0 on and complete, 3 on but not complete, 1 not on."""
        if self.state in ("off", "disabled"):
            return 1
        return 3 if self.state == "partly" or self.missed else 0

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: the time in ISO 8601, holders as dicts."""
        result = asdict(self)
        result["since"] = self.since and self.since.isoformat(timespec="milliseconds")
        for field in ("missed", "pure_python"):
            result[field] = [one._asdict() for one in getattr(self, field)]
        return result

    def __str__(self) -> str:
        """A few lines for people."""
        lines = [_HEADLINES[self.state]]
        if self.how is not None and self.since is not None:
            lines[0] += f", by {self.how}, since {self.since:%Y-%m-%d %H:%M:%S} UTC"
        if self.foreign:
            names = ", ".join(f"pickle.{name}" for name in self.foreign)
            lines.append(f"replaced by others since: {names}")
        lines += _listed("reached late, as it held the old objects:", list(self.reached))
        title = "still with the interpreter's own _pickle:"
        lines += _listed(title, [_line(one) for one in self.missed])
        title = "written in Python, with or without oxipickle:"
        lines += _listed(title, [_line(one) for one in self.pure_python])
        return "\n".join(lines)


_HEADLINES: dict[State, str] = {
    "active": "oxipickle is on",
    "partly": "oxipickle is on in part",
    "waiting": "oxipickle is on, from the first import of pickle",
    "off": "oxipickle is off",
    "disabled": "oxipickle is off: the environment has OXIPICKLE_DISABLE",
}


def _listed(title: str, entries: list[str]) -> list[str]:
    return [title, *(f"  {entry}" for entry in sorted(entries))] if entries else []


def _line(holder: Holder) -> str:
    return f"{holder.module}: {holder.name} ({holder.kind} of {holder.holds})"


def status() -> Status:
    """What is switched on in this process, how and since when, and what was not reached.

    Looks at all imported modules and at every object that the garbage collector knows: tens of
    milliseconds in a large program.

    >>> with activated():
    ...     status().state
    'active'
    """
    with activation.state() as (how, since, replaced, twins):
        foreign = tuple(activation.foreign_names()) if how else ()
        installed = activation.installed()
    state: State
    if how is not None or installed:
        state = "active" if installed else "partly"
    elif activation.switched_off():
        state = "disabled"
    elif activation.waiting():
        state = "waiting"
    else:
        state = "off"
    missed = _missed(twins) if state in ("active", "partly") else ()
    reached = (one.place.label for one in replaced)
    return Status(
        state,
        how,
        None if since is None else datetime.fromtimestamp(since, UTC),
        foreign,
        tuple(one for one in reached if not one.startswith(("pickle.", "sys.modules["))),
        missed,
        _pure_python(),
    )


def _missed(twins: dict[type, type]) -> tuple[Holder, ...]:
    try:
        objects = dict(activation.superseded())
        stock = activation.interpreter_pickle()
    except ImportError:  # it has none of its own, so nobody holds anything of it
        return ()
    found = []
    for base in (stock.Pickler, stock.Unpickler):
        for cls in _holders.derived(base):
            if not any(cls is old for old in twins):
                holds = _holders.described(cls.__base__)
                found.append(Holder(*_holders.qualified_name(cls), "derived class", holds))
    for old in twins:
        objects[id(old)] = twins[old]
    objects[id(stock)] = None  # not replaced: who compares the two holds it
    for module, _, key, value in _holders.module_names(objects):
        found.append(Holder(module, key, "name", _holders.described(value)))
    replaced = {f"{old.__module__}.{old.__qualname__}." for old in twins}
    for holder in _holders.hidden(objects):
        if not f"{holder.module}.{holder.name}".startswith(tuple(replaced)):
            found.append(holder)
    functions = [getattr(stock, name) for name in ("dump", "dumps", "load", "loads")]
    found += _holders.contained(functions)
    return tuple(dict.fromkeys(found))


def _pure_python() -> tuple[Holder, ...]:
    pickle = sys.modules.get("pickle")
    if pickle is None:
        return ()
    return tuple(
        Holder(*_holders.qualified_name(cls), "derived class", f"pickle.{base.__name__}")
        for base in (pickle._Pickler, pickle._Unpickler)
        for cls in _holders.derived(base)
    )
