"""The layers of `src/`, read from its text: who may use whom, where `unsafe` and `cfg` may stand.

The rules are those of the map in `src/lib.rs`. They are checked on the text and not by a compiler,
so that a forbidden line fails here however it is configured out. Each rule is also shown to catch a
file that breaks it. Must not import the extension: these tests need no build.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"

#: Layer -> the other layers that it may use. `errors` and `state` are what every layer above
#: `format` raises and looks names up with, so `object` and `compat` reach them too.
MAY_USE = {
    "format": set(),
    "levers": set(),
    "object": {"format", "errors", "levers", "state"},
    "errors": {"object", "state"},
    "state": {"object"},
    "compat": {"object", "errors"},
    "pickler": {"format", "object", "compat", "errors", "levers", "state"},
    "unpickler": {"format", "object", "compat", "errors", "levers", "state"},
    "py": {"format", "object", "compat", "errors", "levers", "state", "pickler", "unpickler"},
}
#: Files outside `object/` that may hold `unsafe`, and outside which CPython's C API stays.
UNSAFE_FILES = {"format/buf.rs", "py/calls.rs", "py/pickle_buffer.rs"}
HARD_LIMIT = 700

LEXEMES = re.compile(
    r"""
    (?P<comment> //[^\n]* | /\*.*?\*/ )
  | (?P<string>  b?r(?P<hashes>\#*)".*?"(?P=hashes)
               | [bc]?"(?:\\.|[^"\\])*"
               | b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\])' )
    """,
    re.VERBOSE | re.DOTALL,
)


def blank(text: str, *, comments: bool) -> str:
    """*text* without the contents of string literals (and comments), line by line in place."""

    def hide(found: re.Match[str]) -> str:
        if found["comment"] is not None and not comments:
            return found[0]
        return re.sub(r"[^\n]", " ", found[0])

    return LEXEMES.sub(hide, text)


def code(text: str) -> str:
    return blank(text, comments=True)


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def layer_of(file: str) -> str:
    """`pickler` for `pickler/memo.rs`, `state` for `state.rs`; lib.rs names all and is none."""
    return PurePosixPath(file).parts[0].removesuffix(".rs")


def heads(tree: str) -> Iterator[str]:
    """First names in the braces of `use crate::{a::b, c}`."""
    depth, name = 0, ""
    for char in tree:
        if char == "," and depth == 0:
            yield name.strip()
            name = ""
            continue
        depth += (char == "{") - (char == "}")
        name += char
    yield name.strip()


def braces(text: str, start: int) -> str:
    """What stands between the brace at *start* and its partner."""
    depth = 0
    for end in range(start, len(text)):
        depth += (text[end] == "{") - (text[end] == "}")
        if depth == 0:
            return text[start + 1 : end]
    raise AssertionError("unbalanced braces")


# --- rules: (file below src/, its text) -> what is wrong -------------------------------------


def layers(file: str, text: str) -> Iterator[str]:
    """A file uses its own layer and those that its layer may use."""
    own = layer_of(file)
    text = code(text)
    used = [(found.start(), found[1]) for found in re.finditer(r"\bcrate::(\w+)", text)]
    for found in re.finditer(r"\bcrate::\s*\{", text):
        for tree in heads(braces(text, found.end() - 1)):
            used.append((found.start(), re.split(r"\W", tree)[0]))
    # In a file whose parent is the crate, `super::pickler` is `crate::pickler`.
    if file.count("/") == 0 or file.endswith("/mod.rs"):
        used += [(found.start(), found[1]) for found in re.finditer(r"\bsuper::(\w+)", text)]
    for position, layer in used:
        if layer in MAY_USE and layer != own and layer not in MAY_USE[own]:
            yield f"{file}:{line_of(text, position)}: {own} uses {layer}"
    for found in re.finditer(r"\bsuper::super\b", text):
        yield f"{file}:{line_of(text, found.start())}: say crate:: instead of super::super"
    for found in re.finditer(r"\bcrate::(\w+)", text):
        if found[1] not in MAY_USE and found[1] != "lib":
            yield f"{file}:{line_of(text, found.start())}: no layer {found[1]}"


def format_knows_no_python(file: str, text: str) -> Iterator[str]:
    """The byte format compiles without PyO3."""
    if layer_of(file) == "format":
        text = code(text)
        for found in re.finditer(r"\b(pyo3|Python|PyAny|Py_\w+)\b", text):
            yield f"{file}:{line_of(text, found.start())}: {found[0]} in format/"


def unsafe_has_its_places(file: str, text: str) -> Iterator[str]:
    """`unsafe`, the permission for it, and CPython's C API: `object/` and three files."""
    if layer_of(file) == "object" or file in UNSAFE_FILES:
        return
    text = code(text)
    for found in re.finditer(r"\bunsafe\b|\ballow\([^)]*\bunsafe_code\b|\bpyo3::ffi\b", text):
        yield f"{file}:{line_of(text, found.start())}: {found[0]} is not for this file"
    for found in re.finditer(r"\buse\s+pyo3::\{", text):
        if "ffi" in {re.split(r"\W", tree)[0] for tree in heads(braces(text, found.end() - 1))}:
            yield f"{file}:{line_of(text, found.start())}: pyo3::ffi is not for this file"


def unsafe_says_why(file: str, text: str) -> Iterator[str]:
    """A `// SAFETY:` comment stands above each unsafe block or impl, or above its statement."""
    lines = code(text).split("\n")
    original = text.split("\n")
    for number, line in enumerate(lines):
        if not re.search(r"\bunsafe\s*(\{|impl\b)", line):
            continue
        # Up to the comment nearest above, but not past the end of another statement.
        above = number
        while True:
            above -= 1
            if above < 0 or not original[above].strip():
                break
            if original[above].lstrip().startswith("//"):
                while original[above - 1].lstrip().startswith("//"):
                    above -= 1
                break
            if lines[above].rstrip().endswith((";", "}")):
                break
        comment = "\n".join(original[max(0, above) : number])
        if "// SAFETY:" not in comment:
            yield f"{file}:{number + 1}: an unsafe block without SAFETY"


VERSIONED = re.compile(r"\bcfg(_attr)?\s*(!)?\s*\((?=[^;{\n]*\bPy_(\w+))")
#: What a `cfg` in `py/` may choose: a method, or what only that method imports.
CHOSEN = re.compile(r"(?:\s*#\[[^\]]*\])*\s*(?:pub(?:\([a-z]+\))?\s+)?(?:fn|use|methods!)\s")


def versions_have_their_places(file: str, text: str) -> Iterator[str]:
    """What Python version it is: `compat/`, `object/`, and methods that only some have."""
    layer = layer_of(file)
    if layer in ("compat", "object"):
        return
    text = code(text)
    for found in VERSIONED.finditer(text):
        where = f"{file}:{line_of(text, found.start())}"
        rest = text[text.index("]", found.end()) + 1 :] if not found[2] else ""
        if layer != "py" or not CHOSEN.match(rest):
            yield f"{where}: the version of Python is a fact for compat::QUIRKS"


def has_a_header(file: str, text: str) -> Iterator[str]:
    """The file says what it is for."""
    if not text.startswith("//! "):
        yield f"{file}:1: no //! header"


def is_not_too_long(file: str, text: str) -> Iterator[str]:
    """A file can be read in one go."""
    count = text.count("\n")
    if count > HARD_LIMIT:
        yield f"{file}: {count} lines, the limit is {HARD_LIMIT}"


RULES: list[Callable[[str, str], Iterator[str]]] = [
    layers,
    format_knows_no_python,
    unsafe_has_its_places,
    unsafe_says_why,
    versions_have_their_places,
    has_a_header,
    is_not_too_long,
]


def files() -> dict[str, str]:
    found = {
        path.relative_to(SRC).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(SRC.rglob("*.rs"))
    }
    # An empty or wrong directory would satisfy every rule.
    assert {layer_of(file) for file in found} == {"lib", *MAY_USE}
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source_keeps_the_rule(rule: Callable[[str, str], Iterator[str]]) -> None:
    wrong = [
        complaint
        for file, text in files().items()
        # lib.rs declares the layers and denies what they may not do.
        if file != "lib.rs" or rule in (has_a_header, is_not_too_long, unsafe_says_why)
        for complaint in rule(file, text)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_crate_root_denies_unsafe_code() -> None:
    assert re.search(r"^#!\[deny\(unsafe_code\)\]", code(files()["lib.rs"]), re.MULTILINE)


def test_all_but_the_format_needs_the_python_feature() -> None:
    """`format` is the only module that a build without PyO3 has."""
    root = code(files()["lib.rs"])
    modules = dict.fromkeys(re.findall(r"\bmod\s+(\w+)\s*;", root))
    assert set(modules) == set(MAY_USE)
    raw = files()["lib.rs"]
    guarded = set(re.findall(r'#\[cfg\(feature = "python"\)\]\s*pub mod (\w+);', raw))
    assert guarded == set(MAY_USE) - {"format"}


BAD = {
    "pickler uses unpickler": (layers, "pickler/a.rs", "use crate::unpickler::memo;"),
    "unpickler uses pickler": (layers, "unpickler/a.rs", "fn f() { crate::pickler::x() }"),
    "in a group": (layers, "pickler/a.rs", "use crate::{object::{R, py}, unpickler::memo};"),
    "through super": (layers, "pickler/mod.rs", "use super::unpickler;"),
    "super twice": (layers, "pickler/a.rs", "use super::super::unpickler;"),
    "object uses compat": (layers, "object/a.rs", "use crate::compat::QUIRKS;"),
    "object uses py": (layers, "object/a.rs", "use crate::py::args;"),
    "format uses object": (layers, "format/a.rs", "use crate::object::R;"),
    "state uses pickler": (layers, "state.rs", "use crate::pickler::memo;"),
    "unknown layer": (layers, "py/a.rs", "use crate::helpers::x;"),
    "pyo3 in format": (format_knows_no_python, "format/a.rs", "use pyo3::prelude::*;"),
    "unsafe in pickler": (unsafe_has_its_places, "pickler/a.rs", "unsafe { f() }"),
    "allowed in py": (unsafe_has_its_places, "py/a.rs", "#![allow(unsafe_code)]"),
    "C API": (unsafe_has_its_places, "pickler/a.rs", "use pyo3::ffi as pyffi;"),
    "C API in a group": (unsafe_has_its_places, "pickler/a.rs", "use pyo3::{ffi, Python};"),
    "no SAFETY": (unsafe_says_why, "object/a.rs", "let a = 1;\nunsafe { f() }"),
    "SAFETY of another": (
        unsafe_says_why,
        "object/a.rs",
        "// SAFETY: fine\nunsafe { f() };\nlet b =\n    unsafe { g() };",
    ),
    "another comment": (unsafe_says_why, "object/a.rs", "// fast\nunsafe { f() };"),
    "impl": (unsafe_says_why, "object/a.rs", "unsafe impl Send for A {}"),
    "cfg in pickler": (versions_have_their_places, "pickler/a.rs", "#[cfg(Py_3_14)]\nfn f() {}"),
    "cfg! in py": (versions_have_their_places, "py/a.rs", "fn f() { if cfg!(Py_3_14) {} }"),
    "not": (versions_have_their_places, "unpickler/a.rs", "#[cfg(not(Py_3_12))]\nuse a;"),
    "no GIL": (versions_have_their_places, "pickler/a.rs", "a: cfg!(not(Py_GIL_DISABLED)),"),
    "a block in py": (versions_have_their_places, "py/a.rs", "#[cfg(Py_3_13)]\nlet a = 1;"),
    "no header": (has_a_header, "py/a.rs", "// what\nfn f() {}"),
    "too long": (is_not_too_long, "py/a.rs", "//! a\n" + "\n" * HARD_LIMIT),
}

GOOD = {
    "its own layer": (layers, "pickler/a.rs", "use crate::pickler::memo;\nuse super::task;"),
    "in a comment": (layers, "pickler/a.rs", "// unlike crate::unpickler"),
    "in a string": (layers, "pickler/a.rs", 'let a = "crate::unpickler \\" crate::py";'),
    "word unsafe": (unsafe_has_its_places, "py/a.rs", "/// unsafe\n#![allow(unsafe_op)]"),
    "a lifetime": (
        unsafe_has_its_places,
        "py/a.rs",
        "fn f<'py>(a: &'py str, b: char) { b == 'u' }",
    ),
    "SAFETY": (unsafe_says_why, "object/a.rs", "// SAFETY: alive\nlet a =\n    unsafe { f() };"),
    "SAFETY of a method": (
        unsafe_says_why,
        "object/a.rs",
        "// SAFETY: alive, and\n// counted.\nlet a = b\n    .map(|c| unsafe { f(c) });",
    ),
    "a method": (
        versions_have_their_places,
        "py/a.rs",
        "#[cfg(Py_3_13)]\n#[pyo3(a = (b))]\nfn f() {}",
    ),
    "a feature": (versions_have_their_places, "pickler/a.rs", "#[cfg(test)]\nmod tests {}"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_rule_catches(name: str) -> None:
    rule, file, text = BAD[name]
    assert list(rule(file, text)), "not caught"


@pytest.mark.parametrize("name", GOOD)
def test_the_rule_allows(name: str) -> None:
    rule, file, text = GOOD[name]
    assert list(rule(file, text)) == []
