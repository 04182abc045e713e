"""`python -m oxipickle`: hands over to the command that is named.

It must not import anything for `run` that the program would not find loaded with plain Python.
"""

import sys


def main() -> None:
    """Runs the command that `sys.argv` names; see `python -m oxipickle --help`."""
    if sys.argv[1:2] == ["run"]:
        # Without the command-line libraries: they cost start-up time, and the program is to find
        # the interpreter as plain Python would have left it.
        from oxipickle import _run

        _run.run(sys.argv[2:])
    else:
        from oxipickle._cli import app

        app(prog_name="python -m oxipickle")


if __name__ == "__main__":
    main()
