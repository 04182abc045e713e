"""Mutated real streams: the same success or exception type as C, and no crash.

120,000 streams by a fixed seed, in chunks, a third of them on each version; each chunk is a child process
with little memory, since older C believes sizes, and since a crash has to be attributed. What may differ is stated in
`mutations.allowed_by`. A difference is confirmed in a fresh process before it counts: mutated
streams may change classes for those that come after them.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import TESTS

CHUNKS = 24
#: Those of this version. `tests/fuzz` goes on from there.
OWN = [(5 * sys.version_info[1] + number) % CHUNKS for number in range(CHUNKS // 3)]
STREAMS_PER_CHUNK = 5000
STATE_SIZE = 1 << 16


def child(*args: str, timeout: float = 300) -> subprocess.CompletedProcess[bytes]:
    env = dict(os.environ, PYTHONHASHSEED="0", PYTHONFAULTHANDLER="1")
    env["PYTHONPATH"] = os.pathsep.join([str(TESTS), *(path for path in sys.path if path)])
    return subprocess.run(
        [sys.executable, str(TESTS / "mutations.py"), *args],
        capture_output=True,
        env=env,
        timeout=timeout,
        check=False,
    )


def lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]


@pytest.mark.parametrize("chunk", OWN)
def test_mutated_streams(chunk: int, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(bytes(STATE_SIZE))
    start, differences = 0, []
    while True:
        done = child(str(1000 + chunk), str(STREAMS_PER_CHUNK), str(start), str(state))
        found = lines(done)
        differences += [line for line in found if "stream" in line]
        if done.returncode == 0 and found and found[-1] == {"done": STREAMS_PER_CHUNK}:
            break
        number, turn, how, size = struct.unpack_from("<IIII", state.read_bytes())
        stream = state.read_bytes()[16 : 16 + size]
        if turn & 0xFF != 2:  # it is C's turn: its crash is not ours to answer for
            pytest.fail(
                f"the child ended with {done.returncode} at stream {number} ({how}): {stream.hex()}\n"
                + done.stderr.decode(errors="replace")[-3000:]
            )
        start = number + 1
    confirmed = []
    for line in differences[:10]:  # each costs a process; more of them need no confirming
        again = lines(child("--one", line["stream"], line["how"]))
        confirmed += [{**entry, "number": line["number"]} for entry in again]
    assert not confirmed, json.dumps(confirmed[:5], indent=1)
