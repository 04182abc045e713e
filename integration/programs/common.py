"""What the programs for each engine share: a job, and what a process says of itself."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def job(number: int) -> dict[str, Any]:
    """Something of every kind that a task gives back."""
    from datetime import date
    from fractions import Fraction

    return {
        "number": number,
        "squares": [one * one for one in range(number)],
        "text": "é" * number,
        "bytes": bytes(number),
        "set": frozenset(range(number)),
        "date": date(2026, 1, 1 + number),
        "fraction": Fraction(number, 7),
        "nested": ((), [{}], {1: {2: {3: None}}}),
    }


def state(_: Any = None) -> dict[str, Any]:
    """Whether oxipickle is in place in this process, and what uses C all the same."""
    import pickle

    try:
        import oxipickle
    except ImportError:
        return {"installed": False, "missed": [], "pid": os.getpid()}
    assert pickle.loads(pickle.dumps([1])) == [1]
    missed = [f"{one.module}.{one.name}" for one in oxipickle.status().missed]
    return {"installed": oxipickle.installed(), "missed": missed, "pid": os.getpid()}


def report(worker: dict[str, Any], results: list[Any]) -> None:
    """Ends a program; the tests read this line."""
    assert results == [job(number) for number in range(len(results))], "other results"
    assert worker["pid"] != os.getpid(), "not in a worker"
    print("REPORT", json.dumps({"program": state(), "worker": worker}), flush=True)


def for_workers() -> dict[str, str]:
    """Variables that the workers are to have and this program has not."""
    return dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
