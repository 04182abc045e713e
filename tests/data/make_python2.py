"""Writes the `python2_*.pickle` files beside it. Run it with Python 2.7; the files are kept.

One value, pickled by both of Python 2's picklers at its three protocols: byte strings, unicode,
old-style and new-style instances, longs, sets, dates and nested names.
"""

import collections
import datetime
import decimal
import os
import pickle
import cPickle


class Old:
    def __init__(self, **kw):
        self.__dict__.update(kw)


class OldInit:
    def __init__(self, a, b):
        self.args = (a, b)

    def __getinitargs__(self):
        return self.args


class New(object):
    def __init__(self, **kw):
        self.__dict__.update(kw)


class Slots(object):
    __slots__ = ("a", "b")

    def __getstate__(self):
        return None, {"a": self.a}

    def __setstate__(self, state):
        for name, value in state[1].items():
            setattr(self, name, value)


class StrChild(str):
    pass


for cls in (Old, OldInit, New, Slots, StrChild):
    cls.__module__ = "python2_classes"


def value():
    slots = Slots()
    slots.a = [1]
    shared = ["shared", u"unicode"]
    recursive = []
    recursive.append(recursive)
    return [
        None, True, False, 0, -1, 255, 256, 65536, 2 ** 31, 10 ** 30, long(5), 1.5, -0.0, 2 + 3j,
        "ascii", "quote ' and \" and \\ and \n \t \x00", "\xe9\xff bytes", "x" * 300, "",
        u"unicode \xe9 \u20ac \U0001f600 \\u0041 \n", u"",
        (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], {}, {"k": 1, u"u": 2, 3: "v"},
        set([1, 2]), frozenset(["x"]), range(10), xrange(3),
        shared, shared, recursive,
        Old(a=1, b="text"), Old(), OldInit(1, "two"), New(a=[1], b=Old(c=2)), New(), slots,
        StrChild("child"), Exception("message", 1), KeyError("k"),
        datetime.datetime(2001, 2, 3, 4, 5, 6, 7), datetime.date(1999, 12, 31),
        datetime.timedelta(1, 2, 3), decimal.Decimal("1.10"),
        collections.OrderedDict([("a", 1)]), collections.defaultdict(list, {"k": [1]}),
        collections.deque([1, 2], 5), len, dict, Old, New, reduce, unicode, long,
    ]


if __name__ == "__main__":
    import sys
    import types

    module = types.ModuleType("python2_classes")
    for cls in (Old, OldInit, New, Slots, StrChild):
        setattr(module, cls.__name__, cls)
    sys.modules["python2_classes"] = module
    here = os.path.dirname(os.path.abspath(__file__))
    for name, maker in (("pickle", pickle), ("cpickle", cPickle)):
        for protocol in (0, 1, 2):
            path = os.path.join(here, "python2_%s_%d.pickle" % (name, protocol))
            with open(path, "wb") as out:
                out.write(maker.dumps(value(), protocol))
