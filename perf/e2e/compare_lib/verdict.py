# SPDX-License-Identifier: BSD-3-Clause
"""Two builds of weir on a machine that is never quiet: is the newer one worse by more than 3%?

Each repetition gives a ratio, now / before, of two runs that took turns (turns.py). Whatever disturbs them may as well have met
the other one: the logarithms of the ratios lie symmetrically about that of the true ratio, whatever their distribution is. So
how far off it may be is told by signed ranks (Wilcoxon): of the means of all pairs of logarithms, each with itself too, the true
one is not below the k-th with the probability that the ranks of heads in n throws add up to k at least. Seven ratios are the
fewest that say anything.

A latency is another matter: whoever takes the CPU away adds to it, by milliseconds, and nothing ever takes off it. So its best
repetitions are compared too, which had the least of that."""
import math

from scenarios import FIGURES

WORSE = 0.03  # a difference that counts
SURE = 0.99   # probability of a bound. More than the usual, as it is asked after each repetition again

NOT_WORSE, IS_WORSE, OPEN = "not worse", "WORSE", "open"


def bounds(ratios):
    """(low, high): the true ratio is not below low, nor above high, each with probability SURE; None: too few ratios."""
    ways, place = _rank_sums(len(ratios)), 0
    while sum(ways[:place + 1]) <= (1 - SURE) * sum(ways):
        place += 1
    logs = [math.log(ratio) for ratio in ratios]
    means = sorted((a + b) / 2 for i, a in enumerate(logs) for b in logs[i:])
    return (math.exp(means[place - 1]), math.exp(means[-place])) if place else None


def _rank_sums(n):
    """[in how many ways some of the ranks 1 to n add up to 0, to 1, ...]"""
    ways = [1]
    for rank in range(1, n + 1):
        ways = [(ways[i] if i < len(ways) else 0) + (ways[i - rank] if i >= rank else 0) for i in range(len(ways) + rank)]
    return ways


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
