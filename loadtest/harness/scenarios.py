"""What is measured: the request, what its answer must be, and who does the same."""
import dataclasses
import http.client
import json
import os
import shutil
import subprocess

from . import origin

WRK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "wrk")
TELEVISION = os.path.join(WRK, "television.txt")
#: Those who pass the answer on as it came, where others work on it.
PASSING = {"auth": ("bare",), "full": ("bare", "nginx", "nethttp", "fasthttp"), "trim": ("bare", "nginx"), "pipeline": ("bare",), "fresh": ()}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One kind of traffic, measured for every contender that has a configuration for it."""

    name: str
    title: str
    path: str = "/api/v1/products"
    tokens: bool = False
    television: bool = False
    #: Bytes that each request brings, by POST; the origin answers with their number.
    upload: int = 0
    #: The clients speak HTTP/2 with prior knowledge, several requests at once on each connection.
    h2: bool = False

    def counted(self):
        """Whether cachegrind's plain requests can be those of this scenario."""
        return not (self.h2 or self.upload or self.name == "fresh")

    def works(self, contender):
        return contender not in PASSING.get(self.name, ())

    def arguments(self, run, slice_=None):
        """What `ceiling.lua` is told."""
        arguments = []
        if self.television:
            arguments.append("agents=" + TELEVISION)
        if self.upload:
            arguments.append(f"body={self.upload}")
        if self.tokens:
            if slice_ is None:
                arguments.append("tokens=" + origin.tokens(run, "seen.txt", origin.SEEN))
            else:
                arguments += ["tokens=" + origin.tokens(run, "fresh.txt", origin.FRESH), f"from={slice_[0]}", f"upto={slice_[1]}", "once"]
        return arguments

    def check(self, contender, port, run):
        """Fails with words where the contender does not do what the scenario is about."""
        if self.h2:
            with open(os.path.join(run, "www", "products.json"), "rb") as file:
                expect(ask_h2(port, self.path) == ("2", "200", file.read()), "HTTP/2 does not bring the origin's document")
            return
        if self.upload:
            status, _, body = ask(port, self.path, {"Content-Type": "application/json"}, b"." * self.upload)
            expect((status, body) == (200, b'{"bytes":%d}' % self.upload), f"{status}, {body[:80]!r}: the body did not arrive whole")
            return
        headers = {}
        if self.television:
            headers["User-Agent"] = origin.first_line(TELEVISION)
        if self.tokens:
            headers["Authorization"] = "Bearer " + origin.first_line(origin.tokens(run, "seen.txt", origin.SEEN))
        status, answer_headers, body = ask(port, self.path, headers)
        expect(status == 200, f"{status} instead of 200")
        with open(os.path.join(run, "www", self.path.rsplit("/", 1)[1] + ".json"), "rb") as file:
            whole = file.read()
        trims = self.television and self.works(contender)
        if trims:
            expect(json.loads(body) == origin.trimmed(whole), f"{len(body)} bytes that are not the trimmed document")
            status, _, body = ask(port, self.path, {**headers, "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"})
        expect(body == whole, f"{len(body)} bytes that are not the origin's")
        if self.tokens and self.works(contender):
            expect(answer_headers.get("x-bff-version") == "v2.4", "no X-BFF-Version")
            expect(ask(port, self.path, {})[0] == 401, "a request without a token was not refused with 401")
            guest = origin.first_line(origin.tokens(run, "guest.txt", 1, "guest"))
            expect(ask(port, self.path, {"Authorization": "Bearer " + guest})[0] == 403, "a token without the role was not refused with 403")
            head, payload, signature = headers["Authorization"].split(".")
            forged = ".".join([head, payload, ("A" if signature[0] != "A" else "B") + signature[1:]])
            expect(ask(port, self.path, {"Authorization": forged})[0] == 401, "a forged token was not refused with 401")


ALL = [
    Scenario("plain", "a plain proxy, 846 B of JSON"),
    Scenario("h2", "a plain proxy, clients with HTTP/2, 846 B of JSON", h2=True),
    Scenario("large", "a plain proxy, 17.5 KB of JSON", path="/api/v1/catalogue"),
    Scenario("upload", "a plain proxy, 4 KB uploaded", path="/api/v1/orders", upload=4096),
    Scenario("auth", "JWT RS256 (seen tokens), RBAC, rate limit, version header; 846 B", tokens=True),
    Scenario("full", "the five filters: JWT RS256, RBAC, rate limit, circuit breaker, version header; 846 B", tokens=True),
    Scenario("fresh", "the five filters, each token sent once", tokens=True),
    Scenario("trim", "17.5 KB of JSON for a television", path="/api/v1/catalogue", television=True),
    Scenario("pipeline", "the five filters and trimming, 17.5 KB of JSON for a television", path="/api/v1/catalogue", tokens=True, television=True),
]


def ask(port, path, headers, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask_h2(port, path):
    """Version, status and body, by curl."""
    if not shutil.which("curl"):
        raise RuntimeError("curl is missing: apt-get install curl")
    done = subprocess.run(
        ["curl", "--silent", "--max-time", "10", "--http2-prior-knowledge", "--write-out", "\\n%{http_version} %{http_code}", f"http://127.0.0.1:{port}{path}"],
        capture_output=True)
    body, _, last = done.stdout.rpartition(b"\n")
    version, _, status = last.decode().partition(" ")
    return version, status, body


def expect(holds, words):
    if not holds:
        raise AssertionError(words)
