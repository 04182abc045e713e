"""What every test shares: the subject, the reference, and ways to compare the two.

`ox` is the extension under test, `c` the running interpreter's own `_pickle`. No expected bytes or
texts are stored by version: the interpreter is asked in the same process. Must not import `pickle`
names as a reference (they may be ours when the package is installed into it).
"""

from __future__ import annotations

import importlib
import io
import os
import pickletools
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

c: Any = importlib.import_module("_pickle")
ox: Any = importlib.import_module("oxipickle._pickle")

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PROTOCOLS = range(6)
PY = sys.version_info[:3]

#: Patch releases from which C refuses nested use of one Pickler or Unpickler (gh-143638).
C_REFUSES_REENTRY = PY >= (3, 15) or (3, 14, 3) <= PY < (3, 15) or (3, 13, 12) <= PY < (3, 14)
#: Patch releases from which C enforces frame boundaries while loading.
C_ENFORCES_FRAMES = PY >= (3, 15) or (3, 14, 7) <= PY < (3, 15) or (3, 13, 15) <= PY < (3, 14)
#: We follow the newest patch release of the minor version: 3.13 and later enforce frames.
WE_ENFORCE_FRAMES = PY >= (3, 13)
#: The two texts that only the newer rule can give.
FRAME_ERRORS = (
    "pickle exhausted before end of frame",
    "beginning of a new frame before end of current frame",
)
#: From 3.14 C adds notes that name the path to the object that failed; we do on every version.
C_HAS_NOTES = PY >= (3, 14)
#: From 3.15 C believes a length field only as far as data arrives; we do on every version.
C_BOUNDS_LENGTHS = PY >= (3, 15)
#: `Unpickler.memo.clear()` also resets the counter of MEMOIZE from these releases on.
C_CLEAR_RESETS = PY >= (3, 15, 2) or (3, 14, 10) <= PY < (3, 15)
#: 3.13.0 made `persistent_id` read-only on instances; 3.13.1 gave the assignment back.
C_HOOKS_READ_ONLY = PY == (3, 13, 0)


# --- outcomes -------------------------------------------------------------------------------


class Raised(NamedTuple):
    """An exception as far as two implementations must agree on it."""

    type: type[BaseException]
    text: str
    notes: tuple[str, ...]
    context: Any  #: `Raised` or None
    cause: Any  #: `Raised` or None
    suppressed: bool


_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")


def masked(text: str) -> str:
    """*text* without what differs between an object and its twin.

    That is addresses, and the order of a set in which objects are that hash by theirs.
    """
    found = _ADDRESS.sub("0x?", text)
    if found == text or "{" not in text:
        return found
    return " ".join(sorted(re.findall(r"\w+|\S", found)))


#: The first of the notes by which our loads say where they failed, and those that may follow it.
_LOADING = re.compile(r"at byte \d+, (opcode [A-Z][A-Z0-9_]*(, .*)?|no opcode|reading an opcode)")
_INSIDE = re.compile(r"when (loading|filling) .+|\(\d+ levels are left out here\)")


def notes_of(error: BaseException) -> tuple[str, ...]:
    """All notes of an exception."""
    return tuple(getattr(error, "__notes__", ()))


def without_loading_notes(notes: tuple[str, ...]) -> tuple[str, ...]:
    """*notes* without those that our loads add and C's do not."""
    kept: list[str] = []
    inside = False
    for note in notes:
        starts = _LOADING.fullmatch(note) is not None
        inside = starts or (inside and _INSIDE.fullmatch(note) is not None)
        if not inside:
            kept.append(note)
    return tuple(kept)


def raised(error: BaseException, depth: int = 4) -> Raised:
    """Describe *error*; addresses are masked, contexts followed *depth* deep.

    The notes that say where a load of ours failed are left out: C has none. `test_load_notes.py`
    has them.
    """

    def below(other: BaseException | None) -> Raised | None:
        return None if other is None or depth == 0 else raised(other, depth - 1)

    try:
        text = str(error)
    except Exception as broken:  # the text itself may run user code
        text = f"<{type(broken).__name__}>"
    return Raised(
        type(error),
        masked(text),
        tuple(masked(note) for note in without_loading_notes(notes_of(error))),
        below(error.__context__),
        below(error.__cause__),
        error.__suppress_context__,
    )


def attempt(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of the call, or a `Raised` that describes why there is none."""
    try:
        return function(*args, **kwargs)
    except (Exception, SystemExit, GeneratorExit) as error:
        error.__traceback__ = None
        return raised(error)
    except KeyboardInterrupt as error:
        if not error.args:  # somebody at the keyboard, not a test
            raise
        return raised(error)


def same_error(ours: Any, theirs: Any, *, notes: bool = True) -> bool:
    """Same type, text, notes, context and cause; notes are ours alone before 3.14."""
    if not isinstance(ours, Raised) or not isinstance(theirs, Raised):
        return False
    if ours.type is theirs.type is RecursionError:
        return True  # when it comes, and so its text and notes, is a matter of each one's stack
    if ours[:2] != theirs[:2] or ours.suppressed != theirs.suppressed:
        return False
    if notes and C_HAS_NOTES and ours.notes != theirs.notes:
        return False
    for mine, other in ((ours.context, theirs.context), (ours.cause, theirs.cause)):
        if (mine is None) != (other is None):
            return False
        if mine is not None and not same_error(mine, other, notes=notes):
            return False
    return True


# --- writing --------------------------------------------------------------------------------


class Recorder:
    """An output file that keeps what `write` was given, as (type, size) and the object itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[type, bytes]] = []
        self.objects: list[Any] = []

    def write(self, data: Any) -> int:
        copy = bytes(memoryview(data).cast("B")) if len(memoryview(data)) else b""
        self.calls.append((type(data), copy))
        self.objects.append(data)
        return len(copy)

    def getvalue(self) -> bytes:
        return b"".join(data for _, data in self.calls)

    def sizes(self) -> list[int]:
        return [len(data) for _, data in self.calls]


def dump_bytes(mod: Any, obj: Any, protocol: int | None = None, **kwargs: Any) -> bytes:
    out = io.BytesIO()
    mod.dump(obj, out, protocol, **kwargs)
    return out.getvalue()


def pickler_twice(mod: Any, obj: Any, protocol: int | None = None, **kwargs: Any) -> bytes:
    """Two streams from one Pickler, the second against the memo of the first."""
    out = io.BytesIO()
    pickler = mod.Pickler(out, protocol, **kwargs)
    pickler.dump(obj)
    pickler.dump(obj)
    return out.getvalue()


def pickler_cleared(mod: Any, obj: Any, protocol: int | None = None, **kwargs: Any) -> bytes:
    """Two streams from one Pickler with its memo cleared in between."""
    out = io.BytesIO()
    pickler = mod.Pickler(out, protocol, **kwargs)
    pickler.dump(obj)
    pickler.clear_memo()
    pickler.dump(obj)
    return out.getvalue()


def pickler_memo(mod: Any, obj: Any, protocol: int | None = None, **kwargs: Any) -> Any:
    """The indices and types of what one dump left in the memo, in index order."""
    pickler = mod.Pickler(io.BytesIO(), protocol, **kwargs)
    pickler.dump(obj)
    entries = sorted(pickler.memo.copy().values(), key=lambda entry: entry[0])
    return [(index, type(value).__qualname__) for index, value in entries]


def subclass_dump(mod: Any, obj: Any, protocol: int | None = None, **kwargs: Any) -> bytes:
    """Through a subclass that overrides nothing."""

    class Plain(mod.Pickler):
        pass

    out = io.BytesIO()
    Plain(out, protocol, **kwargs).dump(obj)
    return out.getvalue()


def dumps_bytes(mod: Any, obj: Any, protocol: int | None = None, **kwargs: Any) -> bytes:
    return mod.dumps(obj, protocol, **kwargs)


def write_log(mod: Any, obj: Any, protocol: int | None = None, **kwargs: Any) -> list[Any]:
    """The calls of `write` as (type name, data).

    A large `str` is handed over as `bytes` by C and may be a `memoryview` on the string's own
    UTF-8 from us: both are named "payload or buffer".
    """
    out = Recorder()
    mod.dump(obj, out, protocol, **kwargs)
    log: list[Any] = []
    for kind, data in out.calls:
        name = "bytes" if kind is memoryview else kind.__name__
        log.append((name, data))
    return log


#: Every way to write one object. All must agree with C, and so with each other.
WAYS: dict[str, Callable[..., Any]] = {
    "dumps": dumps_bytes,
    "dump": dump_bytes,
    "Pickler.dump twice": pickler_twice,
    "Pickler.dump, clear_memo, dump": pickler_cleared,
    "Pickler subclass": subclass_dump,
    "memo after dump": pickler_memo,
    "write calls": write_log,
}


def _listing(stream: bytes) -> list[str]:
    lines = []
    try:
        for opcode, arg, pos in pickletools.genops(stream):
            shown = repr(arg)
            lines.append(f"{pos:>6} {opcode.name} {shown if len(shown) < 80 else shown[:77]}")
    except Exception as error:
        lines.append(f"       ({type(error).__name__}: {error})")
    return lines


def explain(ours: Any, theirs: Any) -> str:
    """A short account of the first difference: bytes are shown as opcodes."""
    if not (isinstance(ours, bytes) and isinstance(theirs, bytes)):
        return f"\n  ours   {_short(ours)}\n  theirs {_short(theirs)}"
    where = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs))
    )
    mine, other = _listing(ours), _listing(theirs)
    line = next(
        (i for i, (a, b) in enumerate(zip(mine, other)) if a != b), min(len(mine), len(other))
    )
    lo = max(0, line - 4)
    return "\n".join(
        [
            f"first different byte {where} (lengths {len(ours)} and {len(theirs)})",
            f"  ours   {ours[max(0, where - 8) : where + 16].hex(' ')}",
            f"  theirs {theirs[max(0, where - 8) : where + 16].hex(' ')}",
            "  ours:",
            *("    " + text for text in mine[lo : line + 4]),
            "  theirs:",
            *("    " + text for text in other[lo : line + 4]),
        ]
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 1500 else text[:1000] + " … " + text[-400:]


def agree(ours: Any, theirs: Any, label: str = "") -> None:
    """Fail unless two outcomes are the same value or the same exception."""
    if isinstance(ours, Raised) or isinstance(theirs, Raised):
        same = same_error(ours, theirs)
    else:
        same = type(ours) is type(theirs) and ours == theirs
    if not same:
        # `raise` and not `assert`: pytest's own comparison of long bytes takes minutes
        raise AssertionError(f"{label}: {explain(ours, theirs)}")


def same_bytes(
    make: Callable[[], Any],
    protocols: Iterable[int] = PROTOCOLS,
    *,
    ways: Iterable[str] = WAYS,
    shared: bool = True,
    fresh: bool = True,
    **kwargs: Any,
) -> None:
    """Compare every way of writing what *make* returns with C.

    shared: one object is written by us, by C and again by us: the first run sees it untouched, the
    last one as C leaves it (materialised ``__dict__``, cached UTF-8).
    fresh: each side gets an object of its own, and holds the only reference to it. For reducers
    that count their calls or change the world this is the only fair comparison.
    """
    for protocol in protocols:
        for name in ways:
            way = WAYS[name]
            label = f"{name}, protocol {protocol}"
            if shared:
                obj = make()
                first = attempt(way, ox, obj, protocol, **kwargs)
                theirs = attempt(way, c, obj, protocol, **kwargs)
                again = attempt(way, ox, obj, protocol, **kwargs)
                agree(first, theirs, label)
                agree(again, theirs, label + ", again after C")
                del obj
            if fresh:
                ours = attempt(way, ox, make(), protocol, **kwargs)
                theirs = attempt(way, c, make(), protocol, **kwargs)
                agree(ours, theirs, label + ", fresh objects")


# --- loaded objects -------------------------------------------------------------------------


_ATOMS = (type(None), bool, int, str, bytes, range, type, type(Ellipsis), slice)


def isomorphic(a: Any, b: Any) -> str | None:
    """None if two object graphs have the same shape, types, values and sharing, else the path.

    Sharing counts for everything that can change or refer; equal strings or numbers may or may not
    be one object. Sets are compared through their atoms and otherwise by size.
    """
    forward: dict[int, Any] = {}
    backward: dict[int, Any] = {}
    todo: list[tuple[str, Any, Any]] = [("", a, b)]
    keep: list[Any] = []
    while todo:
        path, x, y = todo.pop()
        if type(x) is not type(y):
            return f"{path}: {type(x).__name__} and {type(y).__name__}"
        if isinstance(x, types.ModuleType):
            if x is not y:
                return f"{path}: {x!r} is not {y!r}"
            continue
        if isinstance(x, (float, complex)):
            if repr(x) != repr(y):
                return f"{path}: {x!r} and {y!r}"
            continue
        if isinstance(x, _ATOMS) and type(x) in _ATOMS:
            if x != y:
                return f"{path}: {_short(x)} and {_short(y)}"
            continue
        if callable(x) and hasattr(x, "__qualname__"):
            owner_x, owner_y = getattr(x, "__self__", None), getattr(y, "__self__", None)
            if owner_x is not None and owner_y is not None and not isinstance(owner_x, type):
                if x.__name__ != y.__name__:
                    return f"{path}: {x!r} and {y!r}"
                todo.append((f"{path}.__self__", owner_x, owner_y))
            elif x is not y and x != y:
                return f"{path}: {x!r} is not {y!r}"
            continue
        seen = id(x) in forward
        if seen != (id(y) in backward) or (seen and forward[id(x)] is not y):
            if not (isinstance(x, tuple) and not x):
                return f"{path}: shared differently"
        if seen:
            continue
        forward[id(x)], backward[id(y)] = y, x
        if isinstance(x, (tuple, list)):
            base = tuple if isinstance(x, tuple) else list  # `__len__` and `__iter__` may lie
            sizes = base.__len__(x), base.__len__(y)
            if sizes[0] != sizes[1]:
                return f"{path}: lengths {sizes[0]} and {sizes[1]}"
            for i in range(sizes[0]):
                todo.append((f"{path}[{i}]", base.__getitem__(x, i), base.__getitem__(y, i)))
        elif isinstance(x, dict):
            xs, ys = list(dict.items(x)), list(dict.items(y))
            if len(xs) != len(ys):
                return f"{path}: sizes {len(xs)} and {len(ys)}"
            for i, ((kx, vx), (ky, vy)) in enumerate(zip(xs, ys)):
                todo.append((f"{path}<key {i}>", kx, ky))
                todo.append((f"{path}<value {i}>", vx, vy))
        elif isinstance(x, (set, frozenset)):
            if len(x) != len(y):
                return f"{path}: sizes {len(x)} and {len(y)}"
            atoms = (int, str, bytes, float, type(None), bool)
            # by repr: a nan equals nothing
            if {repr(e) for e in x if type(e) in atoms} != {repr(e) for e in y if type(e) in atoms}:
                return f"{path}: other elements"
        elif isinstance(x, (bytearray, memoryview)):
            if bytes(x) != bytes(y):
                return f"{path}: other bytes"
        state_x, state_y = getattr(x, "__dict__", None), getattr(y, "__dict__", None)
        keep += [state_x, state_y]
        if isinstance(state_x, dict) or isinstance(state_y, dict):
            todo.append((f"{path}.__dict__", state_x, state_y))
        for cls in type(x).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name in ("__dict__", "__weakref__"):
                    continue
                if name.startswith("__") and not name.endswith("__"):
                    name = f"_{cls.__name__.lstrip('_')}{name}"
                missing = object()
                vx, vy = getattr(x, name, missing), getattr(y, name, missing)
                if (vx is missing) != (vy is missing):
                    return f"{path}.{name}: set on one side only"
                if vx is not missing:
                    todo.append((f"{path}.{name}", vx, vy))
    return None


def dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


# --- child processes ------------------------------------------------------------------------


def run_child(
    code: str, *args: str, timeout: float = 120, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run *code* in a fresh interpreter that can import the tests' helpers.

    Used where the reference may crash or where memory limits must not touch this process.
    """
    env = dict(os.environ)
    path = [str(TESTS), *(entry for entry in sys.path if entry)]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    env["PYTHONFAULTHANDLER"] = "1"
    if "LD_PRELOAD" not in env:
        # What memcheck wants; it does not look into children.
        env.pop("PYTHONMALLOC", None)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        input=stdin,
        capture_output=True,
        env=env,
        timeout=timeout,
        check=False,
    )


def child_ok(code: str, *args: str, timeout: float = 120) -> str:
    """Output of a child that must end well."""
    done = run_child(code, *args, timeout=timeout)
    assert done.returncode == 0, (
        f"child ended with {done.returncode}\n{done.stderr.decode(errors='replace')[-3000:]}"
    )
    return done.stdout.decode()
