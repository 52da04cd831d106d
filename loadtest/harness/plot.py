"""Plots as SVG, drawn here: nothing has to be installed, and they stay readable in a diff."""
from html import escape

COLOURS = ["#1f6feb", "#d9480f", "#2b8a3e", "#9c36b5", "#e67700", "#0b7285", "#c2255c", "#5f3dc4", "#495057"]
FONT = 'font-family="system-ui, sans-serif"'


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>\n')


def text(x, y, words, size=13, anchor="start", colour="#212529", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}" {FONT}>{escape(str(words))}</text>'


def bars(title, unit, rows, width=760):
    """Horizontal bars. `rows`: (label, median, least, most, is it ours)."""
    left, bar, gap, top = 190, 20, 10, 46
    most = max((row[3] for row in rows), default=1) or 1
    scale = (width - left - 110) / most
    parts = [text(16, 26, title, 15, weight="bold")]
    for index, (label, middle, low, high, ours) in enumerate(rows):
        y = top + index * (bar + gap)
        parts.append(text(left - 10, y + 15, label, anchor="end", weight="bold" if ours else "normal"))
        parts.append(f'<rect x="{left}" y="{y}" width="{middle * scale:.1f}" height="{bar}" fill="{COLOURS[0] if ours else "#adb5bd"}"/>')
        centre = y + bar / 2
        parts.append(f'<path d="M{left + low * scale:.1f} {centre}H{left + high * scale:.1f}" stroke="#212529" stroke-width="1.5"/>')
        parts.append(text(left + high * scale + 8, y + 15, f"{middle:.1f} {unit}"))
    return svg(width, top + len(rows) * (bar + gap) + 12, parts)


def lines(title, x_title, y_title, series, width=760, height=360, logarithmic=True):
    """Lines over a shared axis. `series`: {label: [(x, y), …]}; with `logarithmic` the x axis is."""
    from math import log10
    left, right, top, bottom = 80, 170, 46, 50
    points = [point for row in series.values() for point in row]
    place = (lambda x: log10(max(x, 1))) if logarithmic else float
    low, high = min(place(x) for x, _ in points), max(place(x) for x, _ in points)
    most = max(y for _, y in points) * 1.1 or 1

    def at(x, y):
        return left + (place(x) - low) / ((high - low) or 1) * (width - left - right), height - bottom - y / most * (height - top - bottom)

    parts = [text(16, 26, title, 15, weight="bold"), text((left + width - right) / 2, height - 10, x_title, anchor="middle"),
             text(left - 8, top - 6, y_title, 12, anchor="end")]
    for step in range(5):
        y = most * step / 4
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


def number(value):
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    if value >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:.3g}"
