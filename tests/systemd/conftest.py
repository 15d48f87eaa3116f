# SPDX-License-Identifier: Apache-2.0
"""One machine for all tests of this folder, in the order in which they stand: they are steps in the life of one node."""
import os
import sys

import pytest

from host import PACKAGES, SOURCE, TOP, Host, why_not


@pytest.fixture(scope="session")
def machine():
    reason = why_not()
    if reason:
        message = "no machine can be booted here (%s): services are NOT TESTED" % reason
        assert not os.environ.get("CI"), message
        print("\n!!! " + message, file=sys.stderr)
        pytest.skip(message)
    host = Host(binds=["%s:/mnt/package" % PACKAGES, "%s:%s" % (TOP, SOURCE)])
    try:
        yield host.boot()
    finally:
        host.close()
