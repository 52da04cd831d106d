"""Figures of one run: CPU per request in interleaved rounds, idle connections, a reload under load, latency at a fixed rate."""
import json
import os
import re
import socket
import subprocess
import time

from . import origin
from .contenders import connections as client_of_connections
from .machine import Core
from .processes import on_rest
from .scenarios import GRPC, WRK


def wrk(port, path, seconds, connections, arguments=(), scheme="http"):
    """One closed-loop run; what `report.lua` says of it."""
    return told(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", os.path.join(WRK, "ceiling.lua"),
                 f"{scheme}://127.0.0.1:{port}{path}", "--", *arguments], seconds)


def told(command, seconds):
    """The line of JSON that a load client ends with."""
    done = subprocess.run(on_rest(command), capture_output=True, text=True, timeout=seconds + 60)
    found = re.search(r"^RESULT (.*)$", done.stdout, re.M)
    if not found:
        raise RuntimeError(f"{os.path.basename(command[0])}: {done.stdout}{done.stderr}")
    return json.loads(found.group(1))


def h2load(run, url, seconds, arguments):
    """One run of h2load; the microseconds that each good answer took, sorted, and how many answers were not good."""
    log = os.path.join(run, "h2load.log")
    if os.path.exists(log):
        os.remove(log)
    command = on_rest(["h2load", "-t1", "-D", str(seconds), "--log-file", log, *arguments, url])
    subprocess.run(command, check=True, capture_output=True, timeout=seconds + 60)
    with open(log) as file:
        rows = [line.split("\t") for line in file]
    times = sorted(int(row[2]) for row in rows if row[1] == "200")
    if not times:
        raise RuntimeError("h2load: no answer was 200")
    return times, len(rows) - len(times)


def percentile(times, part):
    return times[min(len(times) - 1, int(len(times) * part))]


def load(scenario, run, port, seconds, connections, arguments):
    """One closed-loop run. With HTTP/2 there are a quarter of the connections, and four requests at once on each; a quarter open at once where
    each lasts no longer than it takes to open."""
    few = max(1, connections // 4)
    if scenario.connections:
        at_once = connections if scenario.connections == "echo" else few
        authority = [os.path.join(run, "ca.pem")] if scenario.tls else []
        result = told([client_of_connections(), scenario.connections, f"127.0.0.1:{port}", str(seconds), str(at_once), *authority], seconds)
        if not result["requests"]:
            raise RuntimeError(f"no {scenario.connections} succeeded: {result}")
        return result
    if not scenario.h2:
        return wrk(port, scenario.path, seconds, connections, arguments, "https" if scenario.tls else "http")
    call = [*GRPC, "-d", origin.message(run)] if scenario.grpc else []
    times, bad = h2load(run, scenario.url(port), seconds, ["-c", str(few), "-m4", *call])
    return {"requests": len(times), "rps": len(times) / seconds, "status_errors": bad, "socket_errors": 0,
            "p50": percentile(times, 0.5), "p99": percentile(times, 0.99)}


def rounds(scenario, contenders, run, ports, settings, say):
    """Every contender in turn, for all rounds; a list of figures for each. One that cannot do the work is left out, with the reason."""
    processes, figures, skipped = {}, {}, {}
    fresh = scenario.name == "fresh"
    try:
        for contender in contenders:
            try:
                processes[contender.name] = contender.start(scenario.name, run, ports[contender.name], ports[scenario.origin()])
                scenario.check(contender.name, ports[contender.name], run)
                load(scenario, run, ports[contender.name], 1, settings.connections,
                     scenario.arguments(run, (1, 200) if fresh else None, contender.name))
                figures[contender.name] = []
            except (RuntimeError, AssertionError, OSError) as problem:
                skipped[contender.name] = str(problem)
        for number in range(settings.rounds if figures else 0):
            # Each round begins with another, so that none always follows the same neighbour.
            order = list(figures)
            for name in order[number % len(order):] + order[:number % len(order)]:
                slice_ = None
                if fresh:
                    each = (origin.FRESH - 200) // settings.rounds
                    slice_ = (201 + number * each, 200 + (number + 1) * each)
                process = processes[name]
                core, before = Core(), process.cpu_seconds()
                # wrk sleeps to the end of its time, whether tokens are left or not: no longer than they last.
                seconds = 1 if fresh else settings.seconds
                result = load(scenario, run, ports[name], seconds, settings.connections, scenario.arguments(run, slice_, name))
                spent = process.cpu_seconds() - before
                result |= core.taken(spent)
                result["cpu_us"] = spent * 1e6 / max(result["requests"], 1)
                result["resident"] = process.resident_bytes()
                figures[name].append(result)
            say(f"  round {number + 1}: " + ", ".join(f"{name} {rows[-1]['cpu_us']:.1f} us" for name, rows in figures.items()))
        for name in [name for name, rows in figures.items() if not all(row["requests"] for row in rows)]:
            answers = sum(row["requests"] for row in figures.pop(name))
            skipped[name] = f"{answers} answers in {settings.rounds} rounds"
    finally:
        for process in processes.values():
            process.stop()
    return figures, skipped


def idle(contenders, run, ports, connections, say):
    """Memory of each with this many keep-alive connections that made one request and are idle."""
    wanted = connections
    figures, skipped = {}, {}
    question = b"GET /api/v1/products HTTP/1.1\r\nHost: shop.example\r\n\r\n"
    for contender in contenders:
        process, clients, connections = None, [], min(wanted, contender.most_clients())
        try:
            process = contender.start("idle", run, ports[contender.name], ports["origin"])
            wrk(ports[contender.name], "/api/v1/products", 1, 64)
            before = process.resident_bytes()
            for _ in range(connections):
                client = socket.create_connection(("127.0.0.1", ports[contender.name]), timeout=10)
                client.sendall(question)
                read_answer(client)
                clients.append(client)
            after = process.resident_bytes()
            figures[contender.name] = {"connections": connections, "before": before, "after": after, "each": (after - before) / connections}
            say(f"  {contender.name}: {before / 2**20:.1f} MiB, with {connections} idle connections {after / 2**20:.1f} MiB, "
                f"{(after - before) / connections / 1024:.1f} KiB each")
        except (RuntimeError, OSError) as problem:
            skipped[contender.name] = str(problem)
        finally:
            for client in clients:
                client.close()
            if process:
                process.stop()
    return figures, skipped


def read_answer(client):
    """One answer with its length, or chunked, and not a byte more."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += some(client)
    head, data = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"content-length: *(\d+)", head, re.I)
    while (len(data) < int(length.group(1))) if length else not data.endswith(b"0\r\n\r\n"):
        data += some(client)


def some(client):
    data = client.recv(65536)
    if not data:
        raise OSError("the connection ended before its answer did")
    return data


def reloads(contenders, run, ports, settings, say):
    """A reload every half second under a closed loop: failed requests and percentiles, beside the same run without."""
    figures, skipped = {}, {}
    for contender in contenders:
        process = None
        try:
            process = contender.start("reload", run, ports[contender.name], ports["origin"])
            arguments = ["tokens=" + origin.tokens(run, "seen.txt", origin.SEEN)]
            quiet = wrk(ports[contender.name], "/api/v1/products", settings.seconds, settings.connections, arguments)
            load = subprocess.Popen(
                on_rest(["wrk", "-t1", f"-c{settings.connections}", f"-d{settings.seconds}s", "--timeout", "5s", "-s",
                         os.path.join(WRK, "ceiling.lua"), f"http://127.0.0.1:{ports[contender.name]}/api/v1/products", "--", *arguments]),
                stdout=subprocess.PIPE, text=True)
            times = 0
            while load.poll() is None:
                time.sleep(0.5)
                if load.poll() is None:
                    contender.reload(process, run, "reload")
                    times += 1
            result = json.loads(re.search(r"^RESULT (.*)$", load.communicate()[0], re.M).group(1))
            figures[contender.name] = {"reloads": times, "quiet": quiet, "reloading": result}
            say(f"  {contender.name}: {times} reloads, {result['status_errors'] + result['socket_errors']} of {result['requests']} failed, "
                f"p99 {quiet['p99']} us quiet, {result['p99']} us reloading")
        except (RuntimeError, OSError, AttributeError) as problem:
            skipped[contender.name] = str(problem)
        finally:
            if process:
                process.stop()
    return figures, skipped


def latency(scenario, contenders, run, ports, settings, say):
    """p99 at a fixed rate, seven tenths of what the slower one carries: h2load sends on time whatever the answers do, a connection each."""
    figures, skipped, processes = {}, {}, {}
    try:
        for contender in contenders:
            processes[contender.name] = contender.start(scenario.name, run, ports[contender.name], ports["origin"])
            figures[contender.name] = []
        # What the slowest carries, so that none is over its own limit.
        most = min(wrk(ports[c.name], scenario.path, settings.seconds, settings.connections, scenario.arguments(run))["rps"] for c in contenders)
        clients = 64
        each = max(1, int(most * 0.7 / clients))
        headers = []
        if scenario.tokens:
            with open(origin.tokens(run, "seen.txt", origin.SEEN)) as file:
                headers = ["-H", "Authorization: Bearer " + file.readline().strip()]
        for number in range(settings.rounds):
            # As above: none always goes first.
            for contender in contenders[number % len(contenders):] + contenders[:number % len(contenders)]:
                options = ["--h1", "-c", str(clients), f"--rps={each}", *headers]
                times, _ = h2load(run, scenario.url(ports[contender.name]), settings.seconds, options)
                figures[contender.name].append({"rate": each * clients, "p50": percentile(times, 0.5), "p99": percentile(times, 0.99)})
            say(f"  round {number + 1}, {each * clients}/s: " + ", ".join(f"{name} p99 {rows[-1]['p99']} us" for name, rows in figures.items()))
    except (RuntimeError, OSError, subprocess.CalledProcessError) as problem:
        figures, skipped = {}, {"latency": str(problem)}
    finally:
        for process in processes.values():
            process.stop()
    return figures, skipped
