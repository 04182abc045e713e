#!/bin/sh
# Runs the package's tests on the wheels in $OXIPICKLE_WHEELS with every Python below /opt/python that a
# wheel fits: the layout of the manylinux and musllinux images, where the release workflow runs it.
# CPython's own suites are not run: the images leave out its test package.
set -eu
cd "$(dirname "$0")/.."
tested=0
for tag in cp311-cp311 cp312-cp312 cp313-cp313 cp314-cp314 cp314-cp314t cp315-cp315 cp315-cp315t; do
    wheel=$(find "$OXIPICKLE_WHEELS" -name "oxipickle-*-$tag-*.whl")
    if [ -z "$wheel" ]; then
        echo "no wheel for $tag" >&2
        exit 1
    fi
    venv=$(mktemp -d)
    "/opt/python/$tag/bin/python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --upgrade pip
    "$venv/bin/python" -m pip install --quiet "$wheel" --group test
    "$venv/bin/python" -m pytest -p no:cacheprovider --numprocesses=auto
    rm -rf "$venv"
    tested=$((tested + 1))
done
echo "tested $tested wheels"
