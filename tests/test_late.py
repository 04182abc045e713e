"""Classes derived from C's Pickler and Unpickler go on working after a late `install()`.

Their base cannot be changed, but the names that their methods call it by, `pickle.Pickler.dump(self,
object)`, mean ours from then on. Each program runs in a process of its own, as descriptors are put
into our classes.
"""

import io
import os
import pickle
import subprocess
import sys
import textwrap

import oxipickle
import pytest
from oxipickle import _pickle as native

DERIVED = """
import io, pickle

class Writer(pickle.Pickler):
    def __init__(self, file, protocol):
        pickle.Pickler.__init__(self, file, protocol=protocol)

    def dump(self, value):
        return pickle.Pickler.dump(self, value)

    def forget(self):
        return pickle.Pickler.clear_memo(self)

    def size(self):
        return pickle.Pickler.__sizeof__(self)

class Reader(pickle.Unpickler):
    def __init__(self, file):
        pickle.Unpickler.__init__(self, file, encoding="bytes")
        self.found = []

    def load(self):
        return pickle.Unpickler.load(self)

    def find_class(self, module, name):
        self.found.append((module, name))
        return pickle.Unpickler.find_class(self, module, name)

class OfWriter(Writer):
    def __init__(self, file):
        Writer.__init__(self, file, 0)

def write(writer):
    file = io.BytesIO()
    one = writer(file)
    shared = [1, len]
    said = [one.dump(shared), one.dump(shared), one.forget(), one.dump(shared), one.size()]
    return file.getvalue(), said

def read(data):
    reader = Reader(io.BytesIO(data))
    values = [reader.load() for _ in range(3)]
    return values, reader.found

def use():
    written = [write(lambda file: Writer(file, protocol)) for protocol in range(6)]
    written.append(write(OfWriter))
    return written, [read(data) for data, _ in written]
"""


def fresh(program: str, derived: str = DERIVED) -> str:
    """What the program prints; it runs after `derived`, with oxipickle imported."""
    text = f"{derived}\nimport oxipickle\n{textwrap.dedent(program)}"
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OXIPICKLE_DISABLE": "0"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_they_call_their_base_by_the_name_in_pickle() -> None:
    fresh(
        """
        before = use()
        oxipickle.install()
        assert pickle.Pickler is oxipickle.Pickler
        assert use() == before
        oxipickle.install()
        assert use() == before
        oxipickle.uninstall()
        assert use() == before
        with oxipickle.activated():
            assert use() == before
        assert use() == before
        """
    )


def test_status_goes_on_listing_them() -> None:
    fresh(
        """
        oxipickle.install()
        missed = {(one.name, one.kind) for one in oxipickle.status().missed}
        assert missed == {(name, "derived class") for name in ("Writer", "Reader", "OfWriter")}
        """
    )


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the hooks are methods since 3.13")
def test_the_hooks_of_their_base() -> None:
    fresh(
        """
        writer, reader = Writer(io.BytesIO(), 5), Reader(io.BytesIO())
        oxipickle.install()
        assert pickle.Pickler.persistent_id(writer, 1) is None
        try:
            pickle.Unpickler.persistent_load(reader, 1)
        except pickle.UnpicklingError:
            pass
        else:
            raise AssertionError("no error")
        """
    )


def test_a_mistaken_call_is_answered_as_by_c() -> None:
    fresh(
        """
        def said(cls, *arguments):
            try:
                cls.dump(*arguments)
            except Exception as error:
                return type(error), str(error)

        class Other(pickle.Unpickler): ...

        calls = [(), (1,), (object(), 1), (None,), (Other(io.BytesIO()), 1), (pickle.Pickler, 1)]
        calls += [(Writer(io.BytesIO(), 5),), (Writer(io.BytesIO(), 5), 1, 2)]
        before = [said(pickle.Pickler, *call) for call in calls]
        assert all(before)
        oxipickle.install()
        assert [said(pickle.Pickler, *call) for call in calls] == before
        """
    )


def test_our_own_objects_and_new_classes_are_ours() -> None:
    fresh(
        """
        oxipickle.install()

        class ByName(pickle.Pickler):
            def __init__(self, file):
                pickle.Pickler.__init__(self, file, 2)

            def dump(self, value):
                return pickle.Pickler.dump(self, value)

        class BySuper(pickle.Pickler):
            def __init__(self, file):
                super().__init__(file, protocol=2)

            def dump(self, value):
                return super().dump(value)

        class Bare(pickle.Pickler): ...

        def written(make):
            file = io.BytesIO()
            one = make(file)
            assert isinstance(one, oxipickle.Pickler)
            one.dump([1, 2])
            bound = one.dump
            bound((3,))
            return file.getvalue()

        def plain(cls):
            return lambda file: cls(file, 2)

        def all_of_them():
            made = [ByName, BySuper, plain(Bare), plain(oxipickle.Pickler)]
            return {written(make) for make in made}

        file = io.BytesIO()
        one = Writer(file, 2)
        one.dump([1, 2])
        one.dump((3,))
        assert all_of_them() == {file.getvalue()}
        oxipickle.uninstall()
        # `pickle.Pickler` in ByName is C's again, which is no base of it.
        made = [BySuper, plain(Bare), plain(oxipickle.Pickler)]
        assert {written(make) for make in made} == {file.getvalue()}
        """
    )


def test_the_methods_look_as_before() -> None:
    fresh(
        """
        import inspect
        names = ("__init__", "dump", "clear_memo")

        def looks():
            cls = oxipickle.Pickler
            return [
                (
                    repr(one := getattr(cls, name)),
                    one.__name__,
                    one.__qualname__,
                    one.__doc__,
                    one.__objclass__,
                    str(inspect.signature(one)),
                    inspect.isroutine(one),
                    cls.__dict__[name] is one,
                )
                for name in names
            ]

        before = looks()
        oxipickle.install()
        assert looks() == before
        one = pickle.Pickler.dump
        assert pickle.loads(pickle.dumps(one)) is one
        """
    )


def test_our_classes_are_as_they_were_after_uninstall() -> None:
    fresh(
        """
        def entries():
            classes = (oxipickle.Pickler, oxipickle.Unpickler)
            return [(key, id(one)) for cls in classes for key, one in vars(cls).items()]

        before = entries()
        oxipickle.install()
        assert entries() != before
        oxipickle.uninstall()
        assert entries() == before
        with oxipickle.activated():
            assert entries() != before
        assert entries() == before
        """
    )


@pytest.mark.parametrize(
    "imports", ["", "import multiprocessing.reduction, shelve, logging.config"]
)
def test_our_classes_stay_as_they_are_where_nobody_derived_early(imports: str) -> None:
    fresh(
        """
        before = [dict(vars(cls)) for cls in (oxipickle.Pickler, oxipickle.Unpickler)]
        oxipickle.install()
        oxipickle.install()
        after = [dict(vars(cls)) for cls in (oxipickle.Pickler, oxipickle.Unpickler)]
        assert after == before
        """,
        derived=f"import pickle\n{imports}",
    )


def test_nobody_elses_class_can_be_given_such_methods() -> None:
    for cls in (pickle._Pickler, io.BytesIO, object):
        with pytest.raises(TypeError, match="a class of oxipickle is needed"):
            native._serve_also(cls, oxipickle.Pickler)
    for wrong in (1, "Pickler", oxipickle.dumps):
        with pytest.raises(TypeError):
            native._serve_also(oxipickle.Pickler, wrong)  # type: ignore[arg-type]
