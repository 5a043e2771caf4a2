# SPDX-License-Identifier: BSD-3-Clause
"""The covering sets that other tests take their cases from do cover: checked against all rows there are."""
import itertools

import pytest

import covering

MATRIX = "one"
FACTORS = {"colour": ["red", "green", "blue"], "size": [1, 2], "shape": ["disc", "cube", "ring", "cone"], "old": [0, 1]}


def constrained(row):
    return not (row.get("colour") == "red" and row.get("size") == 2 or row.get("shape") == "cone" and row.get("old") == 1 or
                row.get("size") == 1 and row.get("shape") == "ring" and row.get("old") == 1)


def unconstrained(_row):
    return True


def everything(factors, allowed):
    rows = [dict(zip(factors, levels)) for levels in itertools.product(*factors.values())]
    return [row for row in rows if allowed(row)]


def occurring(rows, factors, strength):
    return {frozenset((name, row[name]) for name in names) for row in rows
            for names in itertools.combinations(factors, strength)}


@pytest.mark.parametrize("strength", [1, 2, 3])
@pytest.mark.parametrize("allowed", [constrained, unconstrained])
def test_all_that_can_occur_does(allowed, strength):
    rows = covering.rows(FACTORS, allowed, strength)
    assert all(allowed(row) for row in rows)
    assert occurring(rows, FACTORS, strength) == occurring(everything(FACTORS, allowed), FACTORS, strength)
    assert len(rows) < len(everything(FACTORS, allowed))


def test_no_row_more_than_needed_where_it_is_known():
    """Nine rows for four factors of three levels: an orthogonal array; a greedy choice may need a few more."""
    factors = {name: [0, 1, 2] for name in "abcd"}
    assert 9 <= len(covering.rows(factors)) <= 12


def test_the_same_each_time():
    assert covering.rows(FACTORS, constrained) == covering.rows(FACTORS, constrained)


def test_a_level_that_nothing_allows_is_left_out():
    rows = covering.rows(FACTORS, lambda row: row.get("shape") != "disc")
    assert {row["shape"] for row in rows} == {"cube", "ring", "cone"}
