"""The package type-checks, and its hand-written stub says what the built module has."""

import pathlib
import pickle
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]

# What stubtest reports and a stub cannot or must not say; each line with its reason.
ALLOWED = """
# Defined by subclasses only; the stub states it so that overriding it is checked, as typeshed does.
oxipickle\\._pickle\\.Pickler\\.reducer_override
# Overridden as methods on every version; before 3.13 the base class has a property here.
oxipickle\\._pickle\\.Pickler\\.persistent_id
oxipickle\\._pickle\\.Unpickler\\.persistent_load
# Python sees the methods of the buffer protocol since 3.12; type checkers need them on 3.11 too.
oxipickle\\._pickle\\.PickleBuffer\\.__buffer__
oxipickle\\._pickle\\.PickleBuffer\\.__release_buffer__
# Takes itself out of sys.modules when the interpreter imports it; nobody else does.
oxipickle\\._startup\\.sitecustomize
# An alias of Literal, which stubtest takes for a union.
oxipickle\\._status\\.State
"""


def run(*arguments: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """A tool of mypy's, run as a module; that it is missing is a failure."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=cwd,
    )


def test_package_is_strictly_typed(tmp_path: pathlib.Path) -> None:
    done = run("mypy", "--strict", "--cache-dir", str(tmp_path), "python/oxipickle", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_stub_agrees_with_the_built_module(tmp_path: pathlib.Path) -> None:
    allowlist = tmp_path / "allowed"
    allowlist.write_text(ALLOWED)
    done = run(
        "mypy.stubtest",
        "oxipickle",
        "--allowlist",
        str(allowlist),
        "--ignore-unused-allowlist",  # some entries are for some versions only
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


USER = """
import io
import pickle
from typing import Any, assert_type

import oxipickle

assert_type(oxipickle.dumps([1], protocol=5), bytes)
assert_type(oxipickle.loads(b"N."), Any)
assert_type(oxipickle.loads(bytearray(b"N."), encoding="bytes", buffers=None), Any)
stop: bytes = oxipickle.STOP
assert_type(oxipickle.__version__, str)
assert_type(oxipickle.installed(), bool)
oxipickle.dump(1, io.BytesIO(), fix_imports=False)
buffers: list[pickle.PickleBuffer] = []
oxipickle.dumps(1, 5, buffer_callback=buffers.append)
memoryview(oxipickle.PickleBuffer(b"x"))


class Own(oxipickle.Pickler):
    def persistent_id(self, obj: Any, /) -> Any:
        return None

    def reducer_override(self, obj: object, /) -> Any:
        return NotImplemented


try:
    Own(io.BytesIO(), 5).dump(1)
except pickle.PicklingError as error:
    assert_type(error, pickle.PicklingError)
except oxipickle.UnpicklingError:
    pass

with oxipickle.activated():
    oxipickle.install()
"""

MISUSES = (
    'oxipickle.loads("text")',
    "oxipickle.dumps(1, protocol='5')",
    "oxipickle.dump(1, 'file')",
    "oxipickle.load(b'N.')",
    "oxipickle.loads(data=b'N.')",
    "oxipickle.no_such_name()",
    "class Sub(oxipickle.PickleBuffer): pass",
)


def test_users_program_type_checks(tmp_path: pathlib.Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    done = run("mypy", "--strict", "user.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_users_mistakes_are_reported(tmp_path: pathlib.Path) -> None:
    (tmp_path / "user.py").write_text("import oxipickle\n" + "\n".join(MISUSES) + "\n")
    done = run("mypy", "--strict", "user.py", cwd=tmp_path)
    reported = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert reported == set(range(2, 2 + len(MISUSES))), done.stdout


def test_default_protocol_is_typed_as_in_pickle() -> None:
    import oxipickle

    assert oxipickle.DEFAULT_PROTOCOL == pickle.DEFAULT_PROTOCOL
    assert oxipickle.HIGHEST_PROTOCOL == pickle.HIGHEST_PROTOCOL
