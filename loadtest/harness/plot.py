"""Plots as SVG, drawn here: nothing has to be installed, and they stay readable in a diff."""
import textwrap
from html import escape
from math import floor, log10

COLOURS = ["#1f6feb", "#d9480f", "#2b8a3e", "#9c36b5", "#e67700", "#0b7285", "#c2255c", "#5f3dc4", "#495057"]
FONT = 'font-family="system-ui, sans-serif"'


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>\n')


def text(x, y, words, size=13, anchor="start", colour="#212529", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}" {FONT}>{escape(str(words))}</text>'


def title_lines(words, width):
    """A title in as many lines as it needs, and where the rest may begin."""
    # A bold letter of this size is 8 wide at most, on average.
    found = textwrap.wrap(words, int((width - 32) / 8))
    return [text(16, 26 + index * 19, line, 15, weight="bold") for index, line in enumerate(found)], 46 + (len(found) - 1) * 19


def bars(title, unit, rows, width=760):
    """Horizontal bars: the median, and a line from quartile to quartile. `rows`: (label, spread, "ours", "working" or "passing")."""
    left, bar, gap = 190, 20, 10
    parts, top = title_lines(title, width)
    most = max((spread.high for _, spread, _ in rows), default=1) or 1
    scale = (width - left - 110) / most
    for index, (label, spread, kind) in enumerate(rows):
        y = top + index * (bar + gap)
        parts.append(text(left - 10, y + 15, label, anchor="end", weight="bold" if kind == "ours" else "normal"))
        look = {"ours": f'fill="{COLOURS[0]}"', "working": 'fill="#adb5bd"', "passing": 'fill="#f1f3f5" stroke="#adb5bd" stroke-dasharray="4 3"'}[kind]
        parts.append(f'<rect x="{left}" y="{y}" width="{spread.median * scale:.1f}" height="{bar}" {look}/>')
        centre = y + bar / 2
        parts.append(f'<path d="M{left + spread.low * scale:.1f} {centre}H{left + spread.high * scale:.1f}" stroke="#212529" stroke-width="1.5"/>')
        parts.append(text(left + max(spread.median, spread.high) * scale + 8, y + 15, f"{spread.median:.1f} {unit}"))
    height = top + len(rows) * (bar + gap) + 12
    notes = "median of the rounds, line from quartile to quartile" + ("; dashed: only passes the answer on" if any(row[2] == "passing" for row in rows) else "")
    parts.append(text(left, height + 4, notes, 12, colour="#495057"))
    return svg(width, height + 16, parts)


def lines(title, x_title, y_title, series, width=760, height=380, logarithmic=True):
    """Lines over a shared axis. `series`: {label: [(x, y), …]}; with `logarithmic` the x axis is."""
    left, right, bottom = 80, 170, 50
    parts, top = title_lines(title, width)
    top += 20
    points = [point for row in series.values() for point in row]
    place = (lambda x: log10(max(x, 1))) if logarithmic else float
    low, high = min(place(x) for x, _ in points), max(place(x) for x, _ in points)
    marks = ticks(max(y for _, y in points))

    def at(x, y):
        return left + (place(x) - low) / ((high - low) or 1) * (width - left - right), height - bottom - y / marks[-1] * (height - top - bottom)

    parts += [text((left + width - right) / 2, height - 10, x_title, anchor="middle"), text(left - 8, top - 16, y_title, 12, anchor="end", weight="bold")]
    for y in marks:
        parts.append(f'<path d="M{left} {at(1, y)[1]:.1f}H{width - right}" stroke="#dee2e6"/>')
        parts.append(text(left - 8, at(1, y)[1] + 4, number(y), 12, anchor="end"))
    for x in sorted({x for x, _ in points}) if logarithmic else []:
        parts.append(text(at(x, 0)[0], height - bottom + 18, number(x), 12, anchor="middle"))
    if not logarithmic:
        for step in range(6):
            x = low + (high - low) * step / 5
            parts.append(text(at(x, 0)[0], height - bottom + 18, number(x), 12, anchor="middle"))
    for index, (label, row) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (at(*point) for point in sorted(row)))
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if logarithmic:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in (at(*point) for point in row)]
        parts.append(text(width - right + 12, top + 14 + index * 20, label, 12, colour=colour))
    return svg(width, height, parts)


def ticks(most):
    """Round numbers from nought to this much or a little more."""
    most = most or 1
    power = 10 ** floor(log10(most))
    step = next(power * part for part in (0.2, 0.25, 0.5, 1, 2, 2.5, 5) if most / (power * part) <= 5)
    return [step * index for index in range(int(-(-most // step)) + 1)]


def number(value):
    """A few digits and a letter: 10, 250, 1k, 1.5k, 10k, 2M."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"
