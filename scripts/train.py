#!/usr/bin/env python3
"""What the profile of a release build is taken from: `maturin build --release --pgo` runs it.

Dumps and loads the data of `python -m oxipickle bench`, not the benchmark set of `benches/`, by
which the gain is judged, and what that has none of: what a profile never meets is made small and
slow. Run it with a Python that has the instrumented wheel; it prints nothing.
"""

from __future__ import annotations

import io
import time
from typing import Any

from oxipickle import PickleBuffer, Pickler, Unpickler, dump, dumps, load, loads
from oxipickle._samples import default_cases

#: Seconds for each case, so that many small messages count as much as a few large objects.
SECONDS = 0.5
PROTOCOLS = (5, 4, 5, 2)


class Reduced:
    """Has a reduce method in Python."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"number {number}"

    def __reduce__(self) -> tuple[type, tuple[int], dict[str, object]]:
        return Reduced, (self.number,), self.__dict__


class Hooked(Pickler):
    """Asks about each object, as cloudpickle does."""

    def reducer_override(self, obj: Any) -> Any:
        """Leaves it as it is."""
        return NotImplemented


def others() -> list[object]:
    """Text of several scripts, buffers, and objects with methods of their own."""
    texts = [
        "Grüße aus der Straße. ",
        "в начале было слово ",
        "初めに言葉があった。",
        "so it begins 🙂 ",
    ]
    return [
        [text * 3_000 for text in texts],
        [PickleBuffer(bytearray(80 * number)) for number in range(100)],
        [Reduced(number) for number in range(1_000)],
    ]


def round_trip(obj: object, protocol: int) -> None:
    """Through every entry point."""
    loads(dumps(obj, protocol))
    file = io.BytesIO()
    dump(obj, file, protocol)
    Pickler(file, protocol).dump(obj)
    file.seek(0)
    load(file)
    Unpickler(file).load()


def main() -> None:
    """Entry point."""
    for item in others():
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            loads(dumps(item, PROTOCOLS[0]))
            Hooked(io.BytesIO(), PROTOCOLS[0]).dump(item)
    for case in default_cases():
        made = case.make()
        objects = made if case.messages else [made]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for protocol in PROTOCOLS:
                for obj in objects:
                    loads(dumps(obj, protocol))
        # The other ways in share what is below them: once each is enough.
        for obj in objects:
            round_trip(obj, PROTOCOLS[0])


if __name__ == "__main__":
    main()
