"""Every action of user code in every place where it runs: no crash, a defined end, a subject that works.

The cells are in `cells.py`. Ours run in this process. Those of C run in child processes, one for each
cell that may end them; where C comes to an end of its own in its newest patch releases, the ends are the same.
"""

from __future__ import annotations

import ast
import sys

import pytest

import cells

from support import C_REFUSES_REENTRY, PY, ox, run_child

CELLS = [
    pytest.param(way, hook, id=f"{way}-{hook}")
    for way, (_, hooks) in cells.CELLS.items()
    for hook in hooks
]

#: Ends that need no explanation: what the actions raise, and what errors their damage leads to.
ENDS = ("done", "Stop", "RuntimeError", "ValueError", "PicklingError", "UnpicklingError")
#: What else may come out, in a load whose list, memo or file was changed.
OTHER_ENDS = ("EOFError", "TypeError", "AttributeError", "BufferError")

#: Patch releases whose C has all the fixes that we follow.
C_IS_NEW = PY >= (3, 15, 2) or (3, 14, 10) <= PY < (3, 15) or (3, 13, 18) <= PY < (3, 14)


def is_known(hook: str, action: str) -> bool:
    """Whether the end is another one than that of C, and ours is as good or better."""
    if hook == "__del__":
        return True  # when the iterator of a reduce value is let go is not promised
    # An Unpickler of C whose memo is replaced while it is empty does not find the next entries, or
    # crashes.
    return hook in cells.FILE_HOOKS and action in ("replace_memo", "replace_memo_by_itself")


@pytest.fixture(autouse=True)
def _no_world_is_left():
    yield
    assert not cells.CURRENT


def c_ends(way: str, hook: str) -> dict[str, str]:
    """Action -> how the cell ends with C; one that crashes is missing."""
    ends: dict[str, str] = {}
    left = [name for name in cells.NAMES if C_REFUSES_REENTRY or name not in cells.REFUSED]
    while left:
        done = run_child("import cells; cells.main()", way, hook, *left)
        for line in done.stdout.decode().splitlines():
            kind, action, *rest = line.split(" ", 2)
            left = [name for name in left if name != action]
            if kind == "ends":
                ends[action] = ast.literal_eval(rest[0])
        if done.returncode == 0:
            break
    return ends


@pytest.mark.parametrize("way,hook", CELLS)
def test_every_action_in_every_hook_has_a_defined_end(way: str, hook: str) -> None:
    cell = cells.CELLS[way][0]
    ours = {action: cell(ox, hook, action) for action in cells.NAMES}
    for action, end in ours.items():
        outcome, *_, after = end.split(" | ")
        if outcome.split(":")[0].isidentifier() and ":" in outcome:
            assert outcome.startswith(ENDS + OTHER_ENDS), f"{action}: {end}"
        assert after.startswith("done") and "Error" not in after, f"{action}: {end}"
        if action in ("again", "init"):
            assert "object is already used" in end, f"{action}: {end}"
    reached = [end for end in ours.values() if len(end.split(" | ")) > (3 if way == "dump" else 2)]
    assert reached, "no action was run"
    if not C_IS_NEW:
        return
    for action, end in c_ends(way, hook).items():
        if not is_known(hook, action):
            # Not the last part: after a second `__init__` C reads on in what `peek` of the first
            # file showed.
            assert ours[action].split(" | ")[:-1] == end.split(" | ")[:-1], action


def test_c_crashes_are_seen_as_such() -> None:
    """The child's way of telling: what has started and not ended is not compared."""
    done = run_child("import os; print('starts x', flush=True); os.abort()")
    assert done.returncode != 0 and done.stdout == b"starts x\n"
    assert sys.version_info[:3] == PY
