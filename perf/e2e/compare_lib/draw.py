# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of a comparison, by gnuplot: SVG without anything that changes from one drawing to the next."""
import subprocess

SYSTEMS = ("weir", "haproxy", "nginx")
COLOURS = {"weir": "#0072b2", "haproxy": "#e69f00", "nginx": "#7f7f7f"}
NAMES = {"weir": "weir", "haproxy": "HAProxy", "nginx": "NGINX"}
HEAD = """\
set encoding utf8
set style fill solid 1.0 noborder
set boxwidth 0.9
set border 3 lc rgb "#888888"
set grid ytics lc rgb "#dddddd"
set tics nomirror scale 0 textcolor rgb "#333333"
set xtics font ",11"
set bmargin 3.4
unset key
"""


class Bars:
    """One chart of grouped bars: a group a label, in it a bar a system (or other series), its value written above."""

    def __init__(self, title, unit, groups, series=SYSTEMS, log=False, line=None):
        """groups: [(label, {series: value or None}), ...]; line: height of a dashed line. A key (series, "mark") that is
        true puts a * behind the value."""
        self.title, self.unit, self.series, self.log, self.line = title, unit, series, log, line
        self.groups = [(label, values) for label, values in groups if any((values.get(s) or 0) > 0 for s in series)]

    @staticmethod
    def _short(value):
        if value >= 1e6:
            return f"{value / 1e6:.3g}M"
        if value >= 1e4:
            return f"{value / 1e3:.3g}k"
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    def script(self):
        if not self.groups:
            return f'set title "{self.title}: not measured"\nunset logscale y\nunset tics\nunset border\nplot [0:1] [0:1] 1/0\nset tics\nset border\n'
        step = len(self.series) + 0.8
        data, tics = [], []
        for g, (label, values) in enumerate(self.groups):
            tics.append(f'"{label}" {g * step + (len(self.series) - 1) / 2:g}')
            for i, series in enumerate(self.series):
                value = values.get(series)
                if value and value > 0:
                    colour = int(COLOURS[series][1:], 16)
                    mark = "*" * bool(values.get((series, "mark")))
                    data.append(f'{g * step + i:g} {value:g} {colour} "{self._short(value)}{mark}"')
        top = max(v for _, values in self.groups for s in self.series if (v := values.get(s) or 0) > 0)
        low = min(v for _, values in self.groups for s in self.series if (v := values.get(s) or 0) > 0)
        shown = "%g" if top < 1000 else "%.1s%c" if top < 5000 or 1e6 < top < 5e6 else "%.0s%c"
        span = f"[{low / 3:g}:{top * 3:g}]" if self.log else f"[0:{top * 1.18:g}]"
        line = f', {self.line:g} with lines dt 2 lc rgb "#444444"' if self.line else ""
        return "\n".join([
            "$data << EOD", *data, "EOD",
            f'set title "{self.title}" font ",13"', f'set ylabel "{self.unit}" font ",11"', f"set xtics ({', '.join(tics)})",
            "set logscale y" if self.log else "unset logscale y", f'set format y "{shown}"',
            f"plot [{-0.9:g}:{(len(self.groups) - 1) * step + len(self.series) - 0.1:g}] {span} "
            "$data using 1:2:3 with boxes lc rgb variable, "
            f'$data using 1:2:4 with labels offset 0,0.6 font ",9" textcolor rgb "#222222"{line}', ""])


def _labels(series, y):
    """A legend of coloured names, drawn at height y of the screen."""
    out, x = [], 0.985
    for s in reversed(series):
        out.append(f'set label "\\U+25A0 {NAMES[s]}" at screen {x:g},{y:g} right font ",13" textcolor rgb "{COLOURS[s]}"')
        x -= 0.018 + 0.0105 * len(NAMES[s])
    return "\n".join(out)


def draw(path, title, charts, columns, width=1200, height=760, series=SYSTEMS, note=""):
    """All charts in one picture of so many columns; note: a line in its upper left corner."""
    rows = -(-len(charts) // columns)
    script = [f'set terminal svg size {width},{height} font "DejaVu Sans,12" background rgb "#ffffff"', f'set output "{path}"',
              HEAD, f'set multiplot layout {rows},{columns} title "{title}\\n" font ",15" noenhanced', _labels(series, 1 - 22 / height),
              f'set label "{note}" at screen 0.012,{1 - 22 / height:g} left noenhanced font ",10" textcolor rgb "#444444"']
    for number, chart in enumerate(charts):
        script.append(chart.script())
        if number == 0:
            script.append("unset label")
    script.append("unset multiplot\n")
    done = subprocess.run(["gnuplot"], input="\n".join(script), capture_output=True, text=True, check=False)
    if done.returncode != 0 or "error" in done.stderr.lower():
        raise RuntimeError(f"gnuplot: {done.stderr}")
