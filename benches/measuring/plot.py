"""Plots throughput and latency over the number of connections, for each request."""

import shutil
import sys

from . import programs
from .rounds import BINDINGS

# Dashes and points distinguish the lines without colour. The keys are above the plots, where no line can cross them.
SCRIPT = """
set terminal svg size 1260,800 noenhanced font "sans-serif,13" background "white"

$found << EOD
{data}
EOD
array requests[3] = [{requests}]

set style line 1 linecolor "#0072b2" linewidth 2 dashtype solid pointtype 7 pointsize 0.8
set style line 2 linecolor "#d55e00" linewidth 2 dashtype "-" pointtype 4 pointsize 0.8
set style line 3 linecolor "#a0408a" linewidth 2 dashtype "." pointtype 9 pointsize 0.9
set style data linespoints
set border 3
set grid ytics linecolor "#dddddd" dashtype solid linewidth 1
set tics nomirror
set key at graph 0.5, 1.14 center top horizontal maxrows 1 samplen 4
set title offset 0, 1.2
set logscale x 2
set xtics ({ticks})
set xrange [{first} / 1.5 : {last} * 1.5]
set yrange [0:*]
set offsets 0, 0, graph 0.08, 0
set xlabel "connections" offset 0, 0.5

set multiplot layout 2,3 title "{title}" font ",17" margins 0.07,0.985,0.075,0.86 spacing 0.075,0.2
set ylabel "requests per second"
do for [i=1:3] {{
    set title requests[i] font ",15"
    plot $found index i-1 using 1:2 linestyle 1 title "service", \\
         $found index i-1 using 1:3 linestyle 2 title "pgbench"
}}
set ylabel "latency, ms"
do for [i=1:3] {{
    set title requests[i] font ",15"
    plot $found index i-1 using 1:4 linestyle 1 title "p50", \\
         $found index i-1 using 1:5 linestyle 2 title "p95", \\
         $found index i-1 using 1:6 linestyle 3 title "p99"
}}
unset multiplot
"""


def installed():
    """The path of gnuplot."""
    return shutil.which("gnuplot") or sys.exit("error: gnuplot is not installed: apt-get install gnuplot-nox")


def svg(gnuplot, found):
    """The plot for the smallest database of the run, without the user's gnuplot settings."""
    return programs.run([gnuplot, "--default-settings", "-"], input=script(found["sizes"][0]))


def script(size):
    levels = sorted(size["levels"], key=lambda level: level["connections"])
    connections = [level["connections"] for level in levels]
    return SCRIPT.format(
        data="\n\n\n".join(rows(levels, operation) for operation in BINDINGS),
        requests=", ".join(f'"{name}"' for name in BINDINGS.values()),
        ticks=", ".join(map(str, connections)),
        first=connections[0],
        last=connections[-1],
        title=f"The service, and pgbench with the same statements as its limit; {size['devices']:,} devices",
    )


def rows(levels, operation):
    """A line per number of connections, with the columns that the script addresses by position."""
    columns = ("rate", "limit", "p50_ms", "p95_ms", "p99_ms")
    lines = [[level["connections"], *(level[operation][column] for column in columns)] for level in levels]
    return "\n".join(" ".join(map(str, line)) for line in lines)
