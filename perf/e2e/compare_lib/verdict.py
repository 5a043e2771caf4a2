# SPDX-License-Identifier: BSD-3-Clause
"""Two builds of weir on a machine that is never quiet: is the newer one worse by more than 3%?

Each repetition gives a ratio, now / before, of two runs that lay next to each other. What is judged is their median, the one
that endless repetitions would have. How far off it may be is told by ranks, as in a sign test: as many ratios lie above it as
below, whatever their distribution is, so that fewer than k of n lie below with the probability of fewer than k heads in n
throws. Seven ratios are the fewest that say anything.

A latency is another matter: whoever takes the CPU away adds to it, by milliseconds, and nothing ever takes off it. So its best
repetitions are compared too, which had the least of that."""
import math

from scenarios import FIGURES

WORSE = 0.03  # a difference that counts
SURE = 0.99   # probability of a bound. More than the usual, as it is asked after each repetition again

NOT_WORSE, IS_WORSE, OPEN = "not worse", "WORSE", "open"


def bounds(ratios):
    """(low, high): the median is not below low, nor above high, each with probability SURE; None: too few ratios."""
    n, rank, below = len(ratios), 0, 0
    while 2 * rank < n and below + math.comb(n, rank) <= (1 - SURE) * 2**n:
        below += math.comb(n, rank)
        rank += 1
    ordered = sorted(ratios)
    return (ordered[rank - 1], ordered[-rank]) if rank else None


def judge(metric, low, high):
    """`low` and `high` stand for now / before."""
    if not FIGURES[metric].more_is_better:
        low, high = 2 - high, 2 - low  # turned round: 1.03 times the cost counts as 0.97
    return NOT_WORSE if low >= 1 - WORSE else IS_WORSE if high < 1 - WORSE else OPEN


def verdict(results, scenario, metric, over="before"):
    """One of the three, of a scenario's figure; None where it was not measured with both."""
    ratios = results.ratios(scenario.name, metric, over)
    if not ratios:
        return None
    if scenario.is_memory:  # counted, not timed: once says it
        return judge(metric, min(ratios), max(ratios))
    found = bounds(ratios)
    return judge(metric, *found) if found else OPEN


def is_latency(metric):
    return FIGURES[metric].text.startswith(("latency", "SYN to CONNACK"))


def undecided(results, scenario):
    """Figures whose verdict more repetitions could bring: latencies get the repetitions of the others."""
    return [metric for metric in scenario.figures
            if not is_latency(metric) and verdict(results, scenario, metric) in (OPEN, None)]
