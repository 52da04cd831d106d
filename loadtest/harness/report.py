"""The page of one run: the machine, warnings, goals, and a table for each scenario with ratios of pairs and their quartiles."""
from . import machine
from .contenders import ALL as CONTENDERS
from .goals import LEAST_ROUNDS, goals, median
from .graphs import PATIENCE, TIMES
from .pairs import ratio

LABELS = {contender.name: contender.label for contender in CONTENDERS}


def table(figures):
    """CPU, ceiling and latency of one scenario, the cheapest first."""
    others = [name for name in ("bare", "nginx", "single") if name in figures] or [next(iter(figures))]
    lines = ["| contender | CPU per request, us | " + " | ".join(f"x {LABELS[name]}" for name in others) +
             " | requests/s | p50 us | p99 us | errors | resident MiB |", "|---|---:|" + "---:|" * len(others) + "---:|---:|---:|---:|---:|"]
    for name in sorted(figures, key=lambda name: median(figures[name])):
        rows = figures[name]
        errors = sum(row["status_errors"] + row["socket_errors"] for row in rows)
        ratios = ["1" if name == other else str(ratio(figures, name, other)) for other in others]
        lines.append(
            f"| {LABELS[name]} | {median(rows):.1f} | {' | '.join(ratios)} | {median(rows, 'rps'):.0f} | {median(rows, 'p50'):.0f} "
            f"| {median(rows, 'p99'):.0f} | {errors} | {median(rows, 'resident') / 2**20:.1f} |")
    return lines


def markdown(results):
    """The whole page."""
    settings = results["settings"]
    lines = ["# Results", "", f"{results['date']}, {machine.in_words(results['machine'])}. "
             f"{settings['rounds']} rounds of {settings['seconds']} s, {settings['connections']} connections; "
             "the proxy on one core with one worker, client and origin on the other. CPU is what the kernel accounts to the proxy's processes.",
             "Times are medians of the rounds. Ratios are medians of pairs, each of one round, with quartiles in brackets. Absolute times of a shared machine say little."]
    if results["machine"].get("load"):
        lines += ["Load average before the run: " + ", ".join(f"{load:g}" for load in results["machine"]["load"]) + "."]
    lines += ["", *(f"- **Warning:** {words}" for words in machine.warnings(results)), ""]
    if results.get("guided"):
        lines += [f"{' and '.join(LABELS[name] for name in results['guided'])}: builds guided by a profile, both by the same recipe (`loadtest/pgo`).", ""]
    found = goals(results)
    if found:
        lines += ["## Goals", "", "| goal | figure | wanted | | by |", "|---|---:|---:|---|---:|", *(goal.row() for goal in found)]
        if any(goal.met() is None for goal in found):
            lines += ["", f"Goals about time are judged from {LEAST_ROUNDS} rounds on."]
    for name, entry in results.get("scenarios", {}).items():
        if entry["figures"]:
            lines += scenario(name, entry)
    lines += hostile(results) + plans(results) + latency(results) + idle(results) + reload(results) + counts(results) + cachegrind(results)
    if results.get("verify_us"):
        lines += ["", f"One RS256 check alone takes {results['verify_us']:.1f} us here."]
    lines += ["", "## Versions", ""] + [f"- {LABELS[name]}: {version}" for name, version in results["versions"].items()]
    lines += [f"- {LABELS.get(name, name)}: skipped, {why}" for name, why in results["missing"].items()]
    text = "\n".join(lines) + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def scenario(name, entry):
    lines = ["", f"## {name}: {entry['title']}", "", f"![CPU per request]({name}.svg)", "", *table(entry["figures"])]
    passing = [LABELS[other] for other in entry.get("passing", []) if other in entry["figures"]]
    if passing:
        lines += ["", f"Only passing the answer on: {', '.join(passing)}."]
    return lines + [""] + [f"- left out: {LABELS[other]}: {why}" for other, why in entry["skipped"].items()]


def latency(results):
    figures = results.get("latency", {}).get("figures")
    if not figures:
        return []
    lines = ["", "## Latency at 70 % of the capacity, five filters", "", "| contender | requests/s | p50 us | p99 us | p99 x bare Pingora |", "|---|---:|---:|---:|---:|"]
    for name, rows in figures.items():
        of_bare = "1" if name == "bare" else str(ratio(figures, name, "bare", "p99"))
        lines.append(f"| {LABELS[name]} | {rows[0]['rate']} | {median(rows, 'p50'):.0f} | {median(rows, 'p99'):.0f} | {of_bare} |")
    return lines


def hostile(results):
    """What documents that are made to harm cost each contender."""
    figures = results.get("hostile")
    if not figures:
        return []
    names = list(figures)
    lines = ["", "## Documents that are made to harm", "",
             f"Milliseconds of the server's CPU for each, sent {TIMES} times; in brackets the status of its answer.",
             f"`none`: within {PATIENCE} s there was none, or the connection broke.", "",
             "| document | " + " | ".join(LABELS[name] for name in names) + " |", "|---|" + "---:|" * len(names)]
    for document in figures[names[0]]["documents"]:
        rows = [figures[name]["documents"][document] for name in names]
        lines.append(f"| {document} | " + " | ".join(f"{row['cpu_ms']:.1f} ({row['status']})" if row else "none" for row in rows) + " |")
    memory = ", ".join(f"{LABELS[name]} {row['before'] / 2**20:.1f} and {row['after'] / 2**20:.1f} MiB" for name, row in figures.items())
    return [*lines, "", f"Resident before and after: {memory}."]


def plans(results):
    """The memory that plans take."""
    found = results.get("plans")
    if not found:
        return []
    first, *later = (f"{each / 2**20:.1f} MiB" for each in found["resident"])
    return ["", "## Memory of plans", "", f"Resident before {first}, with the plans of {found['plans']:,} documents of {found['bytes_each']:,} B each "
            f"{later[0]}, with those of as many others in their places {later[1]}."]


def idle(results):
    figures = results.get("idle", {}).get("figures")
    if not figures:
        return []
    lines = ["", "## Idle keep-alive connections", "", "| contender | connections | before, MiB | with them, MiB | KiB each |", "|---|---:|---:|---:|---:|"]
    for name, row in sorted(figures.items(), key=lambda item: item[1]["each"]):
        lines.append(f"| {LABELS[name]} | {row['connections']} | {row['before'] / 2**20:.1f} | {row['after'] / 2**20:.1f} | {row['each'] / 1024:.1f} |")
    return lines


def reload(results):
    figures = results.get("reload", {}).get("figures")
    if not figures:
        return []
    lines = ["", "## Reloads under load, two a second", "",
             "| contender | reloads | requests | failed | p99 quiet, us | p99 reloading, us |", "|---|---:|---:|---:|---:|---:|"]
    for name, row in figures.items():
        loaded = row["reloading"]
        lines.append(f"| {LABELS[name]} | {row['reloads']} | {loaded['requests']} | {loaded['status_errors'] + loaded['socket_errors']} "
                     f"| {row['quiet']['p99']} | {loaded['p99']} |")
    return lines


def counts(results):
    found = results.get("counts", {}).get("lines")
    return ["", "## Heap allocations and system calls", "", "Counted by `tests/budget` in a build of its own:", "", *(f"- {line}" for line in found)] if found else []


def cachegrind(results):
    found = results.get("cachegrind", {})
    if not found.get("figures"):
        return []
    lines = ["", "## Instructions and cache misses of a request", "", f"valgrind's cachegrind, without the kernel: {found['caches']}; {found['requests']} requests.", ""]
    return lines + counted(found["figures"])


def counted(figures):
    """What cachegrind counted, scenario by scenario, beside bare Pingora's."""
    lines = ["| scenario | contender | instructions | x bare Pingora | data accesses | L1i misses | L1d misses | L2 misses |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    for name, of in figures.items():
        for contender, each in of.items():
            beside = f"{each['instructions'] / of['bare']['instructions']:.2f}" if "bare" in of else "-"
            lines.append(f"| {name} | {LABELS[contender]} | {each['instructions']:,.0f} | {beside} | {each['accesses']:,.0f} "
                         f"| {each['l1i']:,.0f} | {each['l1d']:,.0f} | {each['l2']:,.1f} |")
    return lines
