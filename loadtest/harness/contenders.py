"""Who is measured: where its binary is, its configuration for a scenario, and how it is started."""
import datetime
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import urllib.request

from .processes import Process

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(HERE)
#: Where `loadtest/peers/fetch` puts what Debian does not package.
FETCHED = os.environ.get("LOADTEST_PEERS", os.path.join(HERE, ".peers"))
#: From a contender's port to that of its operators' address.
ADMIN_OFFSET = 500


#: GraphQL servers of npm, and the interpreter that is linked there once they are installed.
GRAPHS = os.path.join(FETCHED, "graphs")


class Contender:
    """One proxy. `configurations` maps a scenario to the file it runs it with, and nothing else does it run."""

    def __init__(self, name, label, binaries, configurations, command, version=("--version",), environment=None, reload=None, told=None, package=None):
        self.name, self.label, self.binaries, self.configurations = name, label, binaries, configurations
        self._command, self._version, self._environment, self._reload = command, version, environment or {}, reload
        # What it is told of a scenario; the others have it in their configurations.
        self._told = told
        # The package of npm that it is, where its binary only interprets it.
        self._package = package

    def binary(self):
        """The first of its binaries that there is."""
        for candidate in self.binaries:
            found = candidate if os.path.sep in candidate and os.access(candidate, os.X_OK) else shutil.which(candidate, path=PATH)
            if found:
                return found
        return None

    def missing(self):
        """What to do about it where there is no binary."""
        return "not built" if self.name in ("frontgate", "single", "bare") else "not installed (loadtest/peers/fetch)"

    def version(self):
        if self._package:
            with open(os.path.join(GRAPHS, "node_modules", self._package, "package.json")) as file:
                interpreter = subprocess.run([self.binary(), "--version"], capture_output=True, text=True).stdout.strip()
                return f"{json.load(file)['version']}, Node {interpreter}"
        if not self._version:
            return "built from the sources here"
        done = subprocess.run([self.binary(), *self._version], capture_output=True, text=True)
        line = (done.stdout + done.stderr).strip().splitlines()[0]
        # Some begin with where they are.
        return line.replace(self.binary(), self.name).strip()

    def start(self, scenario, run, port, origin, wrap=(), patience=20):
        """Starts it for a scenario, under the program that `wrap` names; its configuration, with the ports put in, is left in the run's directory."""
        template = self.configurations[scenario]
        config = None
        if template:
            config = os.path.join(run, f"{self.name}-{scenario}{os.path.splitext(template)[1]}")
            with open(os.path.join(HERE, "peers", template)) as source, open(config, "w") as target:
                target.write(fill(source.read(), self.name, scenario, run, port, origin))
        environment = {
            "GATEWAY_PORT": str(port), "ADMIN_PORT": str(port + ADMIN_OFFSET), "ORIGIN_PORT": str(origin), "KEYS": run, "GOMAXPROCS": "1",
            "HOME": run, **self._environment}
        if wrap:
            # Whoever is watched while he works comes late to everything, and is not to refuse work for it.
            environment["OVERLOAD_LAG"] = "1h"
        command = [*wrap, *self._command(self.binary(), config, port, origin)]
        if self._told:
            command += self._told(scenario, run)
        return Process(command, port, environment=environment, log=os.path.join(run, f"{self.name}.log"), patience=patience)

    def most_clients(self):
        """How many connections it can hold here."""
        return CLIENTS - 100 if self.name == "haproxy" else DESCRIPTORS - 600

    def reloads(self):
        return self._reload is not None

    def reload(self, process, run, scenario):
        self._reload(process, os.path.join(run, f"{self.name}-{scenario}{os.path.splitext(self.configurations[scenario])[1]}"))


PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/local/bin"])
#: What one process may have open here, and how many clients HAProxy takes of it: it counts two for each, and some of its own.
DESCRIPTORS = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65_536)
CLIENTS = min(32_000, (DESCRIPTORS - 100) // 2)
#: The scenarios whose clients speak TLS, and those with WebSockets.
TLS = ("tls", "tls-full", "tls-resumed", "h2-tls")
WEBSOCKET = ("websocket", "websocket-echo")
#: Those where one request is three calls.
AGGREGATE = ("aggregate", "aggregate-trim", "aggregate-large", "aggregate-large-trim", "aggregate-join")
#: Those where a query is answered from several calls.
GRAPH = ("graph-two", "graph-new", "graph-posts")
#: Those whose origin speaks HTTP/2.
H2_UPSTREAM = ("h2-upstream", "grpc")
#: In place of a circuit breaker, for those that have none: ejecting a server that fails.
GUARDS = {
    "haproxy": ("default-server observe layer7 error-limit 10 on-error mark-down", " check inter 2s"),
    "envoy": ("outlier_detection: {consecutive_5xx: 10, base_ejection_time: 5s}\n      circuit_breakers: {thresholds: [{max_requests: 4096}]}", ""),
}


#: What makes a plain listener one that speaks HTTP/2 to who begins with its preface; the others find out themselves.
H2 = {"nginx": " http2", "haproxy": " proto h2", "caddy": " h2c"}


def fill(text, name, scenario, run, port, origin):
    guard, check = GUARDS.get(name, ("", "")) if scenario == "full" else ("", "")
    h2 = H2.get(name, "") if scenario in ("h2", "grpc") else ""
    for key, value in {
            "@DESCRIPTORS@": DESCRIPTORS - 100, "@CLIENTS@": CLIENTS, "@PORT@": port, "@ADMIN@": port + ADMIN_OFFSET, "@ORIGIN@": origin,
            "@RUN@": run, "@GUARD@": guard, "@CHECK@": check, "@H2@": h2}.items():
        text = text.replace(key, str(value))
    return text


def hup(process, _config):
    process.signal(signal.SIGHUP)


def usr2(process, _config):
    process.signal(signal.SIGUSR2)


def caddy_load(process, config):
    with open(config, "rb") as file:
        request = urllib.request.Request(
            f"http://127.0.0.1:{process.port + ADMIN_OFFSET}/load", data=file.read(),
            headers={"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"})
    urllib.request.urlopen(request, timeout=10).close()


def release(name):
    return os.path.join(ROOT, "target", "release", name)


def build(*examples):
    """Builds the gateway and these examples, as for a release, unless FRONTGATE names a build to measure: then only the examples that are missing."""
    targets = [] if os.environ.get("FRONTGATE") else ["--bin", "frontgate"]
    for example in examples:
        named = example == "bare" and os.environ.get("BARE")
        if not named and (not os.environ.get("FRONTGATE") or not os.path.exists(release(f"examples/{example}"))):
            targets += ["--example", example]
    if targets:
        needs("cargo")
        print("building as for a release, which takes minutes the first time:", *targets, file=sys.stderr, flush=True)
        subprocess.run(["cargo", "build", "--release", *targets], cwd=ROOT, check=True)


#: What is installed where this program is missing.
PACKAGES = {
    "wrk": "apt-get install wrk", "nginx": "apt-get install nginx", "openssl": "apt-get install openssl", "taskset": "apt-get install util-linux",
    "valgrind": "apt-get install valgrind", "cargo": "https://rustup.rs", "k6": "loadtest/peers/fetch brings it"}


def needs(*programs):
    """Ends with words where one of these is not installed: before anything is built or started."""
    missing = [program for program in programs if not shutil.which(program, path=PATH)]
    if missing:
        sys.exit("\n".join(f"{program} is missing: {PACKAGES[program]}" for program in missing))


def guarded(main):
    """Runs a script. What stands in its way outside of it, such as a port that is taken, is said in a line, without where in the script that was."""
    try:
        main()
    except RuntimeError as problem:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {problem}")
    except subprocess.CalledProcessError as problem:
        said = f": {problem.stderr.strip() if isinstance(problem.stderr, str) else problem.stderr.decode(errors='replace').strip()}" if problem.stderr else ""
        sys.exit(f"{os.path.basename(sys.argv[0])}: {' '.join(map(str, problem.cmd))} failed{said}")
    except KeyboardInterrupt:
        sys.exit(130)


def gateway():
    """The gateway's binary: the one that FRONTGATE names, or the release build; words where it is not there."""
    binary = os.environ.get("FRONTGATE") or release("frontgate")
    if not os.access(binary, os.X_OK):
        sys.exit(f"{os.path.relpath(binary)} is not there: cargo build --release --bin frontgate")
    return binary


def program(name, what):
    """One of our own programs, or words about it; EXAMPLES may name the directory of other builds."""
    path = os.path.join(os.environ.get("EXAMPLES") or release("examples"), name)
    if not os.access(path, os.X_OK):
        sys.exit(f"{what} is not built: cargo build --release --example {name}")
    return path


def signer():
    """The program that signs tokens, or words about it."""
    return program("tokens", "the token signer")


def connections():
    """The load client whose unit is the connection."""
    return program("connections", "the client of connections")


def echo():
    """The origin of WebSockets."""
    return program("echo", "the origin of WebSockets")


def calls():
    """The origin of gRPC."""
    return program("calls", "the origin of gRPC")


def told(scenario, run):
    """What bare Pingora is told of a scenario."""
    origin = ["h2"] if scenario in H2_UPSTREAM else []
    return origin + ([os.path.join(run, "edge.pem"), os.path.join(run, "edge.key")] if scenario in TLS else [])


def fresh(name):
    """A directory for the results of one run; those that are committed are replaced only by who asks for it."""
    return os.path.join(ROOT, "target", "loadtest", f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}")


ALL = [
    Contender(
        "frontgate", "Frontgate", [os.environ.get("FRONTGATE") or release("frontgate")],
        {name: f"frontgate/{name}.yaml" for name in ("plain", "h2", "auth", "full", "trim", "pipeline")}
        | dict.fromkeys(TLS, "frontgate/tls.yaml") | dict.fromkeys(WEBSOCKET, "frontgate/plain.yaml") | dict.fromkeys(H2_UPSTREAM, "frontgate/h2-upstream.yaml")
        | dict.fromkeys(("aggregate", "aggregate-large", "aggregate-join"), "frontgate/aggregate.yaml")
        | dict.fromkeys(("aggregate-trim", "aggregate-large-trim"), "frontgate/aggregate-trim.yaml")
        | dict.fromkeys(GRAPH, "frontgate/graphql.yaml")
        | {"large": "frontgate/plain.yaml", "upload": "frontgate/plain.yaml", "fresh": "frontgate/full.yaml", "idle": "frontgate/plain.yaml", "reload": "frontgate/full.yaml"},
        lambda binary, config, port, origin: [binary, "run", "-c", config], reload=hup),
    # What an aggregate costs is said in requests: the same origin behind the same binary, one answer passed on.
    Contender(
        "single", "Frontgate, one request", [os.environ.get("FRONTGATE") or release("frontgate")],
        dict.fromkeys(("aggregate", "aggregate-large", "aggregate-join", "graph-two", "graph-new"), "frontgate/plain.yaml") | dict.fromkeys(("aggregate-trim", "aggregate-large-trim"), "frontgate/trim.yaml"),
        lambda binary, config, port, origin: [binary, "run", "-c", config]),
    Contender(
        "bare", "bare Pingora", [os.environ.get("BARE") or release("examples/bare")],
        dict.fromkeys(("plain", "h2", "large", "upload", "auth", "full", "trim", "pipeline", "idle", *TLS, *WEBSOCKET, *H2_UPSTREAM, *AGGREGATE, "graph-two"), None),
        lambda binary, config, port, origin: [binary, f"127.0.0.1:{origin}", f"127.0.0.1:{port}"], version=None, told=told),
    Contender(
        "nginx", "nginx", ["nginx"],
        dict.fromkeys(("plain", "h2", "large", "upload", "full", "trim", "idle", "reload"), "nginx/plain.conf")
        | dict.fromkeys(TLS, "nginx/tls.conf") | dict.fromkeys(WEBSOCKET, "nginx/websocket.conf") | {"grpc": "nginx/grpc.conf"},
        lambda binary, config, port, origin: [binary, "-c", config], version=("-v",), reload=hup),
    Contender(
        "nginx-lua", "nginx + Lua cjson", ["nginx"], {"trim": "nginx/trim.conf"},
        lambda binary, config, port, origin: [binary, "-c", config], version=("-v",)),
    Contender(
        "haproxy", "HAProxy", ["haproxy"],
        dict.fromkeys(("plain", "h2", "large", "upload", "idle", "reload"), "haproxy/plain.cfg") | dict.fromkeys(("auth", "full"), "haproxy/auth.cfg")
        | dict.fromkeys(TLS, "haproxy/tls.cfg") | dict.fromkeys(WEBSOCKET, "haproxy/websocket.cfg") | dict.fromkeys(H2_UPSTREAM, "haproxy/h2-upstream.cfg"),
        lambda binary, config, port, origin: [binary, "-W", "-q", "-f", config], version=("-v",), reload=usr2),
    Contender(
        "envoy", "Envoy", [os.path.join(FETCHED, "bin", "envoy"), "envoy"],
        dict.fromkeys(("plain", "h2", "idle"), "envoy/plain.yaml") | dict.fromkeys(("auth", "full"), "envoy/auth.yaml")
        | dict.fromkeys(("tls", "tls-full", "h2-tls"), "envoy/tls.yaml") | dict.fromkeys(WEBSOCKET, "envoy/websocket.yaml") | dict.fromkeys(H2_UPSTREAM, "envoy/h2-upstream.yaml"),
        lambda binary, config, port, origin: [
            binary, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]),
    Contender(
        "caddy", "Caddy", [os.path.join(FETCHED, "bin", "caddy"), "caddy"],
        {"plain": "caddy/plain.Caddyfile", "h2": "caddy/plain.Caddyfile", "idle": "caddy/plain.Caddyfile", "reload": "caddy/plain.Caddyfile"},
        lambda binary, config, port, origin: [binary, "run", "--config", config, "--adapter", "caddyfile"], version=("version",),
        reload=caddy_load),
    Contender(
        "lura", "lura (KrakenD's engine)", [os.path.join(FETCHED, "lura")],
        dict.fromkeys(("aggregate", "aggregate-large"), "lura/aggregate.json") | dict.fromkeys(("aggregate-trim", "aggregate-large-trim"), "lura/aggregate-trim.json"),
        lambda binary, config, port, origin: [binary, config], version=None),
    *(Contender(
        name, label, [os.path.join(GRAPHS, "node")], dict.fromkeys(GRAPH, None),
        lambda binary, config, port, origin, name=name: [binary, os.path.join(HERE, "peers", "graphs", f"{name}.cjs")],
        environment={"NODE_PATH": os.path.join(GRAPHS, "node_modules"), "NODE_ENV": "production"}, package=package)
      for name, label, package in (("apollo", "Apollo Server", "@apollo/server"), ("mercurius", "mercurius, compiling", "mercurius"))),
    Contender(
        "tailcall", "Tailcall", [os.path.join(FETCHED, "bin", "tailcall"), "tailcall"], dict.fromkeys(GRAPH, "graphs/tailcall.graphql"),
        lambda binary, config, port, origin: [binary, "start", config], environment={"TAILCALL_TRACKER": "false", "TAILCALL_LOG_LEVEL": "error"}),
    Contender(
        "nethttp", "Go net/http", [os.path.join(FETCHED, "nethttp")], dict.fromkeys(("plain", "full", "idle"), None),
        lambda binary, config, port, origin: [binary, f"127.0.0.1:{origin}", f"127.0.0.1:{port}"], version=None),
    Contender(
        "fasthttp", "fasthttp", [os.path.join(FETCHED, "fasthttp")], dict.fromkeys(("plain", "full", "idle"), None),
        lambda binary, config, port, origin: [binary, f"127.0.0.1:{origin}", f"127.0.0.1:{port}"], version=None),
]
