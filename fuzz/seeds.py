"""Makes seeds for the fuzz targets of the byte format: streams of all protocols, and the opcodes.

    python fuzz/seeds.py FOLDER

writes FOLDER/streams/* and FOLDER/opcodes.dict, which libFuzzer takes as corpus and as -dict.
"""

from __future__ import annotations

import collections
import datetime
import pickle
import pickletools
import sys
from pathlib import Path
from typing import Any

OBJECTS: list[Any] = [
    [None, True, False, 0, 255, 65535, -1, 1 << 40, 1 << 2100, 0.5, "text", "é€😀\n\\", b"bytes"],
    {"a": [1, (2,), (3, 4), (5, 6, 7), (8, 9, 10, 11)], "b": {1, 2}, "c": frozenset([3])},
    [bytearray(b"array"), "x" * 300, b"y" * 300, complex(1, 2), range(3), ...],
    [collections.OrderedDict(a=1), datetime.datetime(2020, 1, 1), ValueError("text"), len, int],
    ["z" * 70000, b"z" * 70000],
]


def main() -> None:
    folder = Path(sys.argv[1])
    streams = folder / "streams"
    streams.mkdir(parents=True, exist_ok=True)
    for number, made in enumerate(OBJECTS):
        for protocol in range(6):
            (streams / f"{number}-{protocol}").write_bytes(pickle.dumps(made, protocol))
    lines = [f'{op.name}="\\x{ord(op.code):02x}"' for op in pickletools.opcodes]
    lines += ['long="\\xff\\xff\\xff\\x7f"', 'ssize="\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x7f"']
    (folder / "opcodes.dict").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
