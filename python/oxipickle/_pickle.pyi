"""The native engine: the ten names that `pickle` takes from `_pickle`, and one for `activation`.

The signatures are those that typeshed gives `_pickle`, so that a program type-checks alike with
either; stubtest compares them with the built module.
"""

# The interpreter's own classes, so that `except pickle.PicklingError` catches them.
from _pickle import PickleError as PickleError
from _pickle import PicklingError as PicklingError
from _pickle import UnpicklingError as UnpicklingError
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, Self, TypeAlias, final, type_check_only

from _typeshed import ReadableBuffer, SupportsWrite
from typing_extensions import disjoint_base

@type_check_only
class _ReadableFile(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...

# Called with whichever buffer type the object being pickled uses: this module's or the
# interpreter's own.
_BufferCallback: TypeAlias = Callable[[Any], Any] | None

_ReduceValue: TypeAlias = (
    str
    | tuple[Callable[..., Any], tuple[Any, ...]]
    | tuple[Callable[..., Any], tuple[Any, ...], Any]
    | tuple[Callable[..., Any], tuple[Any, ...], Any, Iterator[Any] | None]
    | tuple[Callable[..., Any], tuple[Any, ...], Any, Iterator[Any] | None, Iterator[Any] | None]
)

@final
class PickleBuffer:
    """An object's buffer, to be pickled without a copy (PEP 574)."""

    def __new__(cls, buffer: ReadableBuffer) -> Self: ...
    def raw(self) -> memoryview: ...
    def release(self) -> None: ...
    # Visible to Python since 3.12 (PEP 688); a type checker needs them to see a buffer on 3.11 too.
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...

def dump(
    obj: Any,
    file: SupportsWrite[bytes],
    protocol: int | None = None,
    *,
    fix_imports: bool = True,
    buffer_callback: _BufferCallback = None,
) -> None: ...
def dumps(
    obj: Any,
    protocol: int | None = None,
    *,
    fix_imports: bool = True,
    buffer_callback: _BufferCallback = None,
) -> bytes: ...
def load(
    file: _ReadableFile,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
) -> Any: ...
def loads(
    data: ReadableBuffer,
    /,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
) -> Any: ...

@type_check_only
class _PicklerMemo:
    def clear(self, /) -> None: ...
    def copy(self, /) -> dict[int, tuple[int, Any]]: ...

@disjoint_base
class Pickler:
    """Writes objects to a file, sharing one memo among them."""

    fast: bool
    bin: bool
    dispatch_table: Mapping[type, Callable[[Any], _ReduceValue]]
    def __init__(
        self,
        file: SupportsWrite[bytes],
        protocol: int | None = None,
        fix_imports: bool = True,
        buffer_callback: _BufferCallback = None,
    ) -> None: ...
    @property
    def memo(self) -> _PicklerMemo: ...
    @memo.setter
    def memo(self, value: _PicklerMemo | dict[int, tuple[int, Any]]) -> None: ...
    def dump(self, obj: Any, /) -> None: ...
    def clear_memo(self) -> None: ...
    # Before 3.13 for subclasses and instances to define; there is no default to call.
    def persistent_id(self, obj: Any, /) -> Any: ...
    # For subclasses to define; there is no default. NotImplemented asks for the usual way.
    def reducer_override(self, obj: object, /) -> _ReduceValue: ...

@type_check_only
class _UnpicklerMemo:
    def clear(self, /) -> None: ...
    def copy(self, /) -> dict[int, tuple[int, Any]]: ...

@disjoint_base
class Unpickler:
    """Reads objects from a file, sharing one memo among them."""

    def __init__(
        self,
        file: _ReadableFile,
        *,
        fix_imports: bool = True,
        encoding: str = "ASCII",
        errors: str = "strict",
        buffers: Iterable[Any] | None = (),
    ) -> None: ...
    @property
    def memo(self) -> _UnpicklerMemo: ...
    @memo.setter
    def memo(self, value: _UnpicklerMemo | dict[int, tuple[int, Any]]) -> None: ...
    def load(self) -> Any: ...
    def find_class(self, module_name: str, global_name: str, /) -> Any: ...
    # Before 3.13 for subclasses and instances to define; there is no default to call.
    def persistent_load(self, pid: Any, /) -> Any: ...

# Lets the methods of our class serve objects of C's class too; with None of no other again.
def _serve_also(ours: type, theirs: type | None) -> None: ...
