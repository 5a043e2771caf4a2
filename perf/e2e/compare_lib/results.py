# SPDX-License-Identifier: BSD-3-Clause
"""Figures of all repetitions, and what may be said about them: medians, ratios with their spread, who was at the limit."""
import collections
import csv
import statistics

from scenarios import FIGURES

COLUMNS = ["commit", "machine", "date", "scenario", "system", "metric", "value", "unit", "repetition"]
WIDE = 0.25          # (max - min) / median of the ratios beyond which a figure is called disturbed
WIDE_LATENCY = 0.60  # tails are noisy by nature
LIMIT_SHARE = 0.93   # a generator this busy may have been the limit
FOREIGN_SHARE = 0.1  # of the CPUs' time, for others than those who take part: then the run was disturbed

Ratio = collections.namedtuple("Ratio", "median low high disturbed")


class Results:
    def __init__(self, origin):
        """origin: {"commit", "machine", "date"}"""
        self.origin = origin
        self.values = collections.defaultdict(dict)  # (scenario, system, metric) -> {repetition: value}

    def add(self, scenario, system, repetition, figures):
        for metric, value in figures.items():
            if value is not None:
                self.values[scenario, system, metric][repetition] = value

    def median(self, scenario, system, metric):
        values = self.values.get((scenario, system, metric))
        return statistics.median(values.values()) if values else None

    def ratios(self, scenario, metric, over, system="weir"):
        """system / over, each repetition against the one that ran next to it; [] where either is missing."""
        ours, theirs = self.values.get((scenario, system, metric), {}), self.values.get((scenario, over, metric), {})
        return [ours[r] / theirs[r] for r in ours if theirs.get(r)]

    def ratio(self, scenario, metric, over, system="weir"):
        """What ratios() come to, or None."""
        ratios = self.ratios(scenario, metric, over, system)
        if not ratios:
            return None
        median = statistics.median(ratios)
        wide = WIDE_LATENCY if metric.startswith(("latency", "connect_p")) else WIDE
        disturbed = len(ratios) > 1 and median > 0 and (max(ratios) - min(ratios)) / median > wide
        return Ratio(median, min(ratios), max(ratios), disturbed)

    def best(self, scenario, system, metric):
        """Of all repetitions."""
        values = self.values.get((scenario, system, metric))
        return (max if FIGURES[metric].more_is_better else min)(values.values()) if values else None

    def better(self, scenario, metric, over):
        """How many times better weir is: the ratio, turned round where less is better."""
        ratio = self.ratio(scenario, metric, over)
        if ratio is None or ratio.median <= 0:
            return None
        return ratio.median if FIGURES[metric].more_is_better else 1 / ratio.median

    def generator_share(self, scenario, system):
        return self.median(scenario, system, "generator_share")

    def limited(self, scenario, system):
        share = self.generator_share(scenario, system)
        return share is not None and share >= LIMIT_SHARE

    def wide(self):
        """["scenario metric", ...] whose ratios spread too far."""
        return sorted({f"{scenario} {metric}" for scenario, _, metric in self.values if metric in FIGURES
                       for over in ("haproxy", "nginx")
                       if (ratio := self.ratio(scenario, metric, over)) and ratio.disturbed})

    def crowded(self):
        """[(scenario, system, share), ...]: runs during which others used the CPUs."""
        return [(scenario, system, max(values.values())) for (scenario, system, metric), values in self.values.items()
                if metric == "foreign_share" and max(values.values()) > FOREIGN_SHARE]

    def failed(self):
        return [(scenario, system) for (scenario, system, metric), values in self.values.items()
                if metric == "failed" and any(values.values())]

    def write_csv(self, path):
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for (scenario, system, metric), values in self.values.items():
                unit = FIGURES[metric].unit if metric in FIGURES else ""
                for repetition, value in sorted(values.items()):
                    writer.writerow(self.origin | {"scenario": scenario, "system": system, "metric": metric,
                                                   "value": f"{value:.6g}", "unit": unit, "repetition": repetition})

    @classmethod
    def read_csv(cls, path):
        results = None
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                results = results or cls({key: row[key] for key in ("commit", "machine", "date")})
                results.values[row["scenario"], row["system"], row["metric"]][int(row["repetition"])] = float(row["value"])
        return results
