"""The `pickle` API on the native engine, and the switch that puts it in the place of `_pickle`.

Importing this package changes nothing for anyone. Its `dump`, `dumps`, `load`, `loads`, `Pickler`
and `Unpickler` are the native objects themselves, with no Python in between, and the exceptions
are the interpreter's own, so that `except pickle.PicklingError` catches what is raised here.

This file must stay cheap to import and must not import `pickle`: it is imported while `pickle`
itself is being imported, wherever oxipickle supplies `_pickle` to it.

>>> import oxipickle
>>> oxipickle.loads(oxipickle.dumps({"answer": [42]}))
{'answer': [42]}
"""

import sys
from typing import TYPE_CHECKING, Any, Final

from oxipickle._pickle import (
    PickleBuffer,
    PickleError,
    Pickler,
    PicklingError,
    Unpickler,
    UnpicklingError,
    dump,
    dumps,
    load,
    loads,
)
from oxipickle.activation import activated, install, installed, uninstall

if TYPE_CHECKING:
    from pickle import (
        ADDITEMS,
        APPEND,
        APPENDS,
        BINBYTES,
        BINBYTES8,
        BINFLOAT,
        BINGET,
        BININT,
        BININT1,
        BININT2,
        BINPERSID,
        BINPUT,
        BINSTRING,
        BINUNICODE,
        BINUNICODE8,
        BUILD,
        BYTEARRAY8,
        DICT,
        DUP,
        EMPTY_DICT,
        EMPTY_LIST,
        EMPTY_SET,
        EMPTY_TUPLE,
        EXT1,
        EXT2,
        EXT4,
        FALSE,
        FLOAT,
        FRAME,
        FROZENSET,
        GET,
        GLOBAL,
        INST,
        INT,
        LIST,
        LONG,
        LONG1,
        LONG4,
        LONG_BINGET,
        LONG_BINPUT,
        MARK,
        MEMOIZE,
        NEWFALSE,
        NEWOBJ,
        NEWOBJ_EX,
        NEWTRUE,
        NEXT_BUFFER,
        NONE,
        OBJ,
        PERSID,
        POP,
        POP_MARK,
        PROTO,
        PUT,
        READONLY_BUFFER,
        REDUCE,
        SETITEM,
        SETITEMS,
        SHORT_BINBYTES,
        SHORT_BINSTRING,
        SHORT_BINUNICODE,
        STACK_GLOBAL,
        STOP,
        STRING,
        TRUE,
        TUPLE,
        TUPLE1,
        TUPLE2,
        TUPLE3,
        UNICODE,
    )

    from oxipickle._status import Status, status

    __version__: str

__all__ = [
    "ADDITEMS",
    "APPEND",
    "APPENDS",
    "BINBYTES",
    "BINBYTES8",
    "BINFLOAT",
    "BINGET",
    "BININT",
    "BININT1",
    "BININT2",
    "BINPERSID",
    "BINPUT",
    "BINSTRING",
    "BINUNICODE",
    "BINUNICODE8",
    "BUILD",
    "BYTEARRAY8",
    "DEFAULT_PROTOCOL",
    "DICT",
    "DUP",
    "EMPTY_DICT",
    "EMPTY_LIST",
    "EMPTY_SET",
    "EMPTY_TUPLE",
    "EXT1",
    "EXT2",
    "EXT4",
    "FALSE",
    "FLOAT",
    "FRAME",
    "FROZENSET",
    "GET",
    "GLOBAL",
    "HIGHEST_PROTOCOL",
    "INST",
    "INT",
    "LIST",
    "LONG",
    "LONG1",
    "LONG4",
    "LONG_BINGET",
    "LONG_BINPUT",
    "MARK",
    "MEMOIZE",
    "NEWFALSE",
    "NEWOBJ",
    "NEWOBJ_EX",
    "NEWTRUE",
    "NEXT_BUFFER",
    "NONE",
    "OBJ",
    "PERSID",
    "POP",
    "POP_MARK",
    "PROTO",
    "PUT",
    "READONLY_BUFFER",
    "REDUCE",
    "SETITEM",
    "SETITEMS",
    "SHORT_BINBYTES",
    "SHORT_BINSTRING",
    "SHORT_BINUNICODE",
    "STACK_GLOBAL",
    "STOP",
    "STRING",
    "TRUE",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "UNICODE",
    "PickleBuffer",
    "PickleError",
    "Pickler",
    "PicklingError",
    "Status",
    "Unpickler",
    "UnpicklingError",
    "__version__",
    "activated",
    "dump",
    "dumps",
    "install",
    "installed",
    "load",
    "loads",
    "status",
    "uninstall",
]

HIGHEST_PROTOCOL: Final = 5
"""The newest protocol there is (PEP 574)."""

DEFAULT_PROTOCOL: Final = 5 if sys.version_info >= (3, 14) else 4
"""The protocol written when none is asked for; 5 since Python 3.14 (python/cpython#119340)."""


if not TYPE_CHECKING:  # a type checker would take it for leave to use any name

    def __getattr__(name: str) -> Any:
        """`__version__`, `status` and the opcode constants of `pickle` (`PROTO`), on first use.

        They come late because they need `importlib.metadata`, `dataclasses` and `pickle`, which a
        program that only dumps and loads need not pay for.
        """
        if name == "__version__":
            from importlib.metadata import version

            value: Any = version("oxipickle")
        elif name in ("Status", "status"):
            from oxipickle import _status

            value = getattr(_status, name)
        elif name.isupper():
            import pickle

            if name not in pickle.__all__:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            value = getattr(pickle, name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value
