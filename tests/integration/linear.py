# SPDX-License-Identifier: Apache-2.0
"""Was what clients saw of a register linearizable? For registers whose writes all have different values this is decided
without search (Gibbons and Korach, Testing Shared Memories, 1997): all operations of one value form a cluster, the write
and the reads that returned it. From the first end to the last beginning among them the register must have held the value
(a forward zone), or, where that is the wrong way round, it held it at one moment in between (a backward zone). The history
is linearizable if and only if no read ended before its write began, no two forward zones overlap, and no backward zone
lies within a forward one."""
import dataclasses

FOREVER = float("inf")


@dataclasses.dataclass
class Op:
    """A write or a read of a value. end None: nobody knows whether and when it took effect (only of writes)."""
    is_write: bool
    value: object
    start: float
    end: float = None


def zones(history, initial):
    """(start, end, is_forward, value) of each value; or the text of what is wrong already."""
    writes = {initial: Op(True, initial, -FOREVER, -FOREVER)}
    reads = {}
    for op in history:
        if op.is_write:
            assert op.value not in writes, "values must differ"
            writes[op.value] = op
        else:
            reads.setdefault(op.value, []).append(op)
    found = []
    for value, of_value in reads.items():
        if value not in writes:
            return "read %r, which nobody wrote" % (value,)
        early = [r for r in of_value if r.end < writes[value].start]
        if early:
            return "read %r before it was written" % (value,)
    for value, write in writes.items():
        if write.end is None and value not in reads:
            continue  # it may never have happened
        cluster = [write] + reads.get(value, [])
        first_end = min(FOREVER if op.end is None else op.end for op in cluster)
        last_start = max(op.start for op in cluster)
        found.append((min(first_end, last_start), max(first_end, last_start), first_end < last_start, value))
    return found


def check(history, initial=None):
    """None, or a text that says what is wrong."""
    all_zones = zones(history, initial)
    if isinstance(all_zones, str):
        return all_zones
    forward = sorted(z for z in all_zones if z[2])
    for one, following in zip(forward, forward[1:]):
        if following[0] < one[1]:
            return "%r was still read after %r had been: %r %r" % (one[3], following[3], one, following)
    for zone in all_zones:
        if zone[2]:
            continue
        for one in forward:
            if one[0] < zone[0] and zone[1] < one[1]:
                return "%r was written in a time in which %r was read before and after: %r %r" % (
                    zone[3], one[3], zone, one)
    return None
