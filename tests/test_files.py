"""Real files, sockets' makefiles, compressed files and archives, as users open them.

What is called on a file, and with which arguments, is compared in `test_load.py` and
`test_parity_bytes.py` on files made for it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import os
import socket
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from corpus import CASES
from support import PROTOCOLS, Raised, Recorder, agree, attempt, c, isomorphic, ox

VALUES = [
    "document",
    "between_70000",
    "dict_of_1001_str",
    "frames_of_documents",
    "large_and_small_in_turn",
]


def loaded(obj: Any) -> Any:
    """What a load has to give: C's own load (some objects hold caches that are no state)."""
    return c.loads(c.dumps(obj, 4))


def files(path: Path) -> dict[str, Any]:
    """Openers for writing and reading, by name."""
    return {
        "buffered": lambda mode: open(path, mode),
        "unbuffered": lambda mode: open(path, mode, buffering=0),
        "small buffer": lambda mode: open(path, mode, buffering=16),
        "gzip": lambda mode: gzip.open(path, mode),
        "bz2": lambda mode: bz2.open(path, mode),
        "lzma": lambda mode: lzma.open(path, mode),
        "both ways": lambda mode: open(path, {"wb": "w+b", "rb": "r+b"}[mode]),
        "random": lambda mode: io.BufferedRandom(io.FileIO(path, {"wb": "w+", "rb": "r+"}[mode])),
        "spooled": lambda mode: SpooledOnDisk(path, mode),
    }


class SpooledOnDisk:
    """A wrapper in Python around a temporary file, with the methods of its inner one."""

    def __init__(self, path: Path, mode: str) -> None:
        self.path, self.mode = path, mode
        self.inner = tempfile.SpooledTemporaryFile(max_size=1000)
        if mode == "rb":
            self.inner.write(path.read_bytes())
            self.inner.seek(0)

    def __enter__(self) -> Any:
        return self.inner

    def __exit__(self, *_: Any) -> None:
        if self.mode == "wb":
            self.inner.seek(0)
            self.path.write_bytes(self.inner.read())
        self.inner.close()


KINDS = list(files(Path()))


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_through(kind: str, tmp_path: Path) -> None:
    """Several pickles in one file, each way round between ours and C."""
    for protocol in (0, 2, 4, 5):
        names = [n for n in VALUES if kind != "unbuffered" or not n.startswith("frames")]
        objects = [CASES[name]() for name in names]
        plain: dict[Any, Any] = {}
        for mod in (ox, c):
            path = tmp_path / f"{mod.__name__}{protocol}"
            opener = files(path)[kind]
            with opener("wb") as file:
                for obj in objects:
                    mod.dump(obj, file, protocol)
            with opener("rb") as file:
                plain[mod] = file.read()
            for reader in (ox, c):
                with opener("rb") as file:
                    for obj in objects:
                        assert isomorphic(reader.load(file), loaded(obj)) is None
                    assert attempt(reader.load, file).type is EOFError
        agree(plain[ox], plain[c], f"{kind}, protocol {protocol}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_through_a_pipe(protocol: int) -> None:
    """A file that cannot seek and gives what it has."""
    objects = [CASES[name]() for name in VALUES]
    for writer, reader in ((ox, c), (c, ox), (ox, ox)):
        read_end, write_end = os.pipe()

        def send(writer: Any = writer, write_end: int = write_end) -> None:
            with open(write_end, "wb") as out:
                for obj in objects:
                    writer.dump(obj, out, protocol)

        thread = threading.Thread(target=send)
        thread.start()
        with open(read_end, "rb") as file:
            for obj in objects:
                assert isomorphic(reader.load(file), loaded(obj)) is None
            assert attempt(reader.load, file).type is EOFError
        thread.join()


def test_through_a_socket() -> None:
    objects = [CASES[name]() for name in VALUES]
    for mode in ("buffered", "plain"):
        one, two = socket.socketpair()

        def send(one: socket.socket = one) -> None:
            with one, one.makefile("wb") as out:
                for obj in objects:
                    ox.dump(obj, out)

        thread = threading.Thread(target=send)
        thread.start()
        with two, two.makefile("rb", buffering=64 if mode == "plain" else -1) as file:
            for obj in objects:
                assert isomorphic(ox.load(file), loaded(obj)) is None
        thread.join()


def test_an_unbuffered_pipe_that_gives_little() -> None:
    """A raw file may read short; C takes that as the end, and so do we."""

    class Little(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data, self.at = data, 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            part = self.data[self.at : self.at + min(len(buffer), 3)]
            buffer[: len(part)] = part
            self.at += len(part)
            return len(part)

    for protocol in PROTOCOLS:
        for obj in ([1, 2], "longer text", b"bytes" * 30, {"k": 1.5}, CASES["document"]()):
            data = c.dumps(obj, protocol)
            ours, theirs = attempt(ox.load, Little(data)), attempt(c.load, Little(data))
            if isinstance(theirs, Raised):
                agree(ours, theirs, f"protocol {protocol}")
            else:
                assert isomorphic(ours, theirs) is None
            assert isomorphic(ox.load(io.BufferedReader(Little(data))), c.loads(data)) is None


def test_in_a_zip_archive(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    obj = CASES["document"]()
    with zipfile.ZipFile(path, "w") as archive:
        for mod in (ox, c):
            with archive.open(mod.__name__, "w") as member:
                mod.dump(obj, member, 4)
    with zipfile.ZipFile(path) as archive:
        assert archive.read(ox.__name__) == archive.read(c.__name__)
        for mod in (ox, c):
            with archive.open(c.__name__) as member:
                assert isomorphic(mod.load(member), loaded(obj)) is None


def test_from_mapped_memory(tmp_path: Path) -> None:
    path = tmp_path / "mapped"
    obj = CASES["frames_of_documents"]()
    path.write_bytes(c.dumps(obj, 5))
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert isomorphic(ox.loads(data), loaded(obj)) is None
        assert isomorphic(ox.load(data), loaded(obj)) is None
        data.seek(0)
        first = c.load(data), data.tell()
        data.seek(0)
        assert (isomorphic(ox.load(data), first[0]), data.tell()) == (None, first[1])


def test_closed_files(tmp_path: Path) -> None:
    path = tmp_path / "closed"
    file = open(path, "w+b")
    pickler, reader = ox.Pickler(file), ox.Unpickler(file)
    theirs = c.Pickler(file), c.Unpickler(file)
    file.close()
    agree(attempt(pickler.dump, [1]), attempt(theirs[0].dump, [1]))
    agree(attempt(reader.load), attempt(theirs[1].load))
    agree(attempt(ox.dump, 1, file), attempt(c.dump, 1, file))
    agree(attempt(ox.load, file), attempt(c.load, file))
    held = io.BytesIO()
    held.close()
    agree(attempt(ox.dump, 1, held), attempt(c.dump, 1, held))
    agree(attempt(ox.load, held), attempt(c.load, held))


def test_files_of_the_wrong_kind(tmp_path: Path) -> None:
    path = tmp_path / "wrong"
    path.write_text("text\n")
    for mode in ("r", "w", "rb", "wb", "r+"):
        outcomes = []
        for mod in (ox, c):
            with open(path, mode) as file:
                outcomes.append([attempt(mod.dump, [1], file, 2), attempt(mod.load, file)])
        for mine, other in zip(*outcomes):
            agree(mine, other, mode)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_write_gets_is_writable_everywhere(protocol: int) -> None:
    """Each object handed over goes through `os.write`, `BytesIO`, `join` and `zlib` alike."""
    zlib = __import__("zlib")
    out = Recorder()
    obj = [b"b" * 70000, "s" * 70000, "é" * 70000, bytearray(70000), list(range(1000))]
    ox.dump(obj, out, protocol)
    joined = b"".join(out.objects)
    assert joined == c.dumps(obj, protocol)
    target = io.BytesIO()
    for data in out.objects:
        assert target.write(data) == memoryview(data).nbytes
        assert zlib.decompress(zlib.compress(data)) == bytes(data)
        assert len(data) == memoryview(data).nbytes, "len() counts bytes"
    assert target.getvalue() == joined


def test_a_file_object_written_in_python_alone() -> None:
    class Own:
        def __init__(self, data: bytes = b"") -> None:
            self.data, self.at = bytearray(data), 0

        def write(self, data: Any) -> None:
            self.data += data

        def read(self, size: int) -> bytes:
            self.at += size
            return bytes(self.data[self.at - size : self.at])

        def readline(self) -> bytes:
            end = self.data.index(b"\n", self.at) + 1
            line = bytes(self.data[self.at : end])
            self.at = end
            return line

    for protocol in PROTOCOLS:
        for name in VALUES:
            obj = CASES[name]()
            out = Own()
            ox.dump(obj, out, protocol)
            agree(bytes(out.data), c.dumps(obj, protocol), name)
            assert isomorphic(ox.load(Own(bytes(out.data))), loaded(obj)) is None


def test_one_pickler_one_unpickler_many_records(tmp_path: Path) -> None:
    """The memo spans the records of a file, in both directions between ours and C."""
    shared = [1, "shared", {"k": (1, 2)}]
    records = [shared, {"again": shared}, "text", [shared, "text"], shared]
    for writer in (ox, c):
        path = tmp_path / writer.__name__
        with open(path, "wb") as out:
            pickler = writer.Pickler(out, 4)
            for record in records:
                pickler.dump(record)
        for reader in (ox, c):
            with open(path, "rb") as file:
                unpickler = reader.Unpickler(file)
                loaded = [unpickler.load() for _ in records]
            assert loaded == records
            assert loaded[1]["again"] is loaded[0] is loaded[3][0] is loaded[4]
    assert (tmp_path / ox.__name__).read_bytes() == (tmp_path / c.__name__).read_bytes()


class Looking(io.BytesIO):
    """Looks at the memory that it is to fill."""

    seen = b""

    def readinto(self, memory: Any) -> int:
        self.seen += bytes(memory)
        return super().readinto(memory)


@pytest.mark.parametrize("payload", [b"x" * 300_000, bytearray(b"y" * 3_000_000)])
def test_memory_to_fill_shows_nothing(payload: Any) -> None:
    """What was in the memory before is nobody's business: a file in Python sees zeros."""
    data = c.dumps(payload, 5)
    for _ in range(3):
        looking = Looking(data)
        assert ox.load(looking) == payload
        assert looking.seen.strip(b"\0") == b"" and len(looking.seen) >= len(payload) - 1

        # The same by a function in C whose owner is a BytesIO, but which reads.
        kept, source = io.BytesIO(), io.BytesIO(data)
        borrowing = SimpleNamespace(read=source.read, readline=source.readline, readinto=kept.write)
        attempt(ox.load, borrowing)
        assert kept.getvalue() and kept.getvalue().strip(b"\0") == b""

        # A buffered file hands a large buffer to the raw file below, which may be in Python.
        raw = Raw(data)
        assert ox.load(io.BufferedReader(raw, 8192)) == payload
        assert raw.seen.strip(b"\0") == b""


class Raw(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self.source, self.seen = io.BytesIO(data), b""

    def readable(self) -> bool:
        return True

    def readinto(self, memory: Any) -> int:
        if len(memory) > 100_000:  # no buffer of the reader's own
            self.seen += bytes(memory)
        return self.source.readinto(memory)
