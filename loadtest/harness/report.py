"""The tables: medians, ratios of pairs from one run, and every goal marked met or not met and by how much."""
import statistics

from .contenders import ALL as CONTENDERS

LABELS = {contender.name: contender.label for contender in CONTENDERS}


def median(rows, key="cpu_us"):
    return statistics.median(row[key] for row in rows)


def ratio(figures, one, other, key="cpu_us"):
    """The median of the pairs' ratios, or nothing where one of them was not measured."""
    if not figures or not figures.get(one) or not figures.get(other):
        return None
    return statistics.median(a[key] / b[key] for a, b in zip(figures[one], figures[other]))


def table(figures):
    """CPU, ceiling and latency of one scenario, the cheapest first."""
    against = "nginx" if "nginx" in figures else "bare" if "bare" in figures else next(iter(figures))
    lines = [f"| contender | CPU per request, us | x {LABELS[against]} | requests/s | p50 us | p99 us | errors | resident MiB |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for name in sorted(figures, key=lambda name: median(figures[name])):
        rows = figures[name]
        errors = sum(row["status_errors"] + row["socket_errors"] for row in rows)
        lines.append(
            f"| {LABELS[name]} | {median(rows):.1f} | {ratio(figures, name, against):.2f} | {median(rows, 'rps'):.0f} | {median(rows, 'p50'):.0f} "
            f"| {median(rows, 'p99'):.0f} | {errors} | {median(rows, 'resident') / 2**20:.1f} |")
    return lines


def goals(results):
    """(what, figure, goal, met) for each that was measured."""
    scenarios = {name: entry["figures"] for name, entry in results.get("scenarios", {}).items()}
    found = []

    def most(what, figure, limit, unit=""):
        if figure is not None:
            found.append((what, f"{figure:.2f}{unit}", f"at most {limit:g}{unit}", figure <= limit, distance(figure, limit)))

    def least(what, figure, limit):
        if figure is not None:
            found.append((what, f"{figure:.2f}", f"at least {limit:g}", figure >= limit, distance(limit, figure)))

    plain, full, trim, fresh = (scenarios.get(name) for name in ("plain", "full", "trim", "fresh"))
    most("a route without filters, x bare Pingora", ratio(plain, "frontgate", "bare"), 1.05)
    most("the five filters, x bare Pingora", ratio(full, "frontgate", "bare"), 1.15)
    most("the five filters, x HAProxy's equivalent", ratio(full, "frontgate", "haproxy"), 0.75)
    most("the five filters, x Envoy's equivalent", ratio(full, "frontgate", "envoy"), 0.45)
    if fresh and fresh.get("frontgate") and full and full.get("frontgate") and results.get("verify_us"):
        most("a token never seen before: beyond the signature check", median(fresh["frontgate"]) - median(full["frontgate"]) - results["verify_us"], 5, " us")
    most("trimming 17.5 KB for a television, x bare Pingora", ratio(trim, "frontgate", "bare"), 1.30)
    most("trimming 17.5 KB for a television, x nginx + Lua", ratio(trim, "frontgate", "nginx-lua"), 0.25)
    late = results.get("latency", {}).get("figures")
    most("p99 at seven tenths of the capacity, all filters, x bare Pingora", ratio(late, "frontgate", "bare", "p99"), 1.2)
    if full and full.get("frontgate"):
        most("resident at 64 connections, all filters", median(full["frontgate"], "resident") / 1e6, 30, " MB")
    idle = results.get("idle", {}).get("figures", {}).get("frontgate")
    if idle:
        most(f"an idle connection of {idle['connections']}", idle["each"] / 1e3, 20, " KB")
    most("the five filters, x plain nginx", ratio(full, "frontgate", "nginx"), 1.0)
    most("the five filters, x fasthttp's empty proxy", ratio(full, "frontgate", "fasthttp"), 1.0)
    least("net/http's reverse proxy, x the five filters", ratio(full, "nethttp", "frontgate"), 3.2)
    return found


def distance(figure, limit):
    return f"{abs(figure / limit - 1) * 100:.0f} %" if limit else ""


def markdown(results):
    """The whole page."""
    machine = results["machine"]
    lines = ["# Results", "", f"{results['date']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}. "
             f"{results['settings']['rounds']} rounds of {results['settings']['seconds']} s, {results['settings']['connections']} connections; "
             "the proxy on one core with one worker, client and origin on the other. CPU is what the kernel accounts to the proxy's processes.",
             "Medians of the rounds; ratios are medians of pairs from one run. Absolute times of a shared machine say little.", ""]
    if results.get("guided"):
        lines += [f"{' and '.join(LABELS[name] for name in results['guided'])}: builds guided by a profile, both by the same recipe (`loadtest/pgo`).", ""]
    lines += ["## Goals", "", "| goal | figure | wanted | | by |", "|---|---:|---:|---|---:|"]
    lines += [f"| {what} | {figure} | {wanted} | {'met' if met else '**not met**'} | {by} |" for what, figure, wanted, met, by in goals(results)]
    for name, entry in results.get("scenarios", {}).items():
        if not entry["figures"]:
            continue
        lines += ["", f"## {name}: {entry['title']}", "", f"![CPU per request]({name}.svg)", "", *table(entry["figures"])]
        passing = [LABELS[other] for other in entry.get("passing", []) if other in entry["figures"]]
        if passing:
            lines += ["", f"Only passing the answer on: {', '.join(passing)}."]
        lines += [f"- left out: {LABELS[other]}: {why}" for other, why in entry["skipped"].items()]
    if results.get("latency", {}).get("figures"):
        lines += ["", "## Latency at seven tenths of the capacity, all filters", "", "| contender | requests/s | p50 us | p99 us |", "|---|---:|---:|---:|"]
        for name, rows in results["latency"]["figures"].items():
            lines.append(f"| {LABELS[name]} | {rows[0]['rate']} | {median(rows, 'p50'):.0f} | {median(rows, 'p99'):.0f} |")
    if results.get("idle", {}).get("figures"):
        lines += ["", "## Idle keep-alive connections", "", "| contender | connections | before, MiB | with them, MiB | KiB each |", "|---|---:|---:|---:|---:|"]
        for name, row in sorted(results["idle"]["figures"].items(), key=lambda item: item[1]["each"]):
            lines.append(f"| {LABELS[name]} | {row['connections']} | {row['before'] / 2**20:.1f} | {row['after'] / 2**20:.1f} | {row['each'] / 1024:.1f} |")
    if results.get("reload", {}).get("figures"):
        lines += ["", "## Reloads under load, two a second", "",
                  "| contender | reloads | requests | failed | p99 quiet, us | p99 reloading, us |", "|---|---:|---:|---:|---:|---:|"]
        for name, row in results["reload"]["figures"].items():
            loaded = row["reloading"]
            lines.append(f"| {LABELS[name]} | {row['reloads']} | {loaded['requests']} | {loaded['status_errors'] + loaded['socket_errors']} "
                         f"| {row['quiet']['p99']} | {loaded['p99']} |")
    if results.get("verify_us"):
        lines += ["", f"One RS256 check alone takes {results['verify_us']:.1f} us here."]
    lines += ["", "## Versions", ""] + [f"- {LABELS[name]}: {version}" for name, version in results["versions"].items()]
    lines += [f"- {LABELS.get(name, name)}: skipped, {why}" for name, why in results["missing"].items()]
    return "\n".join(lines) + "\n"
