"""Fuzzes loading: a stream is loaded by C and by us, and what came out is dumped by both.

An input is two bytes, the way to load and its details, and then the stream. The outcomes must be the
same: values of the same types, contents and sharing, or the same exception with the same text; the
same calls of the file's methods and of the hooks; the same entries of the memo. Then both dump
what we loaded: the same bytes. What may differ is stated in `mutations.allowed_by` and here in
`_accepted`. Streams can name only what `NAMES` lists.
"""

from __future__ import annotations

import collections
import copyreg
import functools
import gc
import io
import random
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import classes
import corpus
import loaders
import opcodes
import python2_classes
from drive import IDLE, OURS, THEIRS
from mutations import allowed_by, sources
from support import (
    C_ENFORCES_FRAMES,
    PROTOCOLS,
    PY,
    WE_ENFORCE_FRAMES,
    Raised,
    attempt,
    c,
    isomorphic,
    masked,
    ox,
    same_error,
)

_BUILTINS = "bool bytearray bytes complex dict enumerate float frozenset int list object range"
_BUILTINS += " reversed set slice str tuple type zip Ellipsis NotImplemented ValueError OSError"
_BUILTINS += " KeyError StopIteration UnicodeDecodeError ImportError ExceptionGroup len"
_COLLECTIONS = "ChainMap Counter OrderedDict UserDict UserList UserString defaultdict deque"
_COMPLETE = {
    "builtins": _BUILTINS,
    "collections": _COLLECTIONS,
    "datetime": "date datetime time timedelta timezone",
    "copyreg": "_reconstructor __newobj__ __newobj_ex__",
    "copy_reg": "_reconstructor __newobj__",
    "__builtin__": "bytearray dict list object set tuple unicode long xrange Ellipsis",
    "_codecs": "encode",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
    "array": "array",
    "pathlib": "PurePosixPath PosixPath",
    "pathlib._local": "PurePosixPath PosixPath",
    "types": "SimpleNamespace MappingProxyType GenericAlias",
    "functools": "partial",
    "operator": "itemgetter",
    "random": "Random",
    "string": "Template",
    "UserList": "UserList",
    "exceptions": "ValueError KeyError",
    "ast": "Name Constant Load Store",
    "ipaddress": "IPv4Address",
}
#: Of the tests' modules all classes, and these functions.
_FUNCTIONS = {"build", "make", "set_state", "module_function", "a_function"}


_OWN = (classes, corpus, loaders, python2_classes)


def _harmless() -> list[tuple[str, str]]:
    names = [(module, name) for module, line in _COMPLETE.items() for name in line.split()]
    for module in _OWN:
        for name, found in vars(module).items():
            own = getattr(found, "__module__", None) == module.__name__
            if isinstance(found, type) and own or name in _FUNCTIONS:
                names.append((module.__name__, name))
    names += [("corpus", "Outer.Inner"), ("corpus", "Outer.method"), ("corpus", "NotThere")]
    return [*names, ("no_such_module_at_all", "x"), ("corpus", "Outer.<locals>.x"), ("", "")]


NAMES = sorted(_harmless())
_ALLOWED = frozenset(NAMES)
#: Codes of EXT1, EXT2 and EXT4.
EXTENSIONS = {1: ("corpus", "Plain"), 2: ("corpus", "NotThere"), 300: ("corpus", "Slotted")}
#: No class of the extension may be looked at here: these are what streams may change.
_CHANGEABLE = [
    getattr(sys.modules[module], name)
    for module, name in NAMES
    if module in [own.__name__ for own in _OWN] and hasattr(sys.modules[module], name)
]


class Blocked(Exception):
    """The stream asks for a name that is not in `NAMES`."""


def _hook(event: str, args: Any) -> None:
    if event == "pickle.find_class" and args not in _ALLOWED:
        raise Blocked(args)


# --- files ------------------------------------------------------------------------------------


class File:
    """A file whose every call is written down.

    `kind` says which methods there are and how they fall short; sizes follow from `seed`.
    """

    def __init__(self, data: bytes, kind: int, seed: int) -> None:
        self._inner = io.BytesIO(data)
        self._random = random.Random(seed)
        self.log: list[Any] = []
        self.read = self._logged("read", self._read)
        self.readline = self._logged("readline", self._inner.readline)
        self._short = kind in (3, 5)
        self._fails = kind == 6
        if kind in (1, 3, 4, 6):
            self.readinto = self._logged("readinto", self._readinto)
        if kind in (2, 3, 4, 6):
            self.peek = self._logged("peek", self._peek)

    def _logged(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.log.append((name, *(len(a) if isinstance(a, memoryview) else a for a in args)))
            if self._fails and self._random.random() < 0.2:
                raise LookupError("the file fails")
            return method(*args)

        return call

    def _less(self, size: int) -> int:
        return self._random.randrange(size + 1) if self._short and size > 0 else size

    def _read(self, size: int = -1) -> bytes:
        return self._inner.read(self._less(size) if self._random.random() < 0.3 else size)

    def _readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if self._short and self._random.random() < 0.3:
            view = view[: self._less(len(view))]
        return self._inner.readinto(view)

    def _peek(self, size: int = 0) -> bytes:
        at = self._inner.tell()
        ahead = self._inner.read(self._random.choice((1, 2, 7, 64, size, 2 * size)))
        self._inner.seek(at)
        return ahead


# --- ways to load -----------------------------------------------------------------------------

#: A size in the calls on a file that stands for "more than was here": we read a MiB at first.
_PIECE = (1 << 20) - 4 * opcodes.LONGEST

Way = Callable[[Any, bytes, int, list[Any]], Any]


def _loads(mod: Any, data: bytes, detail: int, log: list[Any]) -> Any:
    return mod.loads(data)


def _loads_python2(mod: Any, data: bytes, detail: int, log: list[Any]) -> Any:
    encoding = ("latin1", "bytes", "utf-8", "ASCII", "no such codec")[detail % 5]
    errors = ("strict", "ignore", "surrogateescape")[detail // 5 % 3]
    return mod.loads(data, encoding=encoding, errors=errors, fix_imports=detail % 2 == 0)


def _loads_buffers(mod: Any, data: bytes, detail: int, log: list[Any]) -> Any:
    buffers: Any = [b"one", bytearray(9), memoryview(b"three")][: detail % 4]
    if detail & 4:
        buffers = iter([*buffers, 1])
    source = bytearray(data) if detail & 8 else memoryview(data)
    return mod.loads(source, buffers=buffers)


def _load(mod: Any, data: bytes, detail: int, log: list[Any]) -> Any:
    file = io.BytesIO(data)
    value = attempt(mod.load, file)
    log.append(file.tell())
    return value


def _load_buffered(mod: Any, data: bytes, detail: int, log: list[Any]) -> Any:
    file = io.BufferedReader(io.BytesIO(data), (1, 8, 32, 100)[detail % 4])  # type: ignore[type-var]
    value = attempt(mod.load, file)
    log.append(file.tell())
    return value


def _load_file(mod: Any, data: bytes, detail: int, log: list[Any]) -> Any:
    file = File(data, detail % 7, detail)
    value = attempt(mod.load, file)
    log += file.log
    return value


@functools.cache
def _hooked(mod: Any, detail: int) -> Any:
    class Hooked(mod.Unpickler):
        log: list[Any]

        def persistent_load(self, pid: Any) -> Any:
            self.log.append(("persistent_load", masked(repr(pid))[:80]))
            if detail & 1:
                raise LookupError("no such object")
            return ["loaded"]

        if detail & 2:

            def find_class(self, module: Any, name: Any) -> Any:
                self.log.append(("find_class", module, name))
                if (module, name) not in _ALLOWED:
                    raise Blocked((module, name))
                return super().find_class(module, name)

    return Hooked


def _unpickler(mod: Any, data: bytes, detail: int, log: list[Any]) -> Any:
    file: Any = io.BytesIO(data * 2) if detail & 4 else File(data * 2, detail % 7, detail)
    unpickler = _hooked(mod, detail & 3)(file)
    unpickler.log = log
    values = []
    for _ in range(3):
        value = attempt(unpickler.load)
        values.append(value)
        memo = attempt(unpickler.memo.copy)
        log.append(memo if isinstance(memo, Raised) else sorted(memo))
        if isinstance(value, Raised):
            break
    log += file.log if isinstance(file, File) else [file.tell()]
    return values


WAYS: list[Way] = [_loads, _load, _loads_python2, _loads_buffers, _load_buffered]
WAYS += [_load_file, _unpickler]
#: As they are drawn: what costs most is seldom.
_DRAWN = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 6)


# --- comparing --------------------------------------------------------------------------------


def _bounded(log: list[Any]) -> list[Any]:
    """*log* with a large read as one entry: we read what a length says piece by piece."""
    made: list[Any] = []
    for entry in log:
        if isinstance(entry, tuple) and isinstance(entry[-1], int) and entry[-1] >= _PIECE:
            entry = (entry[0], "large")
            if made and made[-1] == entry:
                continue
        made.append(entry)
    return made


def _asks_again(called: list[Any], expected: list[Any]) -> bool:
    """Whether C alone made one more call after one for a large size."""
    more = len(called) + 1
    return expected[:-1] == called and len(expected) == more and called[-1:] == [("read", "large")]


def _same_but_for_addresses(found: str) -> bool:
    """Whether a difference is one of two texts, as `repr` gives them, with unlike addresses in them."""
    texts = re.search(r": (['\"].*) and (['\"].*)$", found, re.DOTALL)
    return masked(found) != found and texts is not None and masked(texts[1]) == masked(texts[2])


def _both_raised(ours: Any, theirs: Any) -> bool:
    return isinstance(ours, Raised) and isinstance(theirs, Raised)


def _accepted(ours: Any, theirs: Any) -> str | None:
    """The rule by which two outcomes may differ, or None."""
    rule = allowed_by(ours, theirs)
    if rule:
        return rule
    if isinstance(theirs, Raised) and theirs.type is MemoryError:
        return "C had no memory"
    if _both_raised(ours, theirs) and ours.text == "BINSTRING pickle has negative byte count":
        if theirs[:2] == (ours.type, "pickle data was truncated") and (3, 13) <= PY < (3, 13, 5):
            return "a newer patch release names negative lengths"
    return None


class Target:
    """See `drive.py`, which calls these methods."""

    def __init__(self, *, restricted: bool = True) -> None:
        self.notes: collections.Counter[str] = collections.Counter()
        for code, (module, name) in EXTENSIONS.items():
            if (module, name) not in copyreg._extension_registry:  # type: ignore[attr-defined]
                copyreg.add_extension(module, name, code)
        self._snapshot = [(one, dict(vars(one))) for one in _CHANGEABLE if hasattr(one, "__dict__")]
        self._since = 0
        attempt(ox.loads, b"N.")
        if restricted:
            sys.addaudithook(_hook)

    def seeds(self) -> list[bytes]:
        """The tests' streams and corpus at all protocols; large ones say nothing that small do not."""
        found = sorted({data for data in sources() if len(data) <= 600})
        rng = random.Random(0)
        return [bytes((rng.choice(_DRAWN), i % 256)) + d for i, d in enumerate(found)]

    def mutate(self, data: bytes, other: bytes, rng: random.Random) -> bytes:
        head = data[:2]
        if rng.random() < 0.5:
            head = bytes((rng.choice(_DRAWN), rng.randrange(256)))
        return head + opcodes.mutate(data[2:], other[2:], rng, NAMES)

    def parts(self, data: bytes) -> tuple[bytes, list[bytes]]:
        pieces = list(opcodes.split(data[2:]))
        if b"".join(pieces) != data[2:]:  # it has frames
            pieces = [data[i : i + 1] for i in range(2, len(data))]
        return data[:2], pieces

    def whole(self, head: bytes, parts: list[bytes]) -> bytes:
        return head + b"".join(parts)

    def describe(self, data: bytes) -> str:
        return f"{WAYS[data[0] % len(WAYS)].__name__} {data[1]} {data[2:]!r}"

    def restore(self) -> None:
        """Put back what streams may have changed in classes and functions."""
        self._since = 0
        for one, before in self._snapshot:
            now = vars(one)
            if len(now) == len(before) and all(now.get(k, now) is v for k, v in before.items()):
                continue
            for name in [name for name in now if name not in before]:
                attempt(type.__delattr__ if isinstance(one, type) else delattr, one, name)
            for name, value in before.items():
                if vars(one).get(name, now) is not value:
                    attempt(
                        type.__setattr__ if isinstance(one, type) else setattr, one, name, value
                    )

    def ours_alone(self, data: bytes) -> None:
        attempt(WAYS[data[0] % len(WAYS)], ox, data[2:], data[1], [])

    def leak(self, data: bytes, turn: Callable[[int], None]) -> str | None:
        """Whether loading this again and again leaves more and more blocks behind, and C does not."""
        way, times = WAYS[data[0] % len(WAYS)], 24

        def grown(mod: Any) -> int:
            gc.collect()
            before = sys.getallocatedblocks()
            for _ in range(times):
                attempt(way, mod, data[2:], data[1], [])
            gc.collect()
            return sys.getallocatedblocks() - before

        turn(OURS)
        start = time.perf_counter()
        self.ours_alone(data)
        if time.perf_counter() - start > 0.001:
            return None
        # Names that we keep make it grow at first, less and less.
        if any(grown(ox) < times for _ in range(16)):
            return None
        turn(THEIRS)
        if grown(c) >= times:
            return None
        return f"each {times} loads leave {times} blocks or more behind"

    def run(
        self,
        data: bytes,
        turn: Callable[[int], None],
        *,
        c_first: bool = True,
        careful: bool = False,
    ) -> str | None:
        """What differs; if *careful*, one side sees nothing of what the other leaves in classes."""
        self._since += 1
        if self._since > 200:
            self.restore()
        way, detail, stream = WAYS[data[0] % len(WAYS)], data[1], data[2:]
        if b"\x95" in stream and WE_ENFORCE_FRAMES and not C_ENFORCES_FRAMES:
            self.notes["frames, which a newer patch release enforces, so ours alone"] += 1
            turn(OURS)
            attempt(way, ox, stream, detail, [])
            turn(IDLE)
            return None
        outcomes: dict[bool, Any] = {}
        logs: dict[bool, list[Any]] = {True: [], False: []}
        for is_c in (c_first, not c_first):
            turn(THEIRS if is_c else OURS)
            outcomes[is_c] = attempt(way, c if is_c else ox, stream, detail, logs[is_c])
            if careful:
                self.restore()
        theirs, ours = outcomes[True], outcomes[False]
        if way is _unpickler and isinstance(ours, list) and isinstance(theirs, list):
            pairs = list(zip(ours, theirs))
            if len(ours) != len(theirs) and not any(_accepted(*pair) for pair in pairs):
                return f"{len(ours)} loads, with C {len(theirs)}: {shown(ours)} {shown(theirs)}"
        else:
            pairs = [(ours, theirs)]
        called, expected = _bounded(logs[False]), _bounded(logs[True])
        if called != expected and PY >= (3, 15) and _asks_again(called, expected):
            self.notes["C asks again after a first chunk that is short"] += 1
            return None
        for mine, other in pairs:
            found = self._differ(mine, other, turn)
            if found:
                rule = _accepted(mine, other)
                if rule:
                    self.notes[rule] += 1
                    return None
                return f"{found}\n  ours   {shown(mine)}\n  theirs {shown(other)}"
        if called != expected:
            if any(isinstance(other, Raised) and other.type is MemoryError for _, other in pairs):
                self.notes["C had no memory"] += 1
                return None
            return f"other calls:\n  ours   {called!r:.600}\n  theirs {expected!r:.600}"
        for mine, _ in pairs:
            if not isinstance(mine, Raised):
                found = self._dumped(mine, detail, turn, c_first)
                if found:
                    return found
        turn(IDLE)
        return None

    def loaded(self, stream: bytes, turn: Callable[[int], None]) -> str | None:
        """What differs when both load *stream*, which may name anything."""
        turn(THEIRS)
        theirs = attempt(c.loads, stream)
        turn(OURS)
        ours = attempt(ox.loads, stream)
        found = self._differ(ours, theirs, turn)
        turn(IDLE)
        return f"loaded, {found}: {stream!r:.600}" if found else None

    def _differ(self, ours: Any, theirs: Any, turn: Callable[[int], None]) -> str | None:
        if _both_raised(ours, theirs):
            return None if same_error(ours, theirs, notes=False) else "other errors"
        if isinstance(ours, Raised) or isinstance(theirs, Raised):
            return "one fails"
        turn(THEIRS)
        expected = attempt(c.dumps, theirs, 4)
        turn(OURS)  # C writes what we made: a crash is ours to answer for
        written = attempt(c.dumps, ours, 4)
        turn(IDLE)
        if isinstance(written, bytes) and written == expected:
            return None
        found = attempt(isomorphic, ours, theirs)
        if isinstance(found, Raised):
            self.notes["not comparable"] += 1
            return None
        if found is None and isinstance(written, bytes):
            self.notes["equal, with names shared otherwise"] += 1
        if found and _same_but_for_addresses(found):
            self.notes["texts that have an address in them"] += 1
            return None
        return found

    def _dumped(
        self, value: Any, detail: int, turn: Callable[[int], None], c_first: bool
    ) -> str | None:
        """Both dump what we loaded."""
        protocol = detail % len(PROTOCOLS)
        outcomes = {}
        for is_c in (c_first, not c_first):
            turn(THEIRS if is_c else OURS)
            outcomes[is_c] = attempt((c if is_c else ox).dumps, value, protocol)
        turn(IDLE)
        theirs, ours = outcomes[True], outcomes[False]
        if _both_raised(ours, theirs):
            if same_error(ours, theirs):
                return None
        elif ours == theirs:
            return None
        if isinstance(theirs, Raised) and theirs.type in (MemoryError, RecursionError):
            return None
        return f"dumped otherwise, protocol {protocol}: {shown(ours)} and {shown(theirs)}"


def shown(outcome: Any) -> str:
    """A short account of an outcome."""
    if isinstance(outcome, Raised):
        return f"{outcome.type.__name__}: {outcome.text} {outcome.notes} {outcome.context}"[:600]
    return f"{attempt(repr, outcome)!r:.600}"
