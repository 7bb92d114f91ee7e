"""Charts as SVG, made here: pure functions from numbers to markup and a table that says the same.

They are as wide as the page lets them: places across are percentages, lines are drawn in a
stretched box of 1000 by 1000. Colours are classes (`tone-1` to `tone-8`, or a meaning such as
`tone-bad`), so that styles decide, in the dark too. Names are escaped, whoever chose them.
"""

from tidegate.console.charts.bars import Bar, bars
from tidegate.console.charts.chart import Chart
from tidegate.console.charts.meter import meter
from tidegate.console.charts.series import Series, lines, sparkline, stacked
from tidegate.console.charts.waterfall import Stretch, waterfall

__all__ = [
    "Bar", "Chart", "Series", "Stretch", "bars", "lines", "meter", "sparkline", "stacked",
    "waterfall",
]  # fmt: skip
