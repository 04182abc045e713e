"""Brings the start-up hook to the children of `python -m oxipickle run`, then steps aside.

`run` puts this folder first on PYTHONPATH. A Python other than the one that `run` was started with
has to find itself unchanged, and so does the environment's own sitecustomize, so this file
must stay valid for every Python 3 and leave no trace but the finder.
"""

# pathlib would have to be imported.
# ruff: noqa: PTH100, PTH120

import os
import sys


def _start() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    tag = getattr(getattr(sys, "implementation", None), "cache_tag", None)
    if os.environ.get("OXIPICKLE_RUN") == f"{tag} {sys.prefix}":
        import _oxipickle_run  # type: ignore[import-not-found]

        _oxipickle_run.start()
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    sys.path_importer_cache.pop(here, None)


_start()
del _start
# The one that would have been found without this. If there is none, this import fails as the
# interpreter's own would have, which is what it expects.
del sys.modules["sitecustomize"]
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401
