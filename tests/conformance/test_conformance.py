# SPDX-License-Identifier: Apache-2.0
"""The whole conformance run as one ordinary test. Its output names each case that differs."""
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def test_muster_answers_like_consul():
    build = os.environ.get("MUSTER_BUILD", str(HERE.parent.parent / "build"))
    result = subprocess.run([str(HERE / "run"), "--build", build], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, timeout=1800, check=False)
    print(result.stdout)
    assert result.returncode == 0, result.stdout[-4000:]
