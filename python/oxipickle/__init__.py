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
        ADDITEMS as ADDITEMS,
        APPEND as APPEND,
        APPENDS as APPENDS,
        BINBYTES as BINBYTES,
        BINBYTES8 as BINBYTES8,
        BINFLOAT as BINFLOAT,
        BINGET as BINGET,
        BININT as BININT,
        BININT1 as BININT1,
        BININT2 as BININT2,
        BINPERSID as BINPERSID,
        BINPUT as BINPUT,
        BINSTRING as BINSTRING,
        BINUNICODE as BINUNICODE,
        BINUNICODE8 as BINUNICODE8,
        BUILD as BUILD,
        BYTEARRAY8 as BYTEARRAY8,
        DICT as DICT,
        DUP as DUP,
        EMPTY_DICT as EMPTY_DICT,
        EMPTY_LIST as EMPTY_LIST,
        EMPTY_SET as EMPTY_SET,
        EMPTY_TUPLE as EMPTY_TUPLE,
        EXT1 as EXT1,
        EXT2 as EXT2,
        EXT4 as EXT4,
        FALSE as FALSE,
        FLOAT as FLOAT,
        FRAME as FRAME,
        FROZENSET as FROZENSET,
        GET as GET,
        GLOBAL as GLOBAL,
        INST as INST,
        INT as INT,
        LIST as LIST,
        LONG as LONG,
        LONG1 as LONG1,
        LONG4 as LONG4,
        LONG_BINGET as LONG_BINGET,
        LONG_BINPUT as LONG_BINPUT,
        MARK as MARK,
        MEMOIZE as MEMOIZE,
        NEWFALSE as NEWFALSE,
        NEWOBJ as NEWOBJ,
        NEWOBJ_EX as NEWOBJ_EX,
        NEWTRUE as NEWTRUE,
        NEXT_BUFFER as NEXT_BUFFER,
        NONE as NONE,
        OBJ as OBJ,
        PERSID as PERSID,
        POP as POP,
        POP_MARK as POP_MARK,
        PROTO as PROTO,
        PUT as PUT,
        READONLY_BUFFER as READONLY_BUFFER,
        REDUCE as REDUCE,
        SETITEM as SETITEM,
        SETITEMS as SETITEMS,
        SHORT_BINBYTES as SHORT_BINBYTES,
        SHORT_BINSTRING as SHORT_BINSTRING,
        SHORT_BINUNICODE as SHORT_BINUNICODE,
        STACK_GLOBAL as STACK_GLOBAL,
        STOP as STOP,
        STRING as STRING,
        TRUE as TRUE,
        TUPLE as TUPLE,
        TUPLE1 as TUPLE1,
        TUPLE2 as TUPLE2,
        TUPLE3 as TUPLE3,
        UNICODE as UNICODE,
    )

    __version__: str

__all__ = [
    "DEFAULT_PROTOCOL",
    "HIGHEST_PROTOCOL",
    "PickleBuffer",
    "PickleError",
    "Pickler",
    "PicklingError",
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
    "uninstall",
]

HIGHEST_PROTOCOL: Final = 5
"""The newest protocol there is (PEP 574)."""

DEFAULT_PROTOCOL: Final = 5 if sys.version_info >= (3, 14) else 4
"""The protocol written when none is asked for; 5 since Python 3.14 (python/cpython#119340)."""


def __getattr__(name: str) -> Any:
    """`__version__` and the opcode constants of `pickle` (`PROTO`, `STOP`, ...), on first use.

    They come late because the one needs `importlib.metadata` and the others `pickle`, which a
    program that only dumps and loads need not pay for.
    """
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("oxipickle")
    elif name.isupper():
        import pickle

        if name not in pickle.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(pickle, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
