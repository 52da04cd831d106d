"""Instructions and cache misses of one request, counted by valgrind: figures that no neighbour can disturb.

A contender is run twice, with few and with many requests; the difference, divided, is what one more request takes. Sizes are fixed, so that two
machines say the same: 32 KiB each for instructions and data, and in place of the last level the 1 MiB that a core has to itself on many servers.
"""
import os
import shutil
import socket

from . import graphs, origin
from .contenders import PATH
from .measure import read_answer
from .scenarios import TELEVISION

FEW, MANY = 1_000, 3_000
SIZES = ["--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64"]
CACHES = "32 KiB for instructions, 32 KiB for data, 1 MiB behind them"
#: Under valgrind everything takes fifty times as long.
PATIENCE = 120
#: Whatever is measured of bare Pingora is measured with the same traffic.
SCENARIOS = ("plain", "full", "trim", "large")


def available():
    return shutil.which("valgrind", path=PATH) is not None


def counts(scenario, contenders, run, ports, say, few=FEW, many=MANY, connections=8):
    """What a request costs each of these, and the functions that cost most. One that fails is left out, with the reason."""
    figures, functions, skipped = {}, {}, {}
    for contender in contenders:
        try:
            files = [once(contender, scenario, run, ports, requests, connections) for requests in (few, many)]
            figures[contender.name], functions[contender.name] = difference(*files, many - few)
            say(f"  {contender.name}: {figures[contender.name]['instructions']:,.0f} instructions")
        except (RuntimeError, AssertionError, OSError) as problem:
            skipped[contender.name] = str(problem)
            say(f"  {contender.name} is left out: {problem}")
    return figures, functions, skipped


def once(contender, scenario, run, ports, requests, connections):
    """One run under valgrind; the file that it leaves."""
    port = ports[contender.name]
    file = os.path.join(run, f"cachegrind-{contender.name}-{scenario.name}-{requests}.out")
    command = ["valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=yes", *SIZES, f"--cachegrind-out-file={file}"]
    process = contender.start(scenario.name, run, port, ports["origin"], wrap=command, patience=PATIENCE)
    try:
        scenario.check(contender.name, port, run)
        drive(port, question(scenario, run, contender.name), requests, connections, scenario.new)
    finally:
        process.stop(PATIENCE)
    if not os.path.exists(file):
        raise RuntimeError("cachegrind left no figures")
    return file


def question(scenario, run, contender):
    """The request of this scenario, the same each time."""
    body = graphs.body(scenario.graph) if scenario.graph and scenario.works(contender) else ""
    lines = [f"{'POST' if body else 'GET'} {scenario.path} HTTP/1.1", "Host: shop.example"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if scenario.television:
        lines.append("User-Agent: " + origin.first_line(TELEVISION))
    if scenario.tokens:
        lines.append("Authorization: Bearer " + origin.first_line(origin.tokens(run, "seen.txt", origin.SEEN)))
    return "\r\n".join([*lines, "", body]).encode()


def drive(port, head, requests, connections, new):
    """This many requests, one after the other, over connections that take turns. `new`: each has another number where it has room for one."""
    clients = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(connections)]
    try:
        for number in range(requests):
            client = clients[number % connections]
            client.sendall(head.replace(graphs.NUMBER.encode(), b"%012d" % (number + 1)) if new else head)
            read_answer(client)
    finally:
        for client in clients:
            client.close()


def read(file):
    """The events of a whole run, and those of each function."""
    events, whole, functions, function = [], {}, {}, None
    with open(file, errors="replace") as lines:
        for line in lines:
            key, _, rest = line.partition(":" if line.startswith(("events:", "summary:")) else "=")
            if key == "events":
                events = rest.split()
            elif key == "summary":
                whole = dict(zip(events, map(int, rest.split())))
            elif key == "fn":
                function = functions.setdefault(rest.strip(), [0, 0])
            elif line[0].isdigit() and function:
                numbers = line.split()
                function[0] += int(numbers[1])
                function[1] += int(numbers[2])
    return whole, functions


def difference(before, after, requests):
    """One request's figures, and its functions: instructions and misses of instructions, the dearest first."""
    (few, few_functions), (many, many_functions) = read(before), read(after)
    each = {event: (many[event] - few[event]) / requests for event in many}
    figures = {
        "instructions": each["Ir"], "accesses": each["Dr"] + each["Dw"], "l1i": each["I1mr"], "l1d": each["D1mr"] + each["D1mw"],
        "l2": each["ILmr"] + each["DLmr"] + each["DLmw"]}
    functions = []
    for name, (instructions, misses) in many_functions.items():
        former = few_functions.get(name, (0, 0))
        functions.append((name, (instructions - former[0]) / requests, (misses - former[1]) / requests))
    return figures, sorted(functions, key=lambda row: -row[1])
