"""The goals: each figure beside its limit, met or not met and by how much, where there were enough rounds to say so."""
import dataclasses
import statistics

from .pairs import Spread, ratio

#: Fewer pairs than this say nothing: one busy second decides.
LEAST_ROUNDS = 7
#: The dearer Pingora is beside nginx on a machine (its caches decide), the more a gateway on it may cost: between these two points in a straight line.
NGINX_LIMITS = ((1.1, 1.0), (1.9, 1.4))


@dataclasses.dataclass(frozen=True)
class Goal:
    """One figure and its limit. `rounds` is how many pairs it is the median of; nothing where it is counted and no time is in it."""

    what: str
    figure: float
    limit: float
    quartiles: Spread | None = None
    rounds: int | None = None
    at_least: bool = False
    unit: str = ""

    def met(self):
        """Whether it is met, or nothing where there are too few rounds to judge."""
        if self.rounds is not None and self.rounds < LEAST_ROUNDS:
            return None
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def verdict(self):
        met = self.met()
        if met is None:
            return f"too few rounds to judge ({self.rounds}, {LEAST_ROUNDS} are needed)"
        near = self.quartiles and self.quartiles.low <= self.limit <= self.quartiles.high
        return ("met" if met else "**not met**") + (", the limit is between the quartiles" if near else "")

    def row(self):
        """Its line of the table."""
        figure = str(self.quartiles) if self.quartiles else f"{self.figure:.2f}"
        wanted = f"{'at least' if self.at_least else 'at most'} {self.limit:.3g}{self.unit}"
        by = f"{abs(self.figure / self.limit - 1) * 100:.0f} %" if self.met() is not None else ""
        return f"| {self.what} | {figure}{self.unit} | {wanted} | {self.verdict()} | {by} |"


def goals(results):
    """Every goal whose figure was measured."""
    scenarios = {name: entry["figures"] for name, entry in results.get("scenarios", {}).items()}
    plain, full, trim, large, fresh = (scenarios.get(name) for name in ("plain", "full", "trim", "large", "fresh"))
    tls, new, resumed, h2_tls, grpc = (scenarios.get(name) for name in ("tls", "tls-full", "tls-resumed", "h2-tls", "grpc"))
    three, three_large, join = (scenarios.get(name) for name in ("aggregate", "aggregate-large", "aggregate-join"))
    two, new, posts = (scenarios.get(name) for name in ("graph-two", "graph-new", "graph-posts"))
    late = results.get("latency", {}).get("figures")
    found = []

    def pairs(what, spread_of, limit, **more):
        if spread_of:
            found.append(Goal(what, spread_of.median, limit, spread_of, spread_of.count, **more))

    pairs("a route without filters, x bare Pingora", ratio(plain, "frontgate", "bare"), 0.65)
    pairs("the five filters, x bare Pingora", ratio(full, "frontgate", "bare"), 0.8)
    pairs("the five filters, x HAProxy's equivalent", ratio(full, "frontgate", "haproxy"), 0.5)
    pairs("the five filters, x Envoy's equivalent", ratio(full, "frontgate", "envoy"), 0.3)
    bare = ratio(full, "bare", "nginx")
    if bare:
        pairs(f"the five filters, x plain nginx (bare Pingora: {bare.median:.2f} x)", ratio(full, "frontgate", "nginx"), nginx_limit(bare.median))
    pairs("the five filters, x fasthttp's empty proxy", ratio(full, "frontgate", "fasthttp"), 1.0)
    pairs("net/http's reverse proxy, x the five filters", ratio(full, "nethttp", "frontgate"), 3.2, at_least=True)
    if fresh and fresh.get("frontgate") and full and full.get("frontgate") and results.get("verify_us"):
        more = median(fresh["frontgate"]) - median(full["frontgate"]) - results["verify_us"]
        rounds = min(len(fresh["frontgate"]), len(full["frontgate"]))
        found.append(Goal("a token never seen before: beyond the signature check", more, 5, rounds=rounds, unit=" us"))
    pairs("trimming 17.5 KB for a television, x bare Pingora", ratio(trim, "frontgate", "bare"), 0.95)
    pairs("trimming 17.5 KB for a television, x nginx + Lua", ratio(trim, "frontgate", "nginx-lua"), 0.25)
    pairs("three calls of 846 B in one answer, x one request", ratio(three, "frontgate", "single"), 2.1)
    pairs("three calls of 846 B in one answer, x lura", ratio(three, "frontgate", "lura"), 0.25)
    pairs("three calls of 17.5 KB in one answer, x one request", ratio(three_large, "frontgate", "single"), 2.8)
    pairs("three calls of 17.5 KB in one answer, x lura", ratio(three_large, "frontgate", "lura"), 0.08)
    pairs("a list of a hundred and two calls for its elements, x one request for the list", ratio(join, "frontgate", "single"), 3.0)
    pairs("a query, two calls of 846 B, x one request", ratio(two, "frontgate", "single"), 1.7)
    pairs("a query, two calls of 846 B, x Tailcall", ratio(two, "frontgate", "tailcall"), 0.8)
    pairs("a query, two calls of 846 B, x Apollo Server", ratio(two, "frontgate", "apollo"), 0.2)
    pairs("a hundred posts with their writers, 11 calls, x Apollo Server", ratio(posts, "frontgate", "apollo"), 0.1)
    pairs("a hundred posts with their writers, 11 calls, x mercurius", ratio(posts, "frontgate", "mercurius"), 0.35)
    if new and new.get("frontgate") and two and two.get("frontgate"):
        more = median(new["frontgate"]) - median(two["frontgate"])
        rounds = min(len(new["frontgate"]), len(two["frontgate"]))
        found.append(Goal("a document that was never sent before: beyond one that is known", more, 40, rounds=rounds, unit=" us"))
    harmed = results.get("hostile", {}).get("frontgate")
    if harmed:
        worst = max(row["cpu_ms"] if row else float("inf") for row in harmed["documents"].values())
        found.append(Goal(f"the worst of {len(harmed['documents'])} documents that are made to harm", worst, 20, unit=" ms"))
        found.append(Goal("memory that sending them ten times more leaves behind", (harmed["after"] - harmed["before"]) / 1e6, 5, unit=" MB"))
    plans = results.get("plans")
    if plans:
        most = max(plans["resident"][1:]) - plans["resident"][0]
        found.append(Goal(f"memory of {plans['plans']:,} plans, and of as many in their places", most / 1e6, 20, unit=" MB"))
    pairs("17.5 KB untouched, x nginx", ratio(large, "frontgate", "nginx"), 1.25)
    pairs("keep-alive over TLS, x bare Pingora", ratio(tls, "frontgate", "bare"), 1.05)
    pairs("keep-alive over TLS, x nginx", ratio(tls, "frontgate", "nginx"), 1.25)
    pairs("new TLS handshakes a core, x nginx", ratio(new, "nginx", "frontgate"), 0.95, at_least=True)
    pairs("resumed TLS handshakes a core, x nginx", ratio(resumed, "nginx", "frontgate"), 0.95, at_least=True)
    pairs("HTTP/2 over TLS, x Envoy", ratio(h2_tls, "frontgate", "envoy"), 0.7)
    pairs("gRPC calls, x Envoy", ratio(grpc, "frontgate", "envoy"), 0.7)
    pairs("p99 at 70 % of the capacity, five filters, x bare Pingora", ratio(late, "frontgate", "bare", "p99"), 1.0)
    counts = results.get("counts", {})
    if counts.get("filterless") is not None:
        found.append(Goal("heap allocations of a request on a route without filters", counts["filterless"], 28))
    idle = results.get("idle", {}).get("figures", {}).get("frontgate")
    if idle:
        found.append(Goal(f"an idle connection of {idle['connections']}", idle["each"] / 1e3, 3, unit=" KB"))
    if full and full.get("frontgate"):
        found.append(Goal("resident at 64 connections, five filters", median(full["frontgate"], "resident") / 1e6, 30, unit=" MB"))
    return found


def nginx_limit(bare):
    """How much of plain nginx the five filters may cost where bare Pingora costs this much of it."""
    (low, least), (high, most) = NGINX_LIMITS
    part = min(1.0, max(0.0, (bare - low) / (high - low)))
    return least + part * (most - least)


def median(rows, key="cpu_us"):
    return statistics.median(row[key] for row in rows)
