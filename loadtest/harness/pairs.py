"""Ratios of pairs: what one contender costs, divided by what another one cost in the same round, with the quartiles of all rounds."""
import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median between its quartiles, and how many figures it is of."""

    low: float
    median: float
    high: float
    count: int

    def __str__(self):
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"

    def record(self):
        return {key: round(value, 4) for key, value in dataclasses.asdict(self).items()}


def spread(values):
    """Nothing where there are no values."""
    values = sorted(values)
    if not values:
        return None
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, middle, high, len(values))


def ratio(figures, one, other, key="cpu_us"):
    """The spread of the pairs' ratios, or nothing where one of them was not measured."""
    if not figures or not figures.get(one) or not figures.get(other):
        return None
    return spread([a[key] / b[key] for a, b in zip(figures[one], figures[other]) if b[key]])


def against(figures, others=("bare", "nginx", "single")):
    """Each contender's ratios to these others, as they are recorded."""
    found = {}
    for name in figures:
        ratios = {other: ratio(figures, name, other) for other in others if other != name}
        found[name] = {other: each.record() for other, each in ratios.items() if each}
    return found
