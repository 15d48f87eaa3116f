# SPDX-License-Identifier: Apache-2.0
"""The conformance harness: runs the same cases against two servers and compares what they say."""
