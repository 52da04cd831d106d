"""What graphs are asked and what they must answer, documents that are made to harm them, and how much of a graph's memory its plans take."""
import http.client
import json
import statistics
import time

from . import origin

#: In their place a document gets a number, where each is to be a new one.
NUMBER = "0" * 12
#: The requests, by the scenarios that send them.
REQUESTS = {
    "two": {
        "query": "query Q" + NUMBER + "($id: ID!) {account(id: $id) {id name email} cart(id: $id) {id total items {sku count}}}",
        "variables": {"id": "1"}},
    "posts": {"query": "{posts {id userId title user {id name email}}}"},
}
#: How long one document may keep a server busy before it is given up.
PATIENCE = 10
#: How often each document that is made to harm is sent.
TIMES = 10
#: How many plans, and how many fields each of them selects.
PLANS, FIELDS = 1_000, 30


def body(name):
    """The request's body."""
    return json.dumps(REQUESTS[name], separators=(",", ":"))


def answer(name):
    """The `data` that it must be answered."""
    if name == "posts":
        people = {person["id"]: person for person in map(json.loads, origin.people().values())}

        def person(number):
            return {"id": number, "name": people[number]["name"], "email": people[number]["email"]}

        return {"posts": [
            {"id": post["id"], "userId": post["userId"], "title": post["title"], "user": person(post["userId"])}
            for post in json.loads(origin.posts())]}
    account, cart = json.loads(origin.account()), json.loads(origin.cart())
    items = [{"sku": item["sku"], "count": item["count"]} for item in cart["items"]]
    return {"account": {key: account[key] for key in ("id", "name", "email")}, "cart": {"id": cart["id"], "total": cart["total"], "items": items}}


def hostile():
    """Documents that make somebody work for nothing, by what they are: no honest client sends them."""
    def deep(count, opening, within, closing):
        return opening * count + within + closing * count

    def chain(count):
        links = "".join(f" fragment F{index} on Query {{ ...F{index + 1} }}" for index in range(count))
        return "{ ...F0 }" + links + f" fragment F{count} on Query {{ posts {{ id }} }}"

    def ladder(steps):
        rungs = "".join(f" fragment F{index} on Query {{ ...F{index + 1} ... on Query {{ ...F{index + 1} }} }}" for index in range(steps))
        return "{ ...F0 }" + rungs + f" fragment F{steps} on Query {{ none }}"

    def many(count, one):
        return "".join(one(index) for index in range(count))

    return {
        "a fragment that spreads itself": "{ ...F } fragment F on Query { ...F }",
        "two fragments that spread each other": "{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }",
        "100,000 selections deep": deep(100_000, "{a", "", "}"),
        "100,000 lists deep": f"{{ account(id: {deep(100_000, '[', '1', ']')}) {{ id }} }}",
        "100,000 objects deep": f"{{ account(id: {deep(100_000, '{i:', 'null', '}')}) {{ id }} }}",
        "a type 100,000 lists deep": f"query($x: {deep(100_000, '[', 'Int', ']')}) {{ posts {{ id }} }}",
        "20,000 fragments in a chain": chain(20_000),
        "a ladder of 40 fragments": ladder(40),
        "20,000 variables": f"query({many(20_000, lambda index: f'$v{index}: Int ')}) {{ posts {{ id }} }}",
        "10,000 aliases": f"{{ {many(10_000, lambda index: f'a{index}: posts {{ id }} ')} }}",
        "10,000 directives": f"{{ posts {'@skip(if: false) ' * 10_000} {{ id }} }}",
        "10,000 names that nobody knows": f"{{ {many(10_000, lambda index: f'z{index} ')} }}",
        "3,000 names that collide": f"{{ {many(3_000, lambda index: f'x: account(id: {index}) {{ id }} ')} }}",
        "one text of 1.2 MB": '{ account(id: "' + "\\u0041" * 200_000 + '") { id } }',
    }


def distinct(number):
    """A document of thirty fields, no two of which are the same."""
    fields = " ".join(f"f{number}x{index}: {name}" for index, name in zip(range(FIELDS), ["id", "name", "email", "city"] * FIELDS))
    return f"query Q{number} {{account(id: {number}) {{{fields}}}}}"


def send(port, document):
    """Status and milliseconds; nothing where there is no answer in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        begun = time.monotonic()
        connection.request("POST", "/graphql", json.dumps({"query": document}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status, (time.monotonic() - begun) * 1e3
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def harm(contenders, run, ports, say):
    """What each of these documents costs each contender, in milliseconds of its CPU, and its memory before and after: it has had all of them before."""
    figures = {}
    for contender in contenders:
        def start(contender=contender):
            return contender.start("graph-two", run, ports[contender.name], ports["origin"])

        process = start()
        try:
            rows = {}
            for name, document in hostile().items():
                if send(process.port, document) is None:
                    rows[name] = None
                    process.stop(1)
                    process = start()
            before = process.resident_bytes()
            for name, document in hostile().items():
                if name in rows:
                    continue
                spent, sent = process.cpu_seconds(), [send(process.port, document) for _ in range(TIMES)]
                if None in sent:
                    rows[name] = None
                    process.stop(1)
                    process = start()
                    continue
                rows[name] = {
                    "cpu_ms": (process.cpu_seconds() - spent) * 1e3 / TIMES, "ms": statistics.median(took for _, took in sent),
                    "status": sent[-1][0]}
            rows = {name: rows[name] for name in hostile()}
            figures[contender.name] = {"documents": rows, "before": before, "after": process.resident_bytes()}
            worst = max((row["cpu_ms"] for row in rows.values() if row), default=0)
            gone = [name for name, row in rows.items() if not row]
            say(f"  {contender.name}: {worst:.1f} ms at most" + (f"; no answer: {', '.join(gone)}" if gone else ""))
        finally:
            process.stop()
    return figures


def plans(contender, run, ports, say):
    """Memory before and with a thousand plans, and with another thousand in their places."""
    process = contender.start("graph-two", run, ports[contender.name], ports["origin"])
    try:
        for _ in range(500):
            send(process.port, "{account(id: 1) {id}}")
        resident = [process.resident_bytes()]
        for generation in range(2):
            for number in range(PLANS):
                found = send(process.port, distinct(generation * PLANS + number + 1))
                if not found or found[0] != 200:
                    raise RuntimeError(f"a document was not answered well: {found}")
            resident.append(process.resident_bytes())
        say("  " + ", ".join(f"{each / 2**20:.1f} MiB" for each in resident))
        return {"plans": PLANS, "bytes_each": len(distinct(PLANS)), "resident": resident}
    finally:
        process.stop()
