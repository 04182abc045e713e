//! The opcode table, declared once.
//!
//! One line an opcode: variant, name, byte, first protocol, argument, stack before and after, and
//! what it means. The pickler's constants ([`op`]), the unpickler's `match` over [`Op`] and the
//! scanner's [`Info`] all come from these lines. Names, arguments and stack effects are those of
//! the standard library's `pickletools`; a test compares them. This file must hold no behaviour.

/// The argument that follows an opcode, under its `pickletools` name.
///
/// Integers are little-endian, except in `Float8`. "Counted" means: a length of the given number
/// of bytes, then that many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// Nothing follows.
    None,
    /// One unsigned byte.
    Uint1,
    /// Two bytes, unsigned.
    Uint2,
    /// Four bytes, signed.
    Int4,
    /// Four bytes, unsigned.
    Uint4,
    /// Eight bytes, unsigned.
    Uint8,
    /// An IEEE 754 double, big-endian.
    Float8,
    /// A line with a decimal number; `00` and `01` are the bools in INT.
    DecimalnlShort,
    /// A line with a decimal number that may end in `L`.
    DecimalnlLong,
    /// A line with a decimal float.
    Floatnl,
    /// A line with a Python 2 string literal.
    Stringnl,
    /// A line, taken as it is.
    StringnlNoescape,
    /// Two lines, taken as they are.
    StringnlNoescapePair,
    /// A line in raw-unicode-escape.
    Unicodestringnl,
    /// Counted by one byte: a Python 2 string.
    String1,
    /// Counted by four bytes, signed: a Python 2 string.
    String4,
    /// Counted by one byte: two's complement, little-endian.
    Long1,
    /// Counted by four bytes, signed: two's complement, little-endian.
    Long4,
    /// Counted by one byte.
    Bytes1,
    /// Counted by four bytes.
    Bytes4,
    /// Counted by eight bytes.
    Bytes8,
    /// Counted by eight bytes, for a bytearray.
    Bytearray8,
    /// Counted by one byte: UTF-8, surrogates allowed.
    Unicodestring1,
    /// Counted by four bytes: UTF-8, surrogates allowed.
    Unicodestring4,
    /// Counted by eight bytes: UTF-8, surrogates allowed.
    Unicodestring8,
}

/// What an opcode takes from the stack or leaves there, under its `pickletools` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Any object.
    Any,
    /// `None`.
    None,
    /// An int that is not a bool.
    Int,
    /// An int or a bool.
    IntOrBool,
    /// A bool.
    Bool,
    /// A float.
    Float,
    /// A str.
    Str,
    /// A Python 2 string: str or bytes, as the encoding given to the unpickler says.
    BytesOrStr,
    /// A bytes object.
    Bytes,
    /// A bytearray.
    Bytearray,
    /// An out-of-band buffer.
    Buffer,
    /// A tuple.
    Tuple,
    /// A list.
    List,
    /// A dict.
    Dict,
    /// A set.
    Set,
    /// A frozenset.
    Frozenset,
    /// The topmost mark.
    Mark,
    /// All objects above the topmost mark.
    Stackslice,
}

/// All that the table says about one opcode.
#[derive(Debug)]
pub struct Info {
    /// The opcode.
    pub op: Op,
    /// Its name in `pickletools`.
    pub name: &'static str,
    /// The first protocol that has it, 0 to 5.
    pub protocol: u8,
    /// The argument that follows it.
    pub arg: Arg,
    /// What it takes from the stack, topmost last.
    pub before: &'static [Slot],
    /// What it leaves on the stack, topmost last.
    pub after: &'static [Slot],
    /// What it means, in a line.
    pub meaning: &'static str,
}

macro_rules! opcodes {
    ($(
        $variant:ident $name:ident $byte:literal $protocol:literal $arg:ident
        [$($before:ident)*] [$($after:ident)*] $meaning:literal;
    )*) => {
        /// An opcode; the discriminant is its byte.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Op {
            $(#[doc = $meaning] $variant = $byte,)*
        }

        /// The bytes of the opcodes, under their `pickletools` names.
        pub mod op {
            $(#[doc = $meaning] pub const $name: u8 = $byte;)*
        }

        impl Op {
            /// Every opcode, in the order of the table.
            pub const ALL: &[Op] = &[$(Op::$variant),*];

            /// The opcode with this byte, if there is one.
            ///
            /// A `match` and not a table in memory: where the caller matches over the result, the
            /// compiler makes one jump of both.
            #[inline(always)]
            pub const fn decode(byte: u8) -> Option<Op> {
                match byte {
                    $($byte => Some(Op::$variant),)*
                    _ => None,
                }
            }

            /// What the table says about this opcode.
            pub const fn info(self) -> &'static Info {
                match self {
                    $(Op::$variant => const {
                        &Info {
                            op: Op::$variant,
                            name: stringify!($name),
                            protocol: $protocol,
                            arg: Arg::$arg,
                            before: &[$(Slot::$before),*],
                            after: &[$(Slot::$after),*],
                            meaning: $meaning,
                        }
                    },)*
                }
            }

            /// Its name in `pickletools`.
            pub const fn name(self) -> &'static str {
                self.info().name
            }
        }
    };
}

#[rustfmt::skip]
opcodes! {
    // The stack, the memo, and the stream itself.
    Mark            MARK             0x28 0 None [] [Mark] "push a mark";
    Stop            STOP             0x2e 0 None [Any] [] "end of the pickle: the top is the result";
    Pop             POP              0x30 0 None [Any] [] "drop the top, or the topmost mark";
    PopMark         POP_MARK         0x31 1 None [Mark Stackslice] [] "drop everything down to the topmost mark, and the mark";
    Dup             DUP              0x32 0 None [Any] [Any Any] "push the top once more";
    Get             GET              0x67 0 DecimalnlShort [] [Any] "push a memo entry";
    BinGet          BINGET           0x68 1 Uint1 [] [Any] "push a memo entry";
    LongBinGet      LONG_BINGET      0x6a 1 Uint4 [] [Any] "push a memo entry";
    Put             PUT              0x70 0 DecimalnlShort [] [] "store the top in the memo";
    BinPut          BINPUT           0x71 1 Uint1 [] [] "store the top in the memo";
    LongBinPut      LONG_BINPUT      0x72 1 Uint4 [] [] "store the top in the memo";
    Memoize         MEMOIZE          0x94 4 None [Any] [Any] "store the top in the memo under the next index";
    Proto           PROTO            0x80 2 Uint1 [] [] "the protocol of the pickle";
    Frame           FRAME            0x95 4 Uint8 [] [] "a frame of so many bytes begins";

    // Constants and numbers.
    NoneObject      NONE             0x4e 0 None [] [None] "push None";
    NewTrue         NEWTRUE          0x88 2 None [] [Bool] "push True";
    NewFalse        NEWFALSE         0x89 2 None [] [Bool] "push False";
    Int             INT              0x49 0 DecimalnlShort [] [IntOrBool] "push an int, or a bool";
    BinInt          BININT           0x4a 1 Int4 [] [Int] "push a signed int";
    BinInt1         BININT1          0x4b 1 Uint1 [] [Int] "push an int below 256";
    BinInt2         BININT2          0x4d 1 Uint2 [] [Int] "push an int below 65536";
    Long            LONG             0x4c 0 DecimalnlLong [] [Int] "push an int of any size";
    Long1           LONG1            0x8a 2 Long1 [] [Int] "push an int of up to 255 bytes";
    Long4           LONG4            0x8b 2 Long4 [] [Int] "push an int of up to 2 GiB";
    Float           FLOAT            0x46 0 Floatnl [] [Float] "push a float";
    BinFloat        BINFLOAT         0x47 1 Float8 [] [Float] "push a float";

    // Text and bytes.
    String          STRING           0x53 0 Stringnl [] [BytesOrStr] "push a Python 2 string";
    BinString       BINSTRING        0x54 1 String4 [] [BytesOrStr] "push a Python 2 string";
    ShortBinString  SHORT_BINSTRING  0x55 1 String1 [] [BytesOrStr] "push a Python 2 string";
    Unicode         UNICODE          0x56 0 Unicodestringnl [] [Str] "push a str";
    BinUnicode      BINUNICODE       0x58 1 Unicodestring4 [] [Str] "push a str";
    ShortBinUnicode SHORT_BINUNICODE 0x8c 4 Unicodestring1 [] [Str] "push a str of up to 255 bytes";
    BinUnicode8     BINUNICODE8      0x8d 4 Unicodestring8 [] [Str] "push a str of any length";
    BinBytes        BINBYTES         0x42 3 Bytes4 [] [Bytes] "push a bytes object";
    ShortBinBytes   SHORT_BINBYTES   0x43 3 Bytes1 [] [Bytes] "push a bytes object of up to 255 bytes";
    BinBytes8       BINBYTES8        0x8e 4 Bytes8 [] [Bytes] "push a bytes object of any length";
    ByteArray8      BYTEARRAY8       0x96 5 Bytearray8 [] [Bytearray] "push a bytearray";
    NextBuffer      NEXT_BUFFER      0x97 5 None [] [Buffer] "push the next out-of-band buffer";
    ReadonlyBuffer  READONLY_BUFFER  0x98 5 None [Buffer] [Buffer] "make the buffer on top read-only";

    // Containers.
    EmptyTuple      EMPTY_TUPLE      0x29 1 None [] [Tuple] "push an empty tuple";
    Tuple1          TUPLE1           0x85 2 None [Any] [Tuple] "make a tuple of the top";
    Tuple2          TUPLE2           0x86 2 None [Any Any] [Tuple] "make a tuple of the two topmost objects";
    Tuple3          TUPLE3           0x87 2 None [Any Any Any] [Tuple] "make a tuple of the three topmost objects";
    Tuple           TUPLE            0x74 0 None [Mark Stackslice] [Tuple] "make a tuple of the objects above the mark";
    EmptyList       EMPTY_LIST       0x5d 1 None [] [List] "push an empty list";
    List            LIST             0x6c 0 None [Mark Stackslice] [List] "make a list of the objects above the mark";
    Append          APPEND           0x61 0 None [List Any] [List] "append an item";
    Appends         APPENDS          0x65 1 None [List Mark Stackslice] [List] "append the objects above the mark";
    EmptyDict       EMPTY_DICT       0x7d 1 None [] [Dict] "push an empty dict";
    Dict            DICT             0x64 0 None [Mark Stackslice] [Dict] "make a dict of the key-value pairs above the mark";
    SetItem         SETITEM          0x73 0 None [Dict Any Any] [Dict] "set an item";
    SetItems        SETITEMS         0x75 1 None [Dict Mark Stackslice] [Dict] "set the key-value pairs above the mark";
    EmptySet        EMPTY_SET        0x8f 4 None [] [Set] "push an empty set";
    AddItems        ADDITEMS         0x90 4 None [Set Mark Stackslice] [Set] "add the objects above the mark to a set";
    FrozenSet       FROZENSET        0x91 4 None [Mark Stackslice] [Frozenset] "make a frozenset of the objects above the mark";

    // Classes, functions and instances.
    Global          GLOBAL           0x63 0 StringnlNoescapePair [] [Any] "push a global, named by two lines";
    StackGlobal     STACK_GLOBAL     0x93 4 None [Str Str] [Any] "push a global, named by the two topmost strings";
    Ext1            EXT1             0x82 2 Uint1 [] [Any] "push a global registered under an extension code";
    Ext2            EXT2             0x83 2 Uint2 [] [Any] "push a global registered under an extension code";
    Ext4            EXT4             0x84 2 Int4 [] [Any] "push a global registered under an extension code";
    Reduce          REDUCE           0x52 0 None [Any Any] [Any] "call a callable with a tuple of arguments";
    Build           BUILD            0x62 0 None [Any Any] [Any] "give an instance its state";
    Inst            INST             0x69 0 StringnlNoescapePair [Mark Stackslice] [Any] "make an instance of a class named by two lines";
    Obj             OBJ              0x6f 1 None [Mark Any Stackslice] [Any] "make an instance of the class just above the mark";
    NewObj          NEWOBJ           0x81 2 None [Any Any] [Any] "call cls.__new__(cls, *args)";
    NewObjEx        NEWOBJ_EX        0x92 4 None [Any Any Any] [Any] "call cls.__new__(cls, *args, **kwargs)";
    PersId          PERSID           0x50 0 StringnlNoescape [] [Any] "push the object of a persistent id, given as a line";
    BinPersId       BINPERSID        0x51 1 None [Any] [Any] "push the object of a persistent id, given by the top";
}
