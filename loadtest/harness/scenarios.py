"""What is measured: the request, what its answer must be, and who does the same."""
import dataclasses
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess

from . import graphs, origin
from .contenders import AGGREGATE, GRAPH

WRK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "wrk")
TELEVISION = os.path.join(WRK, "television.txt")
#: Those who pass the answer on as it came, where others work on it.
PASSING = dict.fromkeys((*AGGREGATE, *GRAPH), ("single", "bare")) | {
    "auth": ("bare",), "full": ("bare", "nginx", "nethttp", "fasthttp"), "trim": ("bare", "nginx"), "pipeline": ("bare",), "fresh": ()}


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
    #: The clients speak TLS.
    tls: bool = False
    #: What `connections.rs` does, where a request is a connection or a message on one: `full`, `resumed`, `websocket` or `echo`.
    connections: str = ""
    #: A request is a gRPC call, over HTTP/2 from end to end.
    grpc: bool = False
    #: The origin speaks HTTP/2.
    h2_upstream: bool = False
    #: The document that each of three calls brings, where one request is three calls.
    three: str = ""
    #: One request is a list and two calls for its elements.
    join: bool = False
    #: What a graph is asked, of `graphs.REQUESTS`.
    graph: str = ""
    #: No document is sent twice.
    new: bool = False

    def counted(self):
        """Whether cachegrind's plain requests can be those of this scenario."""
        return not (self.h2 or self.upload or self.tls or self.connections or self.h2_upstream or self.name == "fresh")

    def origin(self):
        """Which of the origins is asked: the one that has documents, in HTTP/1 or HTTP/2, or one that echoes."""
        if self.connections in ("websocket", "echo"):
            return "echo"
        return "calls" if self.grpc else "origin-h2" if self.h2_upstream else "origin"

    def url(self, port):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{port}{self.path}"

    def works(self, contender):
        return contender not in PASSING.get(self.name, ())

    def arguments(self, run, slice_=None, contender=""):
        """What `ceiling.lua` is told."""
        arguments = []
        # Who only passes something on is asked for one document.
        if self.graph and self.works(contender):
            path = os.path.join(run, f"{self.graph}.body")
            with open(path, "w") as file:
                file.write(graphs.body(self.graph))
            arguments += [f"graph={path}"] + (["new"] if self.new else [])
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
        if self.grpc:
            expect(calls(self.url(port), origin.message(run)), "a gRPC call does not bring back its message and a status of 0")
            return
        if self.origin() == "echo":
            expect(echoes(port), "a WebSocket does not bring back what it was sent")
            return
        if self.h2:
            with open(os.path.join(run, "www", "products.json"), "rb") as file:
                expect(ask_h2(self.url(port), run) == ("2", "200", file.read()), "HTTP/2 does not bring the origin's document")
            return
        if self.tls:
            status, version, body = ask_tls(port, self.path, run)
            with open(os.path.join(run, "www", "products.json"), "rb") as file:
                expect((status, version, body) == (200, "TLSv1.3", file.read()), f"{status} over {version} instead of the origin's document over TLS 1.3")
            return
        if self.upload:
            status, _, body = ask(port, self.path, {"Content-Type": "application/json"}, b"." * self.upload)
            expect((status, body) == (200, b'{"bytes":%d}' % self.upload), f"{status}, {body[:80]!r}: the body did not arrive whole")
            return
        if self.three:
            self.check_three(contender, port, run)
            return
        if self.graph and self.works(contender):
            status, _, body = ask(port, self.path, {"Content-Type": "application/json"}, graphs.body(self.graph).encode())
            expect(status == 200, f"{status} instead of 200: {body[:200]!r}")
            expect(json.loads(body) == {"data": graphs.answer(self.graph)}, f"{len(body)} bytes that are not what was asked for: {body[:200]!r}")
            return
        if self.graph:
            with open(os.path.join(run, "www", "products.json"), "rb") as file:
                expect(ask(port, self.path, {})[2] == file.read(), "not the origin's document")
            return
        if self.join:
            status, _, body = ask(port, self.path, {})
            expect(status == 200, f"{status} instead of 200: {body[:200]!r}")
            expected = origin.joined() if self.works(contender) else json.loads(origin.basket())
            expect(json.loads(body) == expected, f"{len(body)} bytes that are not what the calls bring: {body[:200]!r}")
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

    def check_three(self, contender, port, run):
        """Fails likewise where three answers are not side by side in one, or one of them is not as it should be."""
        with open(os.path.join(run, "www", self.three + ".json"), "rb") as file:
            whole = file.read()

        def expected(trims):
            each = origin.trimmed(whole) if trims else json.loads(whole)
            return {"user": each, "cart": each, "news": each} if self.works(contender) else each

        # Those that only pass one answer on are not all able to trim it.
        trims = self.television and contender != "bare"
        status, _, body = ask(port, self.path, {"User-Agent": origin.first_line(TELEVISION)} if self.television else {})
        expect(status == 200, f"{status} instead of 200: {body[:200]!r}")
        expect(json.loads(body) == expected(trims), f"{len(body)} bytes that are not what the calls bring: {body[:200]!r}")
        # lura knows no devices: it drops for everybody.
        if trims and contender != "lura":
            _, _, body = ask(port, self.path, {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"})
            expect(json.loads(body) == expected(False), "a desktop does not get the whole of it")


ALL = [
    Scenario("plain", "a plain proxy, 846 B of JSON"),
    Scenario("h2", "a plain proxy, clients with HTTP/2, 846 B of JSON", h2=True),
    Scenario("tls", "a plain proxy, clients with TLS 1.3 that stay, 846 B of JSON", tls=True),
    Scenario("h2-tls", "a plain proxy, clients with HTTP/2 over TLS 1.3, 846 B of JSON", tls=True, h2=True),
    Scenario("tls-full", "new TLS 1.3 handshakes (ECDSA P-256, X25519), each on a connection of its own; a request is a handshake", tls=True, connections="full"),
    Scenario("tls-resumed", "resumed TLS 1.3 handshakes, each on a connection of its own; a request is a handshake", tls=True, connections="resumed"),
    Scenario("websocket", "WebSockets that open, echo one message and end; a request is a connection", connections="websocket"),
    Scenario("websocket-echo", "messages of 64 B echoed on WebSockets that stay; a request is a message there and back", connections="echo"),
    Scenario("h2-upstream", "a plain proxy to an origin with HTTP/2, clients with HTTP/1.1, 846 B of JSON", h2_upstream=True),
    Scenario("grpc", "gRPC calls of 64 B there and back, HTTP/2 on both sides", path="/echo.Echo/Unary", h2=True, grpc=True, h2_upstream=True),
    Scenario("large", "a plain proxy, 17.5 KB of JSON", path="/api/v1/catalogue"),
    Scenario("upload", "a plain proxy, 4 KB uploaded", path="/api/v1/orders", upload=4096),
    Scenario("auth", "JWT RS256 (seen tokens), RBAC, rate limit, version header; 846 B", tokens=True),
    Scenario("full", "the five filters: JWT RS256, RBAC, rate limit, circuit breaker, version header; 846 B", tokens=True),
    Scenario("fresh", "the five filters, each token sent once", tokens=True),
    Scenario("trim", "17.5 KB of JSON for a television", path="/api/v1/catalogue", television=True),
    Scenario("aggregate", "one request, three calls of 846 B, side by side in one answer", path="/home", three="products"),
    Scenario("aggregate-trim", "the same for a television", path="/home", three="products", television=True),
    Scenario("aggregate-large", "one request, three calls of 17.5 KB", path="/home/large", three="catalogue"),
    Scenario("aggregate-large-trim", "the same for a television", path="/home/large", three="catalogue", television=True),
    Scenario("aggregate-join", "one request, a list of a hundred and two calls for fifty of its elements each", path="/home/basket", join=True),
    Scenario("graph-two", "a query that is known and has a variable, two calls of 846 B at once", path="/graphql", graph="two"),
    Scenario("graph-new", "the same where no document was sent before", path="/graphql", graph="two", new=True),
    Scenario("graph-posts", "a query for a hundred posts with their writers: 15 KB and ten calls more", path="/graphql", graph="posts"),
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


def ask_tls(port, path, run):
    """Status, version of TLS and body; the certificate has to be the one that was made for this run."""
    context = ssl.create_default_context(cafile=os.path.join(run, "ca.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    try:
        connection.request("GET", path)
        version = connection.sock.version()
        answer = connection.getresponse()
        return answer.status, version, answer.read()
    finally:
        connection.close()


def echoes(port):
    """Whether a WebSocket opens and brings back a message."""
    opening = (b"GET /socket HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(opening)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = client.recv(1)
            if not part:
                return False
            head += part
        if not head.startswith(b"HTTP/1.1 101") or b"s3ppLMBiTxaQ9kYGzzhZRbK+xOo=".lower() not in head.lower():
            return False
        # "hello", masked with zeros.
        client.sendall(b"\x81\x85\0\0\0\0hello")
        back = b""
        while len(back) < 7:
            part = client.recv(7 - len(back))
            if not part:
                return False
            back += part
        return back == b"\x81\x05hello"


GRPC = ("-H", "content-type: application/grpc", "-H", "te: trailers")


def calls(url, message):
    """Whether a call brings back its message and a status of 0, by curl."""
    done = subprocess.run(
        ["curl", "--silent", "--max-time", "10", "--http2-prior-knowledge", *GRPC, "--data-binary", f"@{message}", "--dump-header", "-", url],
        capture_output=True)
    with open(message, "rb") as file:
        return b"grpc-status: 0" in done.stdout and file.read() in done.stdout


def ask_h2(url, run):
    """Version, status and body, by curl."""
    if not shutil.which("curl"):
        raise RuntimeError("curl is missing: apt-get install curl")
    done = subprocess.run(
        ["curl", "--silent", "--max-time", "10", "--http2" if url.startswith("https") else "--http2-prior-knowledge",
         "--cacert", os.path.join(run, "ca.pem"), "--write-out", "\\n%{http_version} %{http_code}", url],
        capture_output=True)
    body, _, last = done.stdout.rpartition(b"\n")
    version, _, status = last.decode().partition(" ")
    return version, status, body


def expect(holds, words):
    if not holds:
        raise AssertionError(words)
