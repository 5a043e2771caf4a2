# SPDX-License-Identifier: BSD-3-Clause
"""Results as a table, for a terminal or as Markdown."""
from scenarios import FIGURES

SYSTEMS = ("weir", "haproxy", "nginx")
WORSE = 0.03  # two builds of weir: a difference that counts
HEAD = ("", "weir", "HAProxy", "NGINX", "weir/HAProxy", "weir/NGINX", "generator busy, %")


def number(value):
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(ratio):
    if ratio is None:
        return "-"
    text = f"{ratio.median:.2f}"
    if ratio.high > ratio.low:
        text += f" ({ratio.low:.2f}..{ratio.high:.2f})"
    return text + " ~" * ratio.disturbed


def _generator(results, scenario):
    """Busy share for each system; * where it may have been the limit."""
    shares = [(results.generator_share(scenario, system), results.limited(scenario, system)) for system in SYSTEMS]
    if all(share is None for share, _ in shares):
        return ""
    return " / ".join("-" if share is None else f"{100 * share:.0f}{'*' * limited}" for share, limited in shares)


def sections(results, scenarios):
    """[(scenario title, [row, ...]), ...]; a row has as many cells as HEAD."""
    found = []
    for scenario in scenarios:
        rows = []
        for metric in scenario.figures:
            values = [results.median(scenario.name, system, metric) for system in SYSTEMS]
            if any(value is not None for value in values):
                figure = FIGURES[metric]
                rows.append((f"{figure.text}, {figure.unit}", *(number(value) for value in values),
                             _ratio(results.ratio(scenario.name, metric, "haproxy")),
                             _ratio(results.ratio(scenario.name, metric, "nginx")),
                             "" if rows else _generator(results, scenario.name)))
        if rows:
            found.append((scenario.title, rows))
    return found


NOTES = ("Medians of all repetitions; a ratio is the median of the repetitions' own ratios, with (least..most) behind it.",
         "~ the spread of the ratios is so wide that something disturbed the runs: repeat them on a quiet machine.",
         "* the generator was busy enough to be the limit: the system itself may be faster than the figure.")


def text(results, scenarios):
    parts = sections(results, scenarios)
    widths = [max(len(row[i]) for _, rows in parts for row in [HEAD, *rows]) for i in range(len(HEAD))] if parts else []
    lines = ["  ".join(cell.rjust(width) if i else cell.ljust(width)
                       for i, (cell, width) in enumerate(zip(HEAD, widths))).rstrip()]
    for title, rows in parts:
        lines += ["", title]
        lines += ["  ".join(cell.rjust(width) if i else cell.ljust(width)
                            for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    return "\n".join([*lines, "", *NOTES])


def markdown(results, scenarios):
    lines = ["| " + " | ".join(("figure", *HEAD[1:])) + " |", "|---|" + "---:|" * (len(HEAD) - 1)]
    for title, rows in sections(results, scenarios):
        lines.append(f"| **{title}** |" + " |" * (len(HEAD) - 1))
        lines += ["| " + " | ".join(cell.replace("*", "\\*").replace("~", "\\~") for cell in row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {note.replace('*', chr(92) + '*').replace('~', chr(92) + '~')}" for note in NOTES)])


def beside(results, scenarios):
    """Two builds of weir: before, now, now / before; worse where less is worse, or more."""
    lines = [f"{'':42}{'before':>12}{'now':>12}  now/before"]
    for scenario in scenarios:
        lines.append(scenario.title)
        for metric in scenario.figures:
            ratio = results.ratio(scenario.name, metric, "before")
            if ratio is None:
                continue
            figure = FIGURES[metric]
            worse = ratio.median < 1 - WORSE if figure.more_is_better else ratio.median > 1 + WORSE
            values = (number(results.median(scenario.name, system, metric)) for system in ("before", "weir"))
            lines.append(f"  {figure.text + ', ' + figure.unit:40}" + "".join(f"{value:>12}" for value in values) +
                         f"  {_ratio(ratio)}" + "  WORSE" * worse)
    return "\n".join(lines)
