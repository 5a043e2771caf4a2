# SPDX-License-Identifier: BSD-3-Clause
"""Results as a table, for a terminal or as Markdown."""
import verdict
from scenarios import FIGURES

SYSTEMS = ("weir", "haproxy", "nginx")
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


BESIDE_HEAD = ("", "before", "now", "now/before", "99% bounds", "best/best", "verdict")
BESIDE_NOTES = ("Medians of all repetitions, and of their ratios; bounds of the true ratio (compare_lib/verdict.py); the ratio of the best of either.",
                f"WORSE: by more than {100 * verdict.WORSE:.0f}%, beyond doubt; open: the repetitions do not say.")


def _beside_row(results, scenario, metric):
    ratios = results.ratios(scenario.name, metric, "before")
    if not ratios:
        return None
    figure, found = FIGURES[metric], verdict.bounds(ratios)
    best = [results.best(scenario.name, system, metric) for system in ("before", "weir")]
    return (f"  {figure.text}, {figure.unit}",
            *(number(results.median(scenario.name, system, metric)) for system in ("before", "weir")),
            f"{results.ratio(scenario.name, metric, 'before').median:.2f}",
            f"{found[0]:.2f}..{found[1]:.2f}" if found else "-",
            f"{best[1] / best[0]:.2f}" if best[0] else "-", verdict.verdict(results, scenario, metric))


def beside(results, scenarios):
    """Two builds of weir: before, now, their ratio, how sure it is, what follows."""
    parts = [(scenario, [row for metric in scenario.figures if (row := _beside_row(results, scenario, metric))])
             for scenario in scenarios]
    parts = [(scenario, rows) for scenario, rows in parts if rows]
    widths = [max(len(row[i]) for _, rows in parts for row in [BESIDE_HEAD, *rows]) for i in range(len(BESIDE_HEAD))]
    lines = []
    for title, rows in [("", [BESIDE_HEAD]), *((f"{scenario.title}: {_how(results, scenario)}", rows)
                                              for scenario, rows in parts)]:
        lines += [title] * bool(title)
        lines += ["  ".join(cell.rjust(width) if 0 < i < len(row) - 1 else cell.ljust(width)
                            for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    return "\n".join([*lines, "", *BESIDE_NOTES])


def _how(results, scenario):
    """How often it was measured, and how busy the generator was."""
    n = len(results.ratios(scenario.name, scenario.figures[0], "before"))
    shares = [results.generator_share(scenario.name, system) for system in ("before", "weir")]
    busy = f", generator {' and '.join(f'{100 * share:.0f}' for share in shares)}% busy" if None not in shares else ""
    return f"{n} repetition{'s' * (n != 1)}{busy}"
