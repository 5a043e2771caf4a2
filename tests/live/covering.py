# SPDX-License-Identifier: BSD-3-Clause
"""Covering sets: few rows in which every combination of levels of any two (or `strength`) factors occurs that the
constraints allow. Deterministic: the same factors give the same rows, so that a test has the same name tomorrow.

A row is a dict of factor to level. `allowed` judges rows, partial ones too: it says False only of what no further level
could mend."""
import itertools


def _completed(row, factors, allowed):
    """`row` with a level for every factor, or None where there is none."""
    missing = next((name for name in factors if name not in row), None)
    if missing is None:
        return row
    for level in factors[missing]:
        wider = row | {missing: level}
        if allowed(wider) and (done := _completed(wider, factors, allowed)):
            return done
    return None


def combinations(factors, allowed, strength=2):
    """Every combination that some row can have, as a frozenset of (factor, level)."""
    found = {}
    for names in itertools.combinations(factors, strength):
        for levels in itertools.product(*(factors[name] for name in names)):
            row = dict(zip(names, levels))
            if allowed(row) and _completed(row, factors, allowed):
                found[frozenset(row.items())] = None
    return list(found)  # in order, where a set would have none


def _gain(row, name, open_by_pair):
    """How many combinations that are still open the newest factor of `row` brings into it."""
    items = frozenset(row.items())
    return sum(combination <= items for combination in open_by_pair[name, row[name]])


def rows(factors, allowed=lambda row: True, strength=2):
    """A covering set. Greedy: each row begins with the first combination that is still open, and takes factor by factor the
    level that brings most of the others with it and leaves the row one that can be completed."""
    left = dict.fromkeys(combinations(factors, allowed, strength))
    chosen = []
    while left:
        open_by_pair = {(name, level): [] for name in factors for level in factors[name]}
        for combination in left:
            for pair in combination:
                open_by_pair[pair].append(combination)
        row = dict(next(iter(left)))
        for name in factors:
            if name in row:
                continue
            best = None
            for level in factors[name]:
                wider = row | {name: level}
                if allowed(wider) and _completed(wider, factors, allowed):
                    gain = _gain(wider, name, open_by_pair)
                    if best is None or gain > best[0]:
                        best = (gain, wider)
            row = best[1]
        items = frozenset(row.items())
        for combination in [combination for combination in left if combination <= items]:
            del left[combination]
        chosen.append({name: row[name] for name in factors})
    return chosen
