"""Streams written by hand: for each opcode good and malformed ones, by name.

`STREAMS` may be loaded by any implementation. `FRAMES` break (or nearly break) the rule on frame
boundaries that newer patch releases enforce. `HOSTILE` name sizes or memo indices that make older
C code allocate what they say; only bounded implementations should load them.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

from support import c


def g(module: str, name: str) -> bytes:
    """A GLOBAL opcode."""
    return f"c{module}\n{name}\n".encode()


def v(value: Any) -> bytes:
    """The opcodes that push *value*, at protocol 2: no frames; memo indices count from 0."""
    return c.dumps(value, 2)[2:-1]


def u32(number: int) -> bytes:
    return struct.pack("<I", number & 0xFFFFFFFF)


def u64(number: int) -> bytes:
    return struct.pack("<Q", number & 0xFFFFFFFFFFFFFFFF)


def frame(body: bytes, length: int | None = None) -> bytes:
    return b"\x95" + u64(len(body) if length is None else length) + body


PLAIN = g("corpus", "Plain") + b")\x81"
BUILD = g("corpus", "build")
BUILT = g("corpus", "Built") + b")\x81"

STREAMS: dict[str, bytes] = {}


def streams(prefix: str, **named: bytes) -> None:
    for name, data in named.items():
        key = f"{prefix}: {name.replace('_', ' ').strip()}"
        assert key not in STREAMS, key
        STREAMS[key] = data


def listed(prefix: str, items: list[bytes]) -> None:
    for data in items:
        STREAMS[f"{prefix}: {data!r}"] = data


# --- end of data, unknown opcodes ---------------------------------------------------------------

streams("end", empty=b"", only_proto=b"\x80\x04", only_mark=b"(", value_no_stop=b"K\x01", none=b"N")
for _byte in range(256):
    STREAMS[f"opcode 0x{_byte:02x} alone"] = bytes([_byte])
    STREAMS[f"opcode 0x{_byte:02x} on an empty stack"] = bytes([_byte]) + b"."
    STREAMS[f"opcode 0x{_byte:02x} over a mark"] = b"N(" + bytes([_byte]) + b"."
    STREAMS[f"opcode 0x{_byte:02x} over values"] = b"NK\x01]K\x02" + bytes([_byte]) + b"."
    STREAMS[f"opcode 0x{_byte:02x} over mark and values"] = b"](NK\x01" + bytes([_byte]) + b"."
    STREAMS[f"opcode 0x{_byte:02x} with zeros"] = b"]NN" + bytes([_byte]) + bytes(9) + b"N."
    STREAMS[f"opcode 0x{_byte:02x} with ones"] = b"]NN" + bytes([_byte]) + b"\x01" * 9 + b"\n\n."
    STREAMS[f"opcode 0x{_byte:02x} with a line"] = b"]NN" + bytes([_byte]) + b"1\nabc\nN."

# --- STOP, PROTO, POP, POP_MARK, DUP, MARK ------------------------------------------------------

listed(
    "two marks",
    [
        start + b"((" + closing + end
        for start in (
            b"}",
            b"}\x94",
            b"}q\x00",
            b"K\x01}",
            b"]",
            b"]\x94",
            b"\x8f",
            b"\x8f\x94",
            b"",
        )
        for closing in (b"u", b"e", b"\x90", b"t", b"l", b"d", b"1", b"0")
        for end in (b"", b".", b"0.", b"K\x01.", b"u.", b"K\x01K\x02u.")
    ],
)

streams(
    "stop",
    on_empty=b".",
    after_mark=b"(.",
    extra_below=b"K\x01K\x02.",
    extra_below_mark=b"K\x01(K\x02.",
    trailing=b"K\x01.garbage",
)
listed("proto", [b"\x80" + bytes([n]) + b"N." for n in (0, 1, 2, 3, 4, 5, 6, 7, 127, 128, 255)])
streams(
    "proto",
    twice=b"\x80\x02\x80\x04N.",
    late=b"K\x01\x80\x03.",
    lowered_before_dotted_name=b"\x80\x04\x80\x02" + g("corpus", "Outer.Inner") + b".",
    raised_before_dotted_name=b"\x80\x02\x80\x04" + g("corpus", "Outer.Inner") + b".",
    truncated=b"\x80",
)
streams(
    "pop",
    value=b"K\x01K\x020.",
    mark=b"K\x01(0.",
    mark_then_more=b"K\x01(0(K\x02K\x03t.",
    empty=b"0.",
    twice=b"K\x01K\x0200.",
    value_above_mark=b"K\x01(K\x0200.",
    pop_mark=b"K\x01(K\x02K\x031.",
    pop_mark_none=b"K\x011.",
    pop_mark_nested=b"K\x01(K\x02(K\x0311.",
    dup=b"K\x012\x86.",
    dup_list=b"]2\x86.",
    dup_empty=b"2.",
    dup_over_mark=b"K\x01(2.",
)

# --- numbers ------------------------------------------------------------------------------------

listed(
    "int",
    [
        b"I" + text + b"\n."
        for text in [
            *(b"0", b"1", b"-1", b"00", b"01", b"02", b"10", b"11", b"+0", b"+1", b" 0", b" 1"),
            *(b"-0", b"0 ", b"1 ", b"\t1", b"001", b"000", b"010", b"08", b"0x10", b"0b1", b"0o7"),
            *(b"1_0", b"1__0", b"_1", b"1_", b"", b" ", b"abc", b"1.5", b"1e5", b"None", b"True"),
            *(b"2147483647", b"2147483648", b"-2147483649", b"9223372036854775807"),
            *(b"9223372036854775808", b"1" * 40, b"-" + b"9" * 40, b"1\x002", b"\x001", b"0\x00"),
            *(b"\xd9\xa1", b"1\xff", b"1\r", b"+", b"-", b"--1", b"9" * 5000),
        ]
    ],
)
listed(
    "long",
    [
        b"L" + text + b"\n."
        for text in [
            *(b"0L", b"1L", b"-1L", b"0", b"1", b"L", b"", b" 1L", b"1 L", b"1LL", b"1l", b"+5L"),
            *(b"0x1FL", b"010L", b"0b11L", b"0o17L", b"1_000L", b"1__0L", b"abcL", b"1.5L"),
            *(
                b"9" * 30 + b"L",
                b"-" + b"9" * 30 + b"L",
                b"9" * 5000 + b"L",
                b"1\x00L",
                b"1L ",
                b"\xffL",
            ),
        ]
    ],
)
listed(
    "float",
    [
        b"F" + text + b"\n."
        for text in [
            *(
                b"0",
                b"1.5",
                b"-1.5",
                b"1e10",
                b"1E-5",
                b".5",
                b"5.",
                b"inf",
                b"-inf",
                b"nan",
                b"NaN",
            ),
            *(
                b"Infinity",
                b"-nan",
                b" 1.5",
                b"1.5 ",
                b"1_0",
                b"0x1p3",
                b"",
                b"abc",
                b"1e400",
                b"-1e400",
            ),
            *(
                b"1e-400",
                b"1.5\x00",
                b"\x00",
                b"1,5",
                b"1e",
                b"\xff",
                b"1.5L",
                b"9" * 400,
                b"+1",
                b"++1",
            ),
        ]
    ],
)
listed("binint", [b"J" + u32(n) + b"." for n in (0, 1, -1, 2**31 - 1, -(2**31))])
listed("binint1", [b"K\x00.", b"K\x7f.", b"K\xff.", b"K", b"K."])
listed("binint2", [b"M\x00\x00.", b"M\xff\xff.", b"M\x01\x00.", b"M\x01", b"M"])
listed("binfloat", [b"G" + struct.pack(">d", x) + b"." for x in (0.0, -0.0, 1.5, 1e308, 5e-324)])
listed("binfloat", [b"G" + struct.pack(">d", float(x)) + b"." for x in ("inf", "-inf", "nan")])
listed(
    "binfloat", [b"G\xff\xf8" + bytes(6) + b".", b"G\x7f\xf0" + bytes(5) + b"\x01.", b"G\x00\x00"]
)
listed(
    "long1",
    [
        b"\x8a" + bytes([len(body)]) + body + b"."
        for body in [
            *(
                b"",
                b"\x00",
                b"\x01",
                b"\xff",
                b"\x80",
                b"\x7f",
                b"\xff\x00",
                b"\x00\x80",
                b"\x00\xff",
            ),
            *(b"\x00\x00", b"\xff\xff", b"\x01\x00\x00\x00", b"\xff" * 8, b"\x00" * 7 + b"\x80"),
            *(b"\x7f" * 9, b"\x80" * 20, b"\x01" * 255),
        ]
    ],
)
listed("long1", [b"\x8a", b"\x8a\x02\x01", b"\x8a\x05...."])
listed(
    "long4",
    [b"\x8b" + u32(len(b)) + b + b"." for b in (b"", b"\x05", b"\xff\xff\xff\x7f", b"\x01" * 300)],
)
listed(
    "long4",
    [b"\x8b" + u32(-1) + b"x.", b"\x8b" + u32(-(2**31)) + b"x.", b"\x8b", b"\x8b\x01\x00\x00"],
)
listed("long4", [b"\x8b" + u32(3) + b"\x01.", b"\x8b" + u32(100) + b"\x01" * 99])
listed("bool and none", [b"\x88.", b"\x89.", b"N."])

# --- strings ------------------------------------------------------------------------------------

listed(
    "string",
    [
        b"S" + text + b"\n."
        for text in [
            *(b"''", b'""', b"'abc'", b'"abc"', b"'a\\nb'", b"'\\x41\\101\\t\\\\'", b"'it\\'s'"),
            *(
                b"'abc",
                b"abc'",
                b"abc",
                b"'",
                b'"',
                b"",
                b"'a'b",
                b"'a' ",
                b" 'a'",
                b"'a\"",
                b"\"a'",
            ),
            *(
                b"'\\x'",
                b"'\\x4'",
                b"'\\xzz'",
                b"'\\q'",
                b"'\\'",
                b"'\\8'",
                b"'\\777'",
                b"'\\u0041'",
            ),
            *(
                b"'\\\\'",
                b"'\xe9'",
                b"'\\xe9'",
                b"'\x00'",
                b"'a\\\r'",
                b"''''",
                b"'a\\",
                b"'\\N{DASH}'",
            ),
        ]
    ],
)
listed("string", [b"S'abc'", b"S", b"S\n", b"S'abc'\r\n."])
listed(
    "binstring",
    [b"T" + u32(len(b)) + b + b"." for b in (b"", b"abc", b"\xe9", b"a" * 300, b"\x00")],
)
listed("binstring", [b"T" + u32(4) + b"abc", b"T\x01\x00", b"T"])
listed(
    "short binstring",
    [b"U\x00.", b"U\x03abc.", b"U\x01\xff.", b"U\x03ab", b"U", b"U\xff" + b"a" * 255 + b"."],
)
listed(
    "unicode",
    [
        b"V" + text + b"\n."
        for text in [
            *(
                b"",
                b"abc",
                b"\\u20ac",
                b"\\U0001f600",
                b"\\u005cu0041",
                b"\\\\u0041",
                b"\\\\\\u0041",
            ),
            *(b"\xe9\xff\x80", b"\\ud800", b"\\ud83d\\ude00", b"\\u12", b"\\u", b"\\U0011ffff"),
            *(
                b"\\U00000041",
                b"\\x41",
                b"\\n",
                b"\\",
                b"\\uzzzz",
                b"tab\t",
                b"\x00",
                b"\\u000a",
                b"\r",
            ),
        ]
    ],
)
listed("unicode", [b"Vabc", b"V"])
_UTF8 = [
    *(
        b"",
        b"abc",
        b"\xc3\xa9",
        b"\xe2\x82\xac",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
        b"\xed\xb0\x80",
    ),
    *(b"\xed\xa0\xbd\xed\xb8\x80", b"\xff", b"\xc0\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"),
    *(
        b"\xf4\x90\x80\x80",
        b"\xe0\x80\x80",
        b"\x80",
        b"a\x00b",
        b"\xc1\xbf",
        b"\xf8\x88\x80\x80\x80",
    ),
    *(
        b"abc\xff",
        b"abcdefgh" * 20 + b"\xe9",
        b"abcdefgh" * 20 + b"\xc3\xa9",
        b"\xed\xa0",
        b"\xed\xa0x",
    ),
    *("aé€😀".encode() * 9, "\xff" * 40, "\U0010ffff" * 20)[:0],
    "aé€😀".encode() * 9,
    ("\xff" * 40).encode(),
    ("\U0010ffff" * 20).encode(),
    b"x" * 255,
]
listed("binunicode", [b"X" + u32(len(b)) + b + b"." for b in _UTF8])
listed("short binunicode", [b"\x8c" + bytes([len(b)]) + b + b"." for b in _UTF8 if len(b) < 256])
listed("binunicode8", [b"\x8d" + u64(len(b)) + b + b"." for b in _UTF8])
listed("binunicode", [b"X" + u32(4) + b"abc", b"X\x01\x00", b"X", b"X" + u32(1)])
listed("short binunicode", [b"\x8c\x04abc", b"\x8c"])
listed("binunicode8", [b"\x8d" + u64(4) + b"abc", b"\x8d\x01"])
for _name, _op, _size in (
    ("binbytes", b"B", u32),
    ("short binbytes", b"C", lambda n: bytes([n])),
    ("binbytes8", b"\x8e", u64),
    ("bytearray8", b"\x96", u64),
):
    listed(_name, [_op + _size(len(b)) + b + b"." for b in (b"", b"x", b"abc", bytes(range(200)))])
    listed(
        _name, [_op + _size(4) + b"abc", _op, _op + _size(4)[:-1], _op + _size(1), _op + _size(0)]
    )
    listed(_name + " twice", [_op + _size(2) + b"ab" + b"2\x86.", _op + _size(1) + b"z" * 2 + b"."])
for _name, _op in (
    ("BINUNICODE8", b"\x8d"),
    ("BINBYTES8", b"\x8e"),
    ("BYTEARRAY8", b"\x96"),
    ("FRAME", b"\x95"),
):
    listed(f"{_name} beyond ssize_t", [_op + u64(2**63) + b"abc.", _op + u64(2**64 - 1) + b"abc."])
streams(
    "large",
    binbytes=b"B" + u32(70000) + b"x" * 70000 + b".",
    binbytes_short=b"B" + u32(70000) + b"x" * 69999,
    bytearray8=b"\x96" + u64(70000) + b"x" * 70000 + b".",
    binunicode=b"X" + u32(70000) + b"x" * 70000 + b".",
    long4=b"\x8b" + u32(4000) + b"\x01" * 4000 + b".",
    int_line=b"I" + b"1" * 4000 + b"\n.",
    unicode_line=b"V" + b"u" * 20000 + b"\n.",
)

# --- containers ---------------------------------------------------------------------------------

streams(
    "tuple",
    empty=b").",
    empty_by_mark=b"(t.",
    of_three_by_mark=b"(K\x01K\x02K\x03t.",
    no_mark=b"K\x01t.",
    one=b"K\x01\x85.",
    two=b"K\x01K\x02\x86.",
    three=b"K\x01K\x02K\x03\x87.",
    one_of_none=b"\x85.",
    two_of_one=b"K\x01\x86.",
    three_of_two=b"K\x01K\x02\x87.",
    two_over_mark=b"K\x01(K\x02\x86.",
    three_over_mark=b"K\x01(K\x02K\x03\x87.",
    one_over_mark=b"K\x01(\x85.",
    large=b"(" + b"K\x01" * 2000 + b"t.",
)
streams(
    "list",
    empty=b"].",
    by_mark=b"(K\x01K\x02l.",
    by_mark_empty=b"(l.",
    no_mark=b"K\x01l.",
    append=b"]K\x01aK\x02a.",
    append_nothing=b"]a.",
    append_to_nothing=b"K\x01a.",
    append_to_mark=b"(K\x01a.",
    append_over_mark=b"](a.",
    appends=b"](K\x01K\x02e.",
    appends_twice=b"](K\x01e(K\x02e.",
    appends_empty=b"](e.",
    appends_no_mark=b"]K\x01e.",
    appends_to_nothing=b"(K\x01e.",
    appends_to_nothing_and_no_items=b"(e.",
    append_to_int=b"K\x01K\x02a.",
    appends_to_int=b"K\x01(K\x02K\x03e.",
    appends_nothing_to_int=b"K\x01(e.",
    appends_to_none=b"N(K\x02e.",
    appends_nothing_to_none=b"N(e.",
    append_to_dict=b"}K\x01a.",
    appends_to_tuple=b")(K\x01e.",
    append_to_itself=b"]q\x00h\x00a.",
    appends_to_itself=b"]q\x00(h\x00h\x00e.",
    append_while_shared=b"]q\x00(h\x00K\x01ah\x00e.",
    appends_to_built=BUILT + b"(K\x01K\x02e.",
    append_to_built=BUILT[:-2] + b")RK\x01a.",
    appends_to_built_called=BUILT[:-2] + b")R(K\x01K\x02e.",
    appends_nothing_to_built=BUILT[:-2] + b")R(e.",
    appends_to_list_child=g("corpus", "ListChild") + b")\x81(K\x01K\x02e.",
    append_to_list_child=g("corpus", "ListChild") + b")\x81K\x01a.",
    appends_to_deque=g("collections", "deque") + b")R(K\x01K\x02e.",
    append_to_deque=g("collections", "deque") + b")RK\x01a.",
    appends_to_bytearray=g("builtins", "bytearray") + b")R(K\x01K\x02e.",
    appends_to_bytearray_bad=g("builtins", "bytearray") + b")R(K\x01Ne.",
    appends_to_set=b"\x8f(K\x01e.",
    appends_to_appender=g("loaders", "OnlyAppend") + b")R(K\x01K\x02e.",
    appends_nothing_to_appender=g("loaders", "OnlyAppend") + b")R(e.",
    appends_to_failing_extend=g("loaders", "FailingExtend") + b")R(K\x01K\x02e.",
    append_to_failing_extend=g("loaders", "FailingExtend") + b")RK\x01a.",
    appends_to_extend_none=g("loaders", "ExtendNone") + b")R(K\x01K\x02e.",
    large=b"](" + b"K\x01" * 2500 + b"e(" + b"K\x02" * 10 + b"e.",
)
streams(
    "dict",
    empty=b"}.",
    by_mark=b"(K\x01K\x02K\x03K\x04d.",
    by_mark_empty=b"(d.",
    by_mark_odd=b"(K\x01K\x02K\x03d.",
    by_mark_duplicates=b"(K\x01K\x02K\x01K\x04d.",
    by_mark_unhashable=b"(]K\x02d.",
    no_mark=b"K\x01d.",
    setitem=b"}K\x01K\x02s.",
    setitem_twice=b"}K\x01K\x02sK\x01K\x03s.",
    setitem_missing_value=b"}K\x01s.",
    setitem_nothing=b"}s.",
    setitem_over_mark=b"}(K\x01s.",
    setitem_unhashable=b"}]K\x01s.",
    setitem_on_int=b"K\x01K\x02K\x03s.",
    setitem_on_none=b"NK\x02K\x03s.",
    setitem_on_list=b"]K\x01aK\x00K\x05s.",
    setitem_on_list_bad_index=b"]K\x00K\x05s.",
    setitem_on_tuple=b")K\x00K\x05s.",
    setitem_itself=b"}q\x00K\x01h\x00s.",
    setitem_itself_as_key=b"}q\x00h\x00K\x01s.",
    setitems=b"}(K\x01K\x02K\x03K\x04u.",
    setitems_empty=b"}(u.",
    setitems_odd=b"}(K\x01K\x02K\x03u.",
    setitems_no_mark=b"}K\x01K\x02u.",
    setitems_on_nothing=b"(K\x01K\x02u.",
    setitems_unhashable_late=b"}(K\x01K\x02]K\x03u.",
    setitems_duplicates=b"}(K\x01NK\x01Nu.",
    setitems_on_int=b"K\x01(K\x02K\x03u.",
    setitems_nothing_on_none=b"N(u.",
    setitems_on_none=b"N(K\x01K\x01u.",
    setitems_odd_on_none=b"N(K\x01u.",
    setitems_on_list=b"]K\x01a(K\x00K\x05u.",
    setitems_on_dict_child=g("corpus", "DictChild") + b")\x81(K\x01K\x02u.",
    setitems_on_own_setitem=g("loaders", "OwnSetItem") + b")R(K\x01K\x02K\x03K\x04u.",
    setitem_on_own_setitem=g("loaders", "OwnSetItem") + b")RK\x01K\x02s.",
    setitems_on_ordered_dict=g("collections", "OrderedDict") + b")R(K\x02K\x02K\x01K\x01u.",
    setitems_on_default_dict=g("collections", "defaultdict") + b")R(K\x02K\x02K\x01K\x01u.",
    setitems_on_built=BUILT[:-2] + b")R(K\x01K\x02u.",
    setitems_on_bytearray=g("builtins", "bytearray") + b"K\x03\x85R(K\x01K\x02u.",
    setitems_on_instance=PLAIN + b"(K\x01K\x02u.",
    keys_equal_not_identical=b"}(K\x01NI1\nK\x02F1.0\nK\x03\x88K\x04u.",
    text_keys=b"}(X\x01\x00\x00\x00aK\x01\x8c\x01bK\x02U\x01cK\x03Vd\nK\x04u.",
    large=b"}(" + b"".join(v(i) + b"N" for i in range(2500)) + b"u.",
    in_progress_fetched=b"}\x94(K\x01h\x00K\x02K\x03u.",
    grown_while_pending=b"}\x94(K\x01h\x00K\x05K\x06sK\x07K\x08u.",
    popped_while_pending=b"}\x94(K\x01K\x021.",
    pending_twice=b"}\x94}\x94(K\x01K\x02u\x86.",
    memo_then_build=b"}\x94(K\x01K\x02ub.",
)
streams(
    "set",
    empty=b"\x8f.",
    additems=b"\x8f(K\x01K\x02\x90.",
    additems_empty=b"\x8f(\x90.",
    additems_twice=b"\x8f(K\x01\x90(K\x02K\x01\x90.",
    additems_no_mark=b"\x8fK\x01\x90.",
    additems_unhashable=b"\x8f(K\x01]\x90.",
    additems_on_nothing=b"(K\x01\x90.",
    additems_on_list=b"](K\x01\x90.",
    additems_nothing_on_list=b"](\x90.",
    additems_on_none=b"N(K\x01\x90.",
    additems_nothing_on_none=b"N(\x90.",
    additems_on_dict=b"}(K\x01\x90.",
    additems_on_frozenset=b"(\x91(K\x01\x90.",
    additems_on_set_child=g("corpus", "SetChild") + b")\x81(K\x01K\x02\x90.",
    additems_on_own_add=g("loaders", "OwnAdd") + b")R(K\x01K\x02\x90.",
    additems_on_adder=g("loaders", "OnlyAdd") + b")R(K\x01K\x02\x90.",
    additems_nothing_on_adder=g("loaders", "OnlyAdd") + b")R(\x90.",
    frozen=b"(K\x01K\x02\x91.",
    frozen_empty=b"(\x91.",
    frozen_no_mark=b"K\x01\x91.",
    frozen_unhashable=b"(]\x91.",
    frozen_duplicates=b"(K\x01K\x01\x91.",
    itself=b"\x8fq\x00(h\x00\x90.",
)

# --- memo ---------------------------------------------------------------------------------------

listed(
    "memo",
    [
        *(b"K\x05q\x000h\x00.", b"K\x05p0\n0g0\n.", b"K\x05r\x00\x00\x00\x000j\x00\x00\x00\x00."),
        *(
            b"K\x05\x940h\x00.",
            b"K\x05\x94K\x06\x9400h\x01.",
            b"K\x05p12\n0h\x0c.",
            b"K\x05q\xff0h\xff.",
        ),
        *(
            b"h\x00.",
            b"h\x07.",
            b"g5\n.",
            b"j\x05\x00\x00\x00.",
            b"g-5\n.",
            b"j\xff\xff\xff\xff.",
            b"gx\n.",
        ),
        *(
            b"g\n.",
            b"g 1 \n.",
            b"g1_0\n.",
            b"g99999999999999999999\n.",
            b"p0\n.",
            b"q\x00.",
            b"\x94.",
            b"r\x01",
        ),
        *(
            b"Np-1\n.",
            b"Np99999999999999999999\n.",
            b"Npx\n.",
            b"Np\n.",
            b"Np 1 \n0g1\n.",
            b"Np1_0\n0g10\n.",
        ),
        *(
            b"Np+3\n0g3\n.",
            b"Np0x1\n.",
            b"Np1.0\n.",
            b"(q\x00.",
            b"N(\x94.",
            b"(p0\n.",
            b"Nq",
            b"Nr\x00\x00",
            b"Np0",
        ),
        *(
            b"Nq\x00K\x01q\x000h\x00.",
            b"Nq\x05\x940h\x01.",
            b"K\x01q\x050K\x02\x940h\x01.",
            b"K\x01\x94K\x02q\x0000h\x00.",
        ),
        *(
            b"Nr\xff\x00\x00\x000j\xff\x00\x00\x00.",
            b"Nr\x00\x10\x00\x000h\x00.",
            b"K\x09r\x00\x10\x00\x000j\x00\x10\x00\x00.",
        ),
        *(
            b"K\x01q\x1f0h\x1f.",
            b"K\x01q\x200h\x20.",
            b"K\x01q\x410h\x41.",
            b"h",
            b"j\x01",
            b"g1",
            b"Np5\n\x94g6\n.",
            b"p",
        ),
        b"".join(v(str(i)).split(b"q")[0] + b"\x940" for i in range(300))
        + b"h\xffj\x2b\x01\x00\x00\x86.",
        b"".join(b"K" + bytes([i % 256]) + b"p%d\n0" % (i * 3) for i in range(400)) + b"g1197\n.",
        b"]\x94h\x00ah\x00\x86.",
        b"](]\x94h\x00h\x00e.",
    ],
)

# --- globals ------------------------------------------------------------------------------------

listed(
    "global",
    [
        g("corpus", "Plain") + b".",
        g("corpus", "Outer.Inner") + b".",
        b"\x80\x04" + g("corpus", "Outer.Inner") + b".",
        b"\x80\x04" + g("corpus", "Outer.Missing.X") + b".",
        b"\x80\x04" + g("corpus", "Outer..Inner") + b".",
        b"\x80\x04" + g("corpus", ".Outer") + b".",
        b"\x80\x04" + g("corpus", "Outer.") + b".",
        b"\x80\x04" + g("corpus", "Outer.<locals>.x") + b".",
        b"\x80\x02" + g("corpus", "f.<locals>.x") + b".",
        g("corpus", "NotThere") + b".",
        g("no_such_module_at_all", "x") + b".",
        g("corpus.sub", "x") + b".",
        g("os.path", "join") + b".",
        g("__builtin__", "long") + b".",
        g("__builtin__", "xrange") + b".",
        b"\x80\x03" + g("__builtin__", "xrange") + b".",
        b"\x80\x02" + g("copy_reg", "_reconstructor") + b".",
        b"\x80\x04" + g("copy_reg", "_reconstructor") + b".",
        g("itertools", "izip") + b".",
        g("exceptions", "ValueError") + b".",
        g("exceptions", "NotAnError") + b".",
        g("UserDict", "IterableUserDict") + b".",
        g("builtins", "len") + b".",
        g("corpus", "Glöb€") + b".",
        b"ccorpus\nGl\xf6b\n.",
        b"c\xff\nx\n.",
        b"c\xff\nx",
        b"c\xff",
        b"ccorpus\n\xff",
        b"(i\xff\nx",
        b"(icorpus\n\xff\n.",
        b"c\n\n.",
        b"ccorpus\n\n.",
        b"c\nPlain\n.",
        b"ccorpus\nPlain",
        b"ccorpus",
        b"c",
        b"ccorpus\r\nPlain\r\n.",
        b"c corpus\nPlain\n.",
        b"ccorpus\n Plain\n.",
        b"ccor\x00pus\nPlain\n.",
        b"c..corpus\nPlain\n.",
    ],
)
listed(
    "stack global",
    [
        b"\x80\x04\x8c\x06corpus\x8c\x05Plain\x93.",
        b"\x80\x04\x8c\x06corpus\x94\x8c\x05Plain\x94\x93\x94.",
        b"\x8c\x06corpus\x8c\x0bOuter.Inner\x93.",
        b"\x80\x04\x8c\x06corpus\x8c\x0bOuter.Inner\x93.",
        b"\x80\x04\x8c\x00\x8c\x05Plain\x93.",
        b"\x80\x04\x8c\x06corpus\x8c\x00\x93.",
        b"\x80\x04\x8c\x06corpusN\x93.",
        b"\x80\x04N\x8c\x05Plain\x93.",
        b"\x80\x04C\x06corpusC\x05Plain\x93.",
        b"\x80\x04K\x01K\x02\x93.",
        b"\x80\x04\x8c\x05Plain\x93.",
        b"\x80\x04\x93.",
        b"\x80\x04\x8c\x06corpus(\x8c\x05Plain\x93.",
        b"\x80\x04" + g("corpus", "StrChild") + b"\x8c\x06corpus\x85\x81\x8c\x05Plain\x93.",
        b"\x80\x04\x8c\x03\xed\xa0\x80\x8c\x05Plain\x93.",
        b"\x80\x04\x8c\x06corpus\x8c\x03\xed\xa0\x80\x93.",
    ],
)
listed(
    "ext", [b"\x82\x00.", b"\x82\x01.", b"\x83\x00\x00.", b"\x83\x01\x01.", b"\x84" + u32(0) + b"."]
)
listed(
    "ext",
    [
        b"\x84" + u32(-1) + b".",
        b"\x84" + u32(2**31 - 1) + b".",
        b"\x82",
        b"\x83\x01",
        b"\x84\x01\x01\x01",
    ],
)

# --- objects ------------------------------------------------------------------------------------

streams(
    "reduce",
    call=BUILD + b"K\x01\x85R.",
    class_=g("corpus", "Built") + b"K\x01\x85R.",
    builtin=g("builtins", "len") + b"]\x85R.",
    no_args=BUILD + b")R.",
    args_not_tuple=BUILD + b"]R.",
    args_none=BUILD + b"NR.",
    args_tuple_child=BUILD + g("corpus", "TupleChild") + b"K\x01\x85\x85\x81R.",
    not_callable=b"K\x01)R.",
    nothing=b"R.",
    only_args=b")R.",
    over_mark=BUILD + b"()R.",
    fails=g("builtins", "int") + b"X\x01\x00\x00\x00x\x85R.",
    wrong_arity=g("builtins", "len") + b")R.",
    reconstructor=g("copyreg", "_reconstructor")
    + g("corpus", "Plain")
    + g("builtins", "object")
    + b"N\x87R.",
    py2_reconstructor=g("copy_reg", "_reconstructor")
    + g("corpus", "Plain")
    + g("__builtin__", "object")
    + b"N\x87R.",
    args_shared=BUILD + b"K\x01]\x86q\x00Rh\x00\x86.",
    type_call=g("builtins", "type") + b"N\x85R.",
    exception=g("builtins", "ValueError") + b"U\x01x\x85R.",
    raises_system_exit=g("sys", "exit") + b"K\x03\x85R.",
)
streams(
    "newobj",
    plain=PLAIN + b".",
    with_args=g("corpus", "NewArgs") + b"K\x01\x85\x81.",
    too_many_args=g("corpus", "Plain") + b"K\x01\x85\x81.",
    object_=g("builtins", "object") + b")\x81.",
    object_args=g("builtins", "object") + b"K\x01\x85\x81.",
    int_=g("builtins", "int") + b"K\x07\x85\x81.",
    int_child=g("corpus", "IntChild") + b"K\x07\x85\x81.",
    tuple_child=g("corpus", "TupleChild") + b"](K\x01e\x85\x81.",
    not_a_class=b"K\x01)\x81.",
    function=BUILD + b")\x81.",
    args_list=g("corpus", "Plain") + b"]\x81.",
    args_none=g("corpus", "Plain") + b"N\x81.",
    args_tuple_child=g("corpus", "NewArgs") + g("corpus", "TupleChild") + b"](K\x01e\x85\x81\x81.",
    nothing=b"\x81.",
    only_class=g("corpus", "Plain") + b"\x81.",
    over_mark=g("corpus", "Plain") + b"()\x81.",
    abstract=g("collections.abc", "Mapping") + b")\x81.",
    no_new=g("builtins", "function") + b")\x81.",
    generator_type=g("types", "GeneratorType") + b")\x81.",
    none_type=g("types", "NoneType") + b")\x81.",
    bool_=g("builtins", "bool") + b"K\x01\x85\x81.",
    meta=g("corpus", "OfMeta") + b")\x81.",
    type_itself=g("builtins", "type") + b")\x81.",
    own_new=g("loaders", "OwnNew") + b")\x81.",
    failing_new=g("loaders", "FailingNew") + b")\x81.",
    new_of_other_class=g("loaders", "NewOfOther") + b")\x81.",
    slots=g("corpus", "Slotted") + b")\x81.",
    enum=g("corpus", "Colour") + b"K\x01\x85\x81.",
    enum_call=g("corpus", "Colour") + b"K\x01\x85R.",
    abstract_own=g("loaders", "Abstract") + b")\x81.",
)
streams(
    "newobj_ex",
    plain=g("corpus", "NewArgsEx") + b")}\x92.",
    args=g("corpus", "NewArgsEx") + b"K\x01\x85}X\x01\x00\x00\x00kK\x02s\x92.",
    bad_kwargs_key=g("corpus", "NewArgsEx") + b")}K\x01K\x02s\x92.",
    unknown_kwarg=g("corpus", "Plain") + b")}X\x01\x00\x00\x00kK\x02s\x92.",
    not_a_class=b"K\x01)}\x92.",
    args_list=g("corpus", "NewArgsEx") + b"]}\x92.",
    kwargs_none=g("corpus", "NewArgsEx") + b")N\x92.",
    kwargs_list=g("corpus", "NewArgsEx") + b")]\x92.",
    kwargs_dict_child=g("corpus", "NewArgsEx") + b")" + g("corpus", "DictChild") + b")\x81\x92.",
    nothing=b"\x92.",
    two=b")}\x92.",
    over_mark=g("corpus", "NewArgsEx") + b"()}\x92.",
    no_new=g("types", "GeneratorType") + b")}\x92.",
)
streams(
    "inst and obj",
    inst=b"(K\x01K\x02icorpus\nBuilt\n.",
    inst_no_args=b"(icorpus\nPlain\n.",
    inst_no_args_init_not_called=b"(icorpus\nBuilt\n.",
    inst_no_mark=b"K\x01icorpus\nBuilt\n.",
    inst_missing=b"(icorpus\nNotThere\n.",
    inst_truncated=b"(icorpus\nBuilt",
    inst_truncated_module=b"(icorpus",
    inst_empty_line=b"(i\nBuilt\n.",
    inst_non_ascii=b"(icorpus\nGl\xc3\xb6b\n.",
    inst_function=b"(K\x01icorpus\nbuild\n.",
    inst_function_no_args=b"(icorpus\nbuild\n.",
    inst_py2=b"(lp0\n(i__builtin__\nunicode\na.",
    inst_getinitargs=b"(icorpus\nGetInitArgs\n.",
    obj=b"(" + g("corpus", "Built") + b"K\x01K\x02o.",
    obj_no_args=b"(" + g("corpus", "Plain") + b"o.",
    obj_no_args_init_not_called=b"(" + g("corpus", "Built") + b"o.",
    obj_getinitargs=b"(" + g("corpus", "GetInitArgs") + b"o.",
    obj_no_mark=g("corpus", "Built") + b"o.",
    obj_empty=b"(o.",
    obj_not_callable=b"(K\x01K\x02o.",
    obj_not_callable_no_args=b"(K\x01o.",
    obj_function=b"(" + BUILD + b"K\x01o.",
    obj_function_no_args=b"(" + BUILD + b"o.",
    obj_fails=b"(" + g("builtins", "int") + b"X\x01\x00\x00\x00xo.",
)


def build(obj: bytes, state: Any, raw: bytes | None = None) -> bytes:
    return obj + (v(state) if raw is None else raw) + b"b."


streams(
    "build",
    dict_=build(PLAIN, {"a": 1, "b": [2]}),
    empty_dict=build(PLAIN, {}),
    empty_dict_on_int=build(b"K\x01", {}),
    dict_on_int=build(b"K\x01", {"a": 1}),
    dict_on_object=build(g("builtins", "object") + b")\x81", {"a": 1}),
    dict_on_function=build(g("loaders", "a_function"), {"a": 1}),
    dict_on_class=build(g("loaders", "OwnNew"), {"a_new_attribute": 1}),
    dict_on_list=build(b"]", {"a": 1}),
    dict_on_list_child=build(g("corpus", "ListChild") + b")\x81", {"a": 1}),
    none=build(PLAIN, None),
    zero=build(PLAIN, 0),
    list_=build(PLAIN, [1]),
    str_=build(PLAIN, "state"),
    empty_tuple=build(PLAIN, ()),
    one_tuple=build(PLAIN, ({"a": 1},)),
    three_tuple=build(PLAIN, ({"a": 1}, {}, {})),
    pair=build(PLAIN, ({"a": 1}, {"b": 2})),
    pair_none_dict=build(PLAIN, (None, {"b": 2})),
    pair_dict_none=build(PLAIN, ({"a": 1}, None)),
    pair_none_none=build(PLAIN, (None, None)),
    pair_empty=build(PLAIN, ({}, {})),
    pair_bad_state=build(PLAIN, ([1], {"b": 2})),
    pair_bad_slots=build(PLAIN, ({"a": 1}, [1])),
    pair_bad_slot_key=build(PLAIN, (None, {1: 2})),
    pair_on_slots=build(g("corpus", "Slotted") + b")\x81", (None, {"a": 1, "b": 2})),
    pair_on_slots_unknown=build(g("corpus", "Slotted") + b")\x81", (None, {"a": 1, "zz": 2})),
    dict_on_slots=build(g("corpus", "Slotted") + b")\x81", {"a": 1}),
    pair_dict_on_slots=build(g("corpus", "Slotted") + b")\x81", ({"x": 1}, {"a": 1})),
    pair_empty_dict_on_slots=build(g("corpus", "Slotted") + b")\x81", ({}, {"a": 1})),
    pair_on_slots_and_dict=build(g("corpus", "SlotsAndDict") + b")\x81", ({"x": 1}, {"a": 1})),
    non_str_keys=build(PLAIN, {1: "int", ("t",): "tuple", None: "none", b"b": 1}),
    non_str_keys_then_str=build(PLAIN, {1: "int", "a": 2}),
    str_then_non_str_keys=build(PLAIN, {"a": 2, 1: "int"}),
    key_setstate=build(PLAIN, {"__setstate__": 1, "a": 2}),
    key_class=build(PLAIN, {"__class__": 1, "a": 2}),
    key_dict=build(PLAIN, {"__dict__": {"x": 1}, "a": 2}),
    key_doc=build(PLAIN, {"__doc__": "text", "__module__": "m"}),
    key_empty=build(PLAIN, {"": 1}),
    key_not_identifier=build(PLAIN, {"not an identifier": 1, "é": 2, "\ud800": 3}),
    key_method_name=build(PLAIN, {"__init__": 1, "method": 2}),
    twice=PLAIN + v({"a": 1}) + b"b" + v({"b": 2, "a": 3}) + b"b.",
    twice_same_keys=PLAIN + v({"a": 1, "b": 2}) + b"b" + v({"b": 3, "a": 4}) + b"b.",
    thirty_one_keys=build(PLAIN, {f"k{i}": i for i in range(31)}),
    hundred_keys=build(PLAIN, {f"k{i}": i for i in range(100)}),
    two_instances_other_orders=PLAIN
    + v({"a": 1, "b": 2})
    + b"b"
    + PLAIN
    + v({"b": 1, "a": 2})
    + b"b\x86.",
    property_=build(g("loaders", "WithProperty") + b")\x81", {"value": 1, "other": 2}),
    setattr_=build(g("loaders", "OwnSetattr") + b")\x81", {"value": 1, "other": 2}),
    setattr_slots=build(g("loaders", "OwnSetattr") + b")\x81", (None, {"value": 1})),
    getattribute=build(g("loaders", "OwnGetattribute") + b")\x81", {"value": 1}),
    getattr_=build(g("loaders", "OwnGetattr") + b")\x81", {"value": 1}),
    dict_property=build(g("corpus", "DictProperty") + b")\x81", {"value": 1}),
    dict_property_empty=build(g("corpus", "DictProperty") + b")\x81", {}),
    failing_dict_property=build(g("loaders", "FailingDict") + b")\x81", {"value": 1}),
    data_descriptor=build(g("loaders", "WithDescriptor") + b")\x81", {"field": 1}),
    setstate=build(g("corpus", "State") + b")\x81", [1]),
    setstate_none=build(g("loaders", "SetstateNone") + b")\x81", {"a": 1}),
    setstate_fails=build(g("loaders", "SetstateFails") + b")\x81", {"a": 1}),
    setstate_property_fails=build(g("loaders", "SetstateProperty") + b")\x81", {"a": 1}),
    setstate_in_instance=PLAIN + v({"__setstate__": len}) + b"b" + v([1, 2]) + b"b.",
    on_exception=build(g("builtins", "ValueError") + b")R", {"a": 1}),
    on_exception_bad=build(g("builtins", "ValueError") + b")R", [1]),
    on_partial=build(
        g("functools", "partial") + g("builtins", "int") + b"\x85R", (int, (), {}, None)
    ),
    on_deque=build(g("collections", "deque") + b")R", {"a": 1}),
    on_ordered_dict=build(g("collections", "OrderedDict") + b")R", {"a": 1}),
    on_module=build(g("sys", "modules") + b"0K\x01", {"a": 1}),
    on_namespace=build(g("types", "SimpleNamespace") + b")R", {"a": 1}),
    dict_child_state=build(
        PLAIN, None, g("corpus", "DictChild") + b")\x81X\x01\x00\x00\x00aK\x01s"
    ),
    dict_child_own_items=build(PLAIN, None, g("corpus", "DictOverItems") + b")\x81K\x05K\x06s"),
    mappingproxy_state=build(
        PLAIN, None, g("types", "MappingProxyType") + b"}X\x01\x00\x00\x00aK\x01s\x85R"
    ),
    str_child_key=build(
        PLAIN, None, b"}" + g("corpus", "StrChild") + b"X\x01\x00\x00\x00a\x85\x81K\x01s"
    ),
    state_is_its_own_dict=build(
        g("corpus", "Plain") + b")\x81q\x05", None, b"}X\x01\x00\x00\x00ah\x05s"
    ),
    state_shared=b"]q\x09("
    + PLAIN
    + b"}q\x08X\x01\x00\x00\x00aK\x01sb"
    + PLAIN
    + b"h\x08beh\x08\x86.",
    nothing=b"b.",
    only_state=b"}b.",
    over_mark=PLAIN + b"(}b.",
    value_over_mark=PLAIN + b"(K\x01}b.",
    class_with_meta=build(g("corpus", "OfMeta") + b")\x81", {"a": 1}),
    dataclass=build(g("corpus", "Data") + b")\x81", {"a": 1, "b": 2, "c": [3]}),
    frozen_dataclass=build(g("corpus", "FrozenData") + b")\x81", {"a": 1, "b": 2}),
    slot_dataclass=build(g("corpus", "SlotData") + b")\x81", [1, 2]),
    class_attribute_hidden=build(g("corpus", "Child") + b")\x81", {"kind": "instance"}),
    slots_private=build(
        g("corpus", "PrivateSlots") + b")\x81", (None, {"_PrivateSlots__hidden": 1})
    ),
)

# --- persistent ids and buffers -------------------------------------------------------------------

listed(
    "persid",
    [
        b"Pabc\n.",
        b"P\n.",
        b"P\xff\n.",
        b"Pabc",
        b"P",
        b"Q.",
        b"NQ.",
        b"(Q.",
        b"K\x01\x85Q.",
        b"K\x01(Q.",
    ],
)
listed(
    "buffers",
    [b"\x97.", b"\x98.", b"\x97\x98.", b"K\x01\x98.", b"B\x01\x00\x00\x00x\x98.", b"\x97\x97\x86."],
)
listed("buffers", [b"\x96" + u64(3) + b"abc\x98.", b"\x97(\x98.", b"N\x98.", b"\x97\x972\x87."])

# --- frames ---------------------------------------------------------------------------------------

streams(
    "frame",
    whole=b"\x80\x04" + frame(b"K\x01."),
    empty=b"\x80\x04" + frame(b"") + b"K\x01.",
    at_protocol_0=frame(b"K\x01."),
    two=b"\x80\x04" + frame(b"K\x01") + frame(b"K\x02\x86."),
    empty_in_between=b"\x80\x04" + frame(b"K\x01") + frame(b"") * 3 + frame(b"K\x02\x86."),
    unframed_after=b"\x80\x04" + frame(b"K\x01") + b"K\x02\x86.",
    longer_than_pickle=b"\x80\x04" + frame(b"K\x01.rest"),
    truncated=b"\x80\x04" + frame(b"K\x01.", 100),
    truncated_by_one=b"\x80\x04" + frame(b"K\x01.", 4),
    header_truncated=b"\x80\x04\x95\x01\x00",
    proto_inside=frame(b"\x80\x04K\x01."),
    stop_outside=b"\x80\x04" + frame(b"K\x01") + b".",
    uncountable=b"\x80\x04" + frame(b"N0") + b"\x95" + u64(2**63) + b"N.",
    uncountable_header_ends_the_outer_one=b"\x80\x04" + frame(b"N0\x95" + u64(2**63)) + b"N.",
    ends_between_opcode_and_argument=b"\x80\x04" + frame(b"K") + b"\x01.",
    ends_between_length_and_payload=b"\x80\x04" + frame(b"X\x03\x00\x00\x00") + b"abc.",
    ends_between_lines=b"\x80\x04" + frame(b"ccorpus\n") + b"Plain\n.",
    ends_before_line=b"\x80\x04" + frame(b"V") + b"abc\n.",
    ends_before_bytes=b"\x80\x04" + frame(b"B\x03\x00\x00\x00") + b"abc.",
    ends_before_long=b"\x80\x04" + frame(b"\x8a\x02") + b"\x01\x01.",
    large=b"\x80\x04" + frame(b"(" + b"K\x01" * 40000 + b"t."),
)

#: Streams in which a read starts inside a frame and crosses its end, or a frame starts in a frame.
FRAMES: dict[str, bytes] = {
    "argument crosses": b"\x80\x04" + frame(b"J\x01\x00") + b"\x00\x00.",
    "payload crosses": b"\x80\x04" + frame(b"X\x03\x00\x00\x00a") + b"bc.",
    "bytes payload crosses": b"\x80\x04" + frame(b"B\x03\x00\x00\x00a") + b"bc.",
    "bytearray payload crosses": b"\x80\x04" + frame(b"\x96" + u64(3) + b"a") + b"bc.",
    "long payload crosses": b"\x80\x04" + frame(b"\x8a\x02\x01") + b"\x01.",
    "length crosses": b"\x80\x04" + frame(b"X\x03\x00") + b"\x00\x00abc.",
    "line crosses": b"\x80\x04" + frame(b"Va") + b"bc\n.",
    "int line crosses": b"\x80\x04" + frame(b"I1") + b"2\n.",
    "global line crosses": b"\x80\x04" + frame(b"ccorp") + b"us\nPlain\n.",
    "second global line crosses": b"\x80\x04" + frame(b"ccorpus\nPl") + b"ain\n.",
    "memo index crosses": b"\x80\x04" + frame(b"Nr\x00\x00") + b"\x00\x000h\x00.",
    "frame in a frame": b"\x80\x04" + frame(frame(b"K\x01") + b"."),
    "frame longer than the outer one": b"\x80\x04"
    + frame(b"N0\x95" + u64(50) + b"K\x01")
    + b"K\x01" * 24
    + b".",
    "frame in a frame, empty": b"\x80\x04" + frame(b"N0" + frame(b"") + b"N."),
    "frame in a frame, of all that can be counted": b"\x80\x04"
    + frame(b"N0\x95" + u64(2**63 - 1) + b"N."),
    "frame in a frame, of more than can be counted": b"\x80\x04"
    + frame(b"N0\x95" + u64(2**63) + b"N."),
    "frame header crosses": b"\x80\x04" + frame(b"N0\x95\x01\x00") + bytes(6) + b"N.",
    "frame header ends the outer frame": b"\x80\x04" + frame(b"N\x95" + u64(1)) + b".",
}

_GIB = 1 << 30

#: Sizes and indices that no data stands behind; all but `memo` end in "pickle data was truncated".
HOSTILE: dict[str, bytes] = {
    "binbytes8 of 2**40": b"\x8e" + u64(2**40) + b"abc",
    "binbytes8 of 2**62": b"\x8e" + u64(2**62) + b"abc",
    "bytearray8 of 2**40": b"\x96" + u64(2**40) + b"abc",
    "bytearray8 of 2**62": b"\x96" + u64(2**62) + b"abc",
    "binbytes of 2 GiB": b"B" + u32(2 * _GIB) + b"abc",
    "binbytes of 4 GiB": b"B" + u32(2**32 - 1) + b"abc",
    "binunicode of 4 GiB": b"X" + u32(2**32 - 1) + b"abc",
    "binunicode8 of 2**40": b"\x8d" + u64(2**40) + b"abc",
    "binstring of 1 GiB": b"T" + u32(_GIB) + b"abc",
    "long4 of 2 GiB": b"\x8b" + u32(2 * _GIB - 1) + b"abc",
    "frame of 1 GiB": b"\x80\x04\x95" + u64(_GIB) + b"N.",
    "frame of 2**40": b"\x80\x04\x95" + u64(2**40) + b"N.",
    "frame of 2**62": b"\x80\x04\x95" + u64(2**62) + b"N.",
}

#: The same for memo indices: these load.
SPARSE: dict[str, bytes] = {
    "long_binput of 2**31": b"K\x01r" + u32(2**31) + b"0j" + u32(2**31) + b".",
    "long_binput of 2**32 - 1": b"K\x02r" + u32(2**32 - 1) + b".",
    "put of 10**12": b"K\x03p1000000000000\n0g1000000000000\n.",
    "put of 2**62": b"K\x04p4611686018427387904\n0g4611686018427387904\n.",
    "put of 2**63 - 1": b"K\x05p9223372036854775807\n0g9223372036854775807\n.",
    "many sparse": b"".join(b"K" + bytes([i]) + b"p%d\n0" % (10**9 + i * 10**6) for i in range(200))
    + b"g1000000000\ng1199000000\n\x86.",
    # From 3.15 on a sparse entry does not count for the index of MEMOIZE.
    "sparse, then dense": b"K\x06r"
    + u32(2**30)
    + (b"0K\x07\x940h\x00j" if sys.version_info >= (3, 15) else b"0K\x07\x940h\x01j")
    + u32(2**30)
    + b"\x86.",
}
