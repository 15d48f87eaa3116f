# SPDX-License-Identifier: Apache-2.0
"""The checker of linear.py against known histories and against a search through all orders."""
import itertools
import random

import linear
from linear import Op


def w(value, start, end):
    return Op(True, value, start, end)


def r(value, start, end):
    return Op(False, value, start, end)


def test_known_histories():
    good = [
        [],
        [r(None, 0, 1), w(1, 2, 3), r(1, 4, 5)],
        [w(1, 0, 10), r(None, 1, 2), r(1, 3, 4)],
        [w(1, 0, 10), w(2, 0, 10), r(2, 11, 12)],
        [w(1, 0, None), r(None, 5, 6), r(1, 7, 8)],
        [w(1, 0, None), r(None, 5, 6)],
    ]
    bad = [
        [w(1, 0, 1), r(None, 2, 3)],                                # an acknowledged write is missing
        [w(1, 0, 10), r(1, 1, 2), r(None, 3, 4)],                   # goes back
        [w(1, 0, 1), w(2, 2, 3), r(1, 4, 5)],                       # an old value
        [w(1, 0, 10), w(2, 0, 10), r(1, 11, 12), r(2, 13, 14)],     # both were last
        [r(1, 0, 1), w(1, 2, 3)],                                   # from the future
        [r(7, 0, 1)],                                               # from nowhere
        [w(1, 0, None), r(1, 1, 2), r(None, 3, 4)],                 # it did happen
    ]
    for history in good:
        assert linear.check(history) is None, history
    for history in bad:
        assert linear.check(history), history


def is_linearizable(history):
    """By trying: every order that respects time, with or without the writes of unknown outcome."""
    unknown = [op for op in history if op.end is None]
    for left_out in itertools.chain.from_iterable(
            itertools.combinations(unknown, n) for n in range(len(unknown) + 1)):
        ops = [op for op in history if not any(op is other for other in left_out)]
        for order in itertools.permutations(ops):
            value, fits = None, True
            for i, op in enumerate(order):
                fits = fits and all(later.end is None or not later.end < op.start for later in order[i + 1:])
                fits = fits and (op.is_write or op.value == value)
                value = op.value if op.is_write else value
            if fits:
                return True
    return False


def test_against_search():
    rng = random.Random(20)
    seen = {True: 0, False: 0}
    for _ in range(400):
        history = []
        times = rng.sample(range(100), 10)
        writes = rng.randint(1, 3)
        for n in range(5):
            start, end = sorted(times[2 * n:2 * n + 2])
            if n < writes:
                history.append(w(n, start, end if rng.random() < 0.8 else None))
            else:
                history.append(r(rng.choice([None] + list(range(writes))), start, end))
        expected = is_linearizable(history)
        assert (linear.check(history) is None) == expected, history
        seen[expected] += 1
    assert min(seen.values()) > 50, seen
