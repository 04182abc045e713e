"""Sphinx: `nox -s docs` builds the site into build/docs, warnings being errors."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
cargo = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
found = re.search(r'^version = "(.+)"$', cargo, re.MULTILINE)
assert found is not None

project = "oxipickle"
copyright = "the oxipickle developers"
release = found[1]
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
exclude_patterns = ["recipes"]
html_theme = "furo"
html_title = f"oxipickle {release}"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
# The docstrings are written for help() and editors, and mark code with single backticks.
default_role = "code"
