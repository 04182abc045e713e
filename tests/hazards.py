"""Objects whose reducers change the world in the middle of a dump.

Each factory is one hazard of writing without counting references, caching decisions by type, or
reading objects where they lie. Every factory builds new objects, so that both implementations see
the same story once. Must not import `pickle`.
"""

from __future__ import annotations

import copyreg
import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

from corpus import (
    Built,
    Child,
    DictChild,
    FrozenChild,
    ListChild,
    Many,
    Node,
    Plain,
    Point,
    Reduces,
    SlotData,
    Slotted,
    TupleChild,
    build,
    module_function,
)

HAZARDS: dict[str, Callable[[], Any]] = {}


def hazard(make: Callable[[], Any]) -> Callable[[], Any]:
    HAZARDS[make.__name__] = make
    return make


def calling(function: Callable[[], Any]) -> Reduces:
    """An object that calls *function* while it is reduced and saves what it returned."""
    return Reduces(lambda self, protocol: (build, (function(),)))


def junk(count: int = 50) -> list[Any]:
    """Allocate objects of common sizes, to take over addresses that were just freed."""
    return [[(i, str(i)), {"j": i}, Plain(a=i), bytes([i, i + 1]), f"{i}!"] for i in range(count)]


# --- objects with one owner that come back -----------------------------------------------------


@hazard
def sole_owned_list_fetched_by_a_later_reducer() -> Any:
    holder: list[Any] = [[1, 2], (3, [4]), {"k": 5}, "".join(["s", "x"]), bytes([1, 2, 3])]
    return [holder, *(calling(lambda i=i: holder[i]) for i in range(len(holder)))]


@hazard
def sole_owned_instance_fetched_by_a_later_reducer() -> Any:
    holder = [Plain(a=[1]), Slotted([1], (2,)), Point([1], "y"), Node([1]), SlotData([1])]
    return [holder, *(calling(lambda i=i: holder[i]) for i in range(len(holder)))]


@hazard
def parts_of_an_instance_fetched_by_a_later_reducer() -> Any:
    x = Plain(a=[1], b=("t", [2]), c={"k": "".join(["v", "w"])})
    return [x, calling(lambda: [x.b, x.c, x.a, x.c["k"], x.__dict__])]


@hazard
def state_dict_fetched_by_a_later_reducer() -> Any:
    xs = [Plain(a=i, b=[i]) for i in range(3)]
    return [*xs, calling(lambda: [(x, x.__dict__) for x in xs])]


@hazard
def state_dict_fetched_before_its_instance() -> Any:
    x = Plain(a=1)
    return [calling(lambda: x.__dict__), x, calling(lambda: (x.__dict__, x))]


@hazard
def state_dict_of_an_instance_in_progress() -> Any:
    x = Plain(a=1)
    x.r = calling(lambda: [x, x.__dict__])
    x.z = [2]
    return [x, x.__dict__]


@hazard
def instance_grows_while_it_is_saved() -> Any:
    x = Plain(a=1)

    def grow() -> Any:
        x.added = "later"
        return 1

    x.r = calling(grow)
    return [x]


@hazard
def attribute_replaced_while_it_is_saved() -> Any:
    x = Plain(a=1)

    def replace() -> Any:
        x.z = ["replaced"]
        return junk(3)

    x.r = calling(replace)
    x.z = ["original"]
    return [x, x.z]


@hazard
def attribute_deleted_and_added_while_it_is_saved() -> Any:
    x = Plain(a=1)

    def swap() -> Any:
        del x.z
        x.other = 3
        return 1

    x.r = calling(swap)
    x.z = ["original"]
    return x


@hazard
def dict_replaced_while_its_instance_is_saved() -> Any:
    x = Plain(a=1)

    def replace() -> Any:
        x.__dict__ = {"new": [1]}
        return junk(5)

    x.r = calling(replace)
    x.z = [2]
    return [x, calling(lambda: x.__dict__)]


@hazard
def class_changed_while_its_instance_is_saved() -> Any:
    x = Plain(a=1)

    def change() -> Any:
        x.__class__ = Child
        return 1

    x.r = calling(change)
    return [x, x, Plain(b=1)]


@hazard
def slot_replaced_while_it_is_saved() -> Any:
    x = Slotted()

    def replace() -> Any:
        x.b = "replaced"
        return junk(3)

    x.a = calling(replace)
    x.b = ["original"]
    return [x, calling(lambda: x.b)]


@hazard
def weak_reference_to_a_sole_owned_instance() -> Any:
    x = Plain(a=[1])
    ref = weakref.ref(x)
    holder = [x]
    del x
    return [holder, calling(lambda: ref())]


@hazard
def collector_finds_a_sole_owned_list() -> Any:
    mark = ["needle", object.__doc__]
    holder = [mark]
    del mark

    def find() -> Any:
        lists = gc.get_referents(holder)
        return [item for item in lists if type(item) is list]

    return [holder, calling(find)]


@hazard
def sole_owned_string_becomes_shared() -> Any:
    holder = ["".join(["only ", "one"]), "".join(["another ", "one"])]
    return [holder, calling(lambda: holder[1]), calling(lambda: [holder[1], holder[0]])]


@hazard
def keys_fetched_by_a_later_reducer() -> Any:
    value = {"".join(["key ", str(i)]): i for i in range(3)}
    return [value, calling(lambda: list(value))]


@hazard
def set_elements_fetched_by_a_later_reducer() -> Any:
    value = {"".join(["one ", "element"])}
    frozen = frozenset([(1, "".join(["inner ", "x"]))])
    return [value, frozen, calling(lambda: [list(value), list(frozen)])]


def _names(count: int) -> list[str]:
    """Attribute names that nobody holds afterwards but whoever stored them."""
    return ["".join(["made", " name ", str(i)]) for i in range(count)]


@hazard
def attribute_names_owned_by_shared_keys() -> Any:
    """One reference, but reached through each instance of the class."""
    cls = _fresh_class()
    xs = [cls(i) for i in range(3)]
    for x in xs:
        for name in _names(4):
            setattr(x, name, [name[-1]])
    return xs


@hazard
def attribute_names_owned_by_shared_keys_of_materialised_dicts() -> Any:
    cls = _fresh_class()
    xs = [cls(i) for i in range(3)]
    for x in xs:
        for name in _names(4):
            setattr(x, name, name[-1])
        vars(x)
    return [xs, [vars(x) for x in xs]]


@hazard
def slot_names_owned_by_the_class() -> Any:
    cls = type("HazardLocal", (), {"__slots__": _names_of_slots(), "__module__": __name__})
    globals()["HazardLocal"] = cls
    xs = [cls() for _ in range(3)]
    for x in xs:
        for name in _names_of_slots():
            setattr(x, name, [name])
    return xs


def _names_of_slots() -> list[str]:
    return ["".join(["made_slot_", str(i)]) for i in range(3)]


@hazard
def keys_shared_by_copied_dicts() -> Any:
    first = {name: 1 for name in _names(3)}
    return [first, dict(first), first | {}, dict.fromkeys(first)]


@hazard
def objects_owned_once_by_something_reached_twice() -> Any:
    """A default, a closure's cell, a class attribute: one reference, many ways to it."""
    inner = Plain(a=["".join(["only ", "here"])])
    proxies = [Reduces(lambda self, p: (build, (inner.a,))) for _ in range(2)]
    return [*proxies, Reduces(lambda self, p: (build, (inner,)))]


# --- freed and replaced ------------------------------------------------------------------------


@hazard
def saved_object_freed_by_a_reducer() -> Any:
    """An address in the memo must stay taken until the end of the dump."""
    holder: list[Any] = [[1, 2], 0]

    def replace() -> Any:
        holder[0] = None
        return [[3, 4] for _ in range(20)]

    holder[1] = calling(replace)
    return [holder, calling(junk)]


@hazard
def saved_instance_freed_by_a_reducer() -> Any:
    holder: dict[str, Any] = {"x": Plain(a=1, b=[2]), "r": None}

    def replace() -> Any:
        holder["x"] = None
        return [Plain(a=1, b=[2]) for _ in range(20)]

    holder["r"] = calling(replace)
    return [holder, calling(junk)]


@hazard
def saved_tuple_freed_by_a_reducer() -> Any:
    holder: list[Any] = [([1], (2, 3), "".join(["x", "y"])), 0, (4, 5)]

    def replace() -> Any:
        holder[0] = 0
        return [([1], (2, 3), "".join(["x", "y"])) for _ in range(20)]

    holder[1] = calling(replace)
    return [holder, (1, [holder])]


@hazard
def container_in_progress_loses_its_saved_items() -> Any:
    holder: list[Any] = [[1], [2], 0, [3]]

    def replace() -> Any:
        holder[0] = [10]
        holder[1] = [20]
        holder[3] = [30]
        return [list(holder[:2]), junk(5)]

    holder[2] = calling(replace)
    return holder


@hazard
def dict_values_replaced_in_progress() -> Any:
    holder: dict[str, Any] = {"a": [1], "r": None, "b": [2], "c": (3, [4])}

    def replace() -> Any:
        for key in ("a", "b", "c"):
            holder[key] = [key]
        return junk(5)

    holder["r"] = calling(replace)
    return [holder, calling(lambda: holder["b"])]


@hazard
def dict_entry_popped_and_put_back() -> Any:
    holder: dict[str, Any] = {"a": [1], "r": None, "b": [2], "c": [3]}

    def move() -> Any:
        holder["b"] = holder.pop("b")
        return 1

    holder["r"] = calling(move)
    return holder


@hazard
def outer_container_cleared_by_a_reducer() -> Any:
    outer: list[Any] = [[1, "".join(["a", "b"])], 0]

    def clear() -> Any:
        outer[0].clear()
        outer[0].extend(["x", "y"])
        return junk(5)

    outer[1] = calling(clear)
    return [outer, outer]


@hazard
def finaliser_runs_in_the_middle() -> Any:
    """`__del__` is user code, and runs when a reducer's garbage is freed."""
    kept: list[Any] = [[1], [2]]

    class Finaliser:
        def __del__(self) -> None:
            kept[0] = "by __del__"

    holder: list[Any] = [kept, Finaliser, 0]

    def drop() -> Any:
        Finaliser()
        return list(kept)

    holder[1] = calling(drop)
    return [holder[0], holder[1], kept, calling(lambda: kept[1])]


@hazard
def temporaries_at_the_same_address() -> Any:
    """Reduce values are freed at once in Python, so the next one may lie at the same address."""

    def fresh(self: Any, protocol: int) -> Any:
        return build, ([1], {"k": 2}, (3, [4])), {"state": ["s"]}

    return [Reduces(fresh) for _ in range(30)]


@hazard
def fresh_states_at_the_same_address() -> Any:
    class FreshState:
        pass

    xs = [Plain(i=i) for i in range(20)]
    copyreg.pickle(Plain, lambda x: (build, (x.i,), {"i": x.i, "l": [x.i]}))
    return [xs, xs]


@hazard
def fresh_iterator_items_at_the_same_address() -> Any:
    def make(self: Any, protocol: int) -> Any:
        items = ([i, (i, "".join(["n", str(i)]))] for i in range(20))
        pairs = (("".join(["k", str(i)]), [i]) for i in range(20))
        return build, (), None, items, pairs

    return [Reduces(make), Reduces(make)]


@hazard
def iterator_yields_objects_saved_before() -> Any:
    holder = [[1], (2, [3]), Plain(a=4)]

    def items() -> Any:
        yield from holder
        holder[0] = None
        yield from junk(2)
        yield from holder

    return [holder, Reduces(lambda self, p: (build, (), None, items()))]


@hazard
def pairs_yield_objects_saved_before() -> Any:
    holder = {"a": [1], "b": Plain(x=[2])}
    return [holder, Reduces(lambda self, p: (build, (), None, None, iter(holder.items())))]


@hazard
def iterator_yields_the_same_tuple_again() -> Any:
    """`dict.items()` and `zip` reuse their result tuple when nobody else holds it."""
    pairs = zip(["a", "b", "c"], [[1], [2], [3]])
    return [
        Reduces(lambda self, p: (build, (), None, zip([[1], [2]], [[3], [4]]))),
        Reduces(lambda self, p: (build, (), None, None, pairs)),
    ]


# --- reduce values -----------------------------------------------------------------------------


@hazard
def reduce_value_returned_twice() -> Any:
    value = (build, ([1], "x"), {"s": 1})
    return [Reduces(lambda self, p: value), Reduces(lambda self, p: value)]


@hazard
def args_tuple_returned_twice() -> Any:
    args = ([1], "x")
    return [Reduces(lambda self, p: (build, args)), Reduces(lambda self, p: (build, args)), args]


@hazard
def state_returned_twice() -> Any:
    state = {"a": [1]}
    return [Reduces(lambda self, p: (build, (), state)) for _ in range(3)]


@hazard
def newobj_args_returned_twice() -> Any:
    args = (Reduces, [1])
    value = (copyreg.__newobj__, args)
    return [Reduces(lambda self, p: value), Reduces(lambda self, p: value), args]


@hazard
def newobj_ex_kwargs_returned_twice() -> Any:
    kwargs = {"k": [1]}
    args = (1, [2])
    return [
        *(Reduces(lambda s, p: (copyreg.__newobj_ex__, (Reduces, args, kwargs))) for _ in range(2)),
        kwargs,
        args,
    ]


@hazard
def reduce_value_refers_to_its_own_state_dict() -> Any:
    return Reduces(lambda self, p: (build, (self.__dict__,), self.__dict__))


@hazard
def reduce_args_are_the_state() -> Any:
    shared = ("a", ["b"])
    return [Reduces(lambda self, p: (build, shared, shared)), shared]


# --- nested dumps ------------------------------------------------------------------------------


def _nested_dumps(obj: Any, protocol: int) -> bytes:
    """Dump with the module that is running the outer dump: see `running` in the tests."""
    return running.dumps(obj, protocol)


class _Running:
    dumps: Callable[..., bytes]
    loads: Callable[..., Any]


#: Set by the tests to the implementation whose turn it is.
running: Any = _Running()


@hazard
def reducer_dumps_the_object_in_progress() -> Any:
    holder: list[Any] = [[1], Plain(a=[2])]

    def nested(self: Any, protocol: int) -> Any:
        return build, (_nested_dumps(holder[:2], protocol), holder[1])

    holder.append(Reduces(nested))
    holder.append(Plain(a=[2]))
    return [holder, holder[1].__dict__]


@hazard
def reducer_dumps_an_instance_in_progress() -> Any:
    x = Plain(a=[1])

    def nested(self: Any, protocol: int) -> Any:
        x.__dict__.pop("r")
        data = _nested_dumps(x, protocol)
        x.r = self
        return build, (data,)

    x.z = 1
    x.r = Reduces(nested)
    return [x, x.__dict__]


@hazard
def reducer_dumps_and_loads() -> Any:
    shared = [1, ("t",)]

    def nested(self: Any, protocol: int) -> Any:
        return build, (running.loads(_nested_dumps([shared, junk(3)], protocol)), shared)

    return [shared, Reduces(nested), Reduces(nested), shared]


@hazard
def nested_dumps_forty_deep() -> Any:
    def nested(self: Any, protocol: int) -> Any:
        depth = self.depth
        inner = Reduces(nested)
        inner.depth = depth - 1
        data = _nested_dumps([inner, [depth]], protocol) if depth else b""
        return build, (len(data), [depth])

    x = Reduces(nested)
    x.depth = 40
    return [x, [1]]


# --- classes change ----------------------------------------------------------------------------


def _fresh_class() -> Any:
    """A new class that can be found by name, so that changes to it stay in one story."""

    class Local:
        def __init__(self, a: Any) -> None:
            self.a = a

    Local.__qualname__ = Local.__name__ = "HazardLocal"
    Local.__module__ = __name__
    globals()["HazardLocal"] = Local
    return Local


def _class_story(change: Callable[[Any], Any]) -> Any:
    """Two instances before the change, two after it, all in one dump."""
    cls = _fresh_class()
    before = [cls([1]), cls([2])]
    return [before, calling(lambda: change(cls)), [cls([3]), cls([4])], before[0]]


def _returns(value: Any) -> Callable[..., Any]:
    return lambda *args: value


@hazard
def reduce_ex_added_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__reduce_ex__", _returns((build, ("new",)))))


@hazard
def reduce_added_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__reduce__", _returns((build, ("new",)))))


@hazard
def getstate_added_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__getstate__", _returns({"new": [1]})))


@hazard
def getnewargs_added_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__getnewargs__", _returns((1, [2]))))


@hazard
def getnewargs_ex_added_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__getnewargs_ex__", _returns(((1,), {"k": 2}))))


@hazard
def getattribute_added_between_two_instances() -> Any:
    def lie(self: Any, name: str) -> Any:
        if name == "__dict__":
            return {"lie": 1}
        return object.__getattribute__(self, name)

    return _class_story(lambda cls: setattr(cls, "__getattribute__", lie))


@hazard
def getattr_added_between_two_instances() -> Any:
    def answer(self: Any, name: str) -> Any:
        if name == "__getnewargs_ex__":
            return lambda: ((), {"answered": 1})
        raise AttributeError(name)

    return _class_story(lambda cls: setattr(cls, "__getattr__", answer))


@hazard
def dict_property_added_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__dict__", property(_returns({"p": 1}))))


@hazard
def class_property_added_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__class__", property(_returns(Node))))


@hazard
def slotnames_changed_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__slotnames__", ["a"]))


@hazard
def base_class_changed_between_two_instances() -> Any:
    cls = _fresh_class()

    class Base:
        pass

    child = type("HazardChild", (cls, Base), {"__module__": __name__})
    globals()["HazardChild"] = child

    def change() -> Any:
        cls.__reduce_ex__ = _returns((build, ("from the base",)))
        return 1

    return [child([1]), calling(change), child([2])]


@hazard
def module_of_class_changed_between_two_instances() -> Any:
    return _class_story(lambda cls: setattr(cls, "__module__", "".join(["haz", "ards"])))


@hazard
def qualname_changed_between_two_instances() -> Any:
    def change(cls: Any) -> Any:
        cls.__qualname__ = "HazardRenamed"
        globals()["HazardRenamed"] = cls
        return 1

    return _class_story(change)


@hazard
def class_replaced_in_its_module_between_two_instances() -> Any:
    cls = _fresh_class()

    def replace() -> Any:
        globals()["HazardLocal"] = None
        return 1

    return [cls([1]), calling(replace), cls([2])]


@hazard
def class_replaced_before_its_first_use_in_a_second_module() -> Any:
    def replace() -> Any:
        globals()["HazardGone"] = None
        return 1

    cls = type("HazardGone", (), {"__module__": __name__})
    globals()["HazardGone"] = cls
    return [calling(replace), cls()]


@hazard
def module_leaves_sys_modules_in_the_middle() -> Any:
    import types

    module = types.ModuleType("hazard_module")
    cls = type("Inside", (), {"__module__": "hazard_module"})
    module.Inside = cls
    sys.modules["hazard_module"] = module

    def remove() -> Any:
        del sys.modules["hazard_module"]
        return 1

    other = type("Other", (), {"__module__": "hazard_module"})
    module.Other = other
    return [cls(), calling(remove), cls(), other()]


@hazard
def copyreg_entry_added_between_two_instances() -> Any:
    return _class_story(lambda cls: copyreg.pickle(cls, _returns((build, ("copyreg",)))))


@hazard
def copyreg_entry_removed_between_two_instances() -> Any:
    cls = _fresh_class()
    copyreg.pickle(cls, lambda x: (build, ("copyreg", x.a)))

    def remove() -> Any:
        del copyreg.dispatch_table[cls]
        return 1

    return [cls([1]), calling(remove), cls([2])]


@hazard
def copyreg_entry_for_a_builtin_added_in_the_middle() -> Any:
    return [1j, calling(lambda: copyreg.pickle(complex, _returns((build, ("complex",))))), 2j]


@hazard
def copyreg_entry_for_a_metaclass_added_in_the_middle() -> Any:
    from corpus import Meta, OfMeta

    return [OfMeta, calling(lambda: copyreg.pickle(Meta, _returns((build, ("meta",))))), OfMeta()]


@hazard
def extension_added_in_the_middle() -> Any:
    cls = _fresh_class()

    def register() -> Any:
        copyreg.add_extension(__name__, "HazardLocal", 77)
        return 1

    return [cls([1]), calling(register), cls([2]), cls]


@hazard
def function_renamed_in_the_middle() -> Any:
    def change() -> Any:
        module_function.__qualname__ = "build"
        return 1

    def restore() -> Any:
        module_function.__qualname__ = "module_function"
        return 1

    return [calling(change), Reduces(lambda s, p: (build, ())), calling(restore), module_function]


# --- tuples and frozensets in progress -----------------------------------------------------------


@hazard
def tuple_in_progress_with_a_reducer() -> Any:
    inner: list[Any] = []
    result = ([1], {"k": [2]}, "".join(["x", "y"]), inner, calling(lambda: inner[0][0]))
    inner.append(result)
    return result


@hazard
def chain_of_tuples_in_progress() -> Any:
    inner: list[Any] = []
    a = ([1], inner)
    b = (a, [2], ("x", [3]))
    d = (b, [4])
    inner.append(d)
    return [d, b, a]


@hazard
def chain_of_sole_owned_tuples_in_a_shared_one() -> Any:
    inner: list[Any] = []
    shared = ((([1], (([2], inner),)),), {"k": ([3],)})
    inner.append(shared)
    return shared


@hazard
def tuple_child_in_progress() -> Any:
    inner: list[Any] = []
    value = TupleChild(([1], inner, {"k": [2]}))
    inner.append(value)
    return [value, inner]


@hazard
def namedtuple_in_progress() -> Any:
    inner: list[Any] = []
    value = Point([1, [2]], inner)
    inner.append(value)
    return [value, inner]


@hazard
def frozenset_in_progress() -> Any:
    node = Node([1, ("x", [2])], {"k": Plain(a=1)})
    node.more = frozenset([node])
    return [node.more, node]


@hazard
def frozenset_child_in_progress() -> Any:
    node = Node([1], ["x"])
    node.more = FrozenChild([node])
    return node.more


@hazard
def reduce_args_in_progress() -> Any:
    class Once:
        """Refers to itself through its arguments, but only the first time."""

        def __init__(self) -> None:
            self.calls = 0
            self.kept = [1, [2]]

        def __reduce_ex__(self, protocol: int) -> Any:
            self.calls += 1
            return build, (([3], self.kept, self) if self.calls == 1 else (self.kept, "end"))

    return [Once(), 1]


@hazard
def state_setter_sees_the_object_again() -> Any:
    def make(self: Any, protocol: int) -> Any:
        from corpus import set_state

        return build, ([1],), {"me": self, "l": [2]}, None, None, set_state

    return [x := Reduces(make), x]


@hazard
def list_child_with_reducer_items() -> Any:
    value = ListChild([[1], 0, [2]])
    value[1] = calling(lambda: [value[0], value[2]])
    return [value, value[2]]


@hazard
def dict_child_with_reducer_values() -> Any:
    value = DictChild(a=[1], b=0, c=[2])
    value["b"] = calling(lambda: [value["a"], value["c"]])
    return [value, value["c"]]


@hazard
def list_child_changes_while_it_is_saved() -> Any:
    value = ListChild([1, 0, 3])

    def grow() -> Any:
        value.append("grown")
        return 1

    value[1] = calling(grow)
    return value


@hazard
def dict_child_replaces_values_while_it_is_saved() -> Any:
    value = DictChild(a=1, b=0, c=3)

    def replace() -> Any:
        value["c"] = "replaced"
        return 1

    value["b"] = calling(replace)
    return value


# --- sizes change --------------------------------------------------------------------------------


def _size_story(value: Any, change: Callable[[], Any], put: Callable[[Any], Any]) -> Any:
    put(calling(change))
    return [value, "after"]


@hazard
def list_grows_while_it_is_saved() -> Any:
    value: list[Any] = [1, 2, 3]
    return _size_story(value, lambda: value.append("grown"), lambda r: value.insert(1, r))


@hazard
def list_shrinks_while_it_is_saved() -> Any:
    value: list[Any] = [1, 2, 3, 4]
    return _size_story(value, lambda: value.pop(), lambda r: value.insert(1, r))


@hazard
def list_emptied_while_it_is_saved() -> Any:
    value: list[Any] = [[i] for i in range(50)]
    return _size_story(value, lambda: value.clear(), lambda r: value.insert(1, r))


@hazard
def list_of_one_grows_while_it_is_saved() -> Any:
    value: list[Any] = []
    return _size_story(value, lambda: value.append(1), value.append)


@hazard
def dict_grows_while_it_is_saved() -> Any:
    value: dict[Any, Any] = {1: 1, 2: 2}
    return _size_story(value, lambda: value.update(new=1), lambda r: value.update({1: r}))


@hazard
def dict_shrinks_while_it_is_saved() -> Any:
    value: dict[Any, Any] = {1: 1, 2: 2, 3: 3}
    return _size_story(value, lambda: value.pop(3), lambda r: value.update({1: r}))


@hazard
def dict_emptied_while_it_is_saved() -> Any:
    value: dict[Any, Any] = {i: [i] for i in range(50)}
    return _size_story(value, lambda: value.clear(), lambda r: value.update({1: r}))


@hazard
def dict_of_one_grows_while_it_is_saved() -> Any:
    value: dict[Any, Any] = {}
    return _size_story(value, lambda: value.update(new=1), lambda r: value.update({1: r}))


@hazard
def dict_grows_in_its_second_batch() -> Any:
    value: dict[Any, Any] = dict.fromkeys(range(1500))
    return _size_story(value, lambda: value.update(new=1), lambda r: value.update({1200: r}))


class OrderedReduces(Reduces):
    """Its place in a set does not depend on its address."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return self is other


@hazard
def set_grows_while_it_is_saved() -> Any:
    value: set[Any] = {2, 3}
    value.add(OrderedReduces(lambda self, p: (build, (value.add(5),))))
    return [value, "after"]


@hazard
def set_of_one_shrinks_while_it_is_saved() -> Any:
    value: set[Any] = set()
    value.add(OrderedReduces(lambda self, p: (build, (value.clear(),))))
    return [value, "after"]


@hazard
def state_dict_grows_while_it_is_saved() -> Any:
    x = Plain(a=1, b=2)
    return _size_story(x, lambda: setattr(x, "new", 1), lambda r: setattr(x, "a", r))


@hazard
def many_attributes_grow_while_they_are_saved() -> Any:
    x = Many(40)
    return _size_story(
        x, lambda: delattr(x, "attribute_39"), lambda r: setattr(x, "attribute_0", r)
    )


@hazard
def bytearray_changes_between_two_saves() -> Any:
    value = bytearray(b"before")

    def change() -> Any:
        value[:] = b"after and longer" * 10
        return 1

    return [value, calling(change), value, bytes(value)]


@hazard
def large_bytearray_shrinks_between_two_saves() -> Any:
    value = bytearray(70000)

    def change() -> Any:
        value.clear()
        return 1

    return [value, calling(change), [value]]


# --- errors in the middle ------------------------------------------------------------------------


@hazard
def reducer_fails_after_others_were_saved() -> Any:
    def fail() -> Any:
        raise LookupError("on purpose")

    x = Plain(a=[1], b=calling(fail))
    return [[1], {"k": (1, [x])}]


@hazard
def reducer_catches_a_failing_nested_dump() -> Any:
    def nested(self: Any, protocol: int) -> Any:
        try:
            _nested_dumps([Plain(a=1), sys], protocol)
        except TypeError as error:
            return build, (type(error).__name__,)
        return build, ()

    return [[1], Reduces(nested), Plain(a=1)]


@hazard
def built_objects_with_everything() -> Any:
    x = Built(1, [2])
    x.append(3)
    x["k"] = [x]
    return [x, x.items, x.pairs, x.__dict__]
