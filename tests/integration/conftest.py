# SPDX-License-Identifier: Apache-2.0
"""Fixtures: `node` is one started server; `make_node(name=, config=, args=)` makes more of them, not yet started;
`make(kind, name, ...)` makes others than whole nodes of ours."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Node  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "heavy: takes the whole machine for a minute or more; not run in instrumented builds")


@pytest.fixture
def make_node(tmp_path):
    made = []

    def make(name="n1", **options):
        made.append(Node(tmp_path / ("%d-%s" % (len(made), name)), name=name, **options))
        return made[-1]
    yield make
    for node in made:
        node.cleanup()


@pytest.fixture
def make(tmp_path):
    """make(Serf, name, ...): agents of peers.py, members that are no whole nodes; not yet started, ended with the test."""
    made = []

    def make_one(kind, name, **options):
        made.append(kind(tmp_path, name, **options))
        return made[-1]
    yield make_one
    for one in made:
        one.kill()


@pytest.fixture
def node(make_node):
    return make_node().start()


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory):
    """One server for all tests of a file that do not disturb each other."""
    node = Node(tmp_path_factory.mktemp("shared"))
    node.start()
    yield node
    node.cleanup()
