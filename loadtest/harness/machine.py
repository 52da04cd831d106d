"""The machine: its processor and caches, how busy it was before a run, and what others took from the proxy's core during one."""
import os
import platform
import statistics

from .processes import HERTZ, PROXY_CORE

#: More than this load average a core before the start, and what is measured is the neighbours' work, too.
QUIET_LOAD = 0.5
#: The shares of a round's time that a hypervisor, and that other programs, may take from the proxy's core before it is said.
QUIET_STEAL, QUIET_OTHERS = 0.01, 0.05
CACHES = "/sys/devices/system/cpu/cpu{core}/cache"


def describe():
    """What a figure belongs to, and how busy the machine is now."""
    with open("/proc/cpuinfo") as file:
        cpu = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
    return {"cpu": cpu, "cores": os.cpu_count(), "caches": caches(PROXY_CORE), "kernel": platform.release().split("-")[0],
            "load": [round(load, 2) for load in os.getloadavg()]}


def caches(core):
    """The caches that this core uses, the nearest first; nothing where the kernel does not tell."""
    found = []
    directory = CACHES.format(core=core)
    for entry in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        try:
            level, kind, size, shared = (read(os.path.join(directory, entry, name)) for name in ("level", "type", "size", "shared_cpu_list"))
        except OSError:
            continue
        name = f"L{level}" + {"Data": "d", "Instruction": "i"}.get(kind, "")
        found.append({"name": name, "size": size_in_words(size), "cores": len(cores_in(shared))})
    return found


def read(path):
    with open(path) as file:
        return file.read().strip()


def size_in_words(size):
    """`1024K` as `1 MiB`."""
    if not size.endswith("K"):
        return size
    kib = int(size[:-1])
    return f"{kib / 1024:g} MiB" if kib >= 1024 else f"{kib} KiB"


def cores_in(text):
    """The cores of a list such as `0-3,8`."""
    cores = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cores += range(int(first), int(last or first) + 1)
    return cores


def in_words(machine):
    """One line: processor, caches, kernel."""
    each = [f"{cache['name']} {cache['size']}" + (f" for {cache['cores']} cores" if cache["cores"] > 1 else "") for cache in machine.get("caches", [])]
    return f"{machine['cpu']}, {machine['cores']} cores, {', '.join(each) or 'caches unknown'}, Linux {machine['kernel']}"


class Core:
    """What becomes of the time of the proxy's core between the making of this and `taken`."""

    def __init__(self):
        self.before = ticks()

    def taken(self, own_seconds):
        """The shares that a hypervisor and that other programs took, when the proxy used this many seconds itself."""
        passed = {name: after - self.before[name] for name, after in ticks().items()}
        whole = max(sum(passed.values()), 1)
        others = passed["user"] + passed["nice"] + passed["system"] - own_seconds * HERTZ
        return {"steal": passed["steal"] / whole, "others": max(0.0, others / whole)}


def ticks():
    """The kernel's account of the proxy's core; what guests use is in `user` already."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    with open("/proc/stat") as file:
        line = next(line for line in file if line.startswith(f"cpu{PROXY_CORE} "))
    return dict(zip(names, map(int, line.split()[1:])))


def warnings(results):
    """Why this run's figures may be the neighbours' as much as the contenders'."""
    found = []
    machine = results["machine"]
    load = machine.get("load")
    if load and load[0] > QUIET_LOAD * machine["cores"]:
        found.append(f"The machine was busy before the run began: load average {load[0]:g} on {machine['cores']} cores.")
    for key, limit, who in (("steal", QUIET_STEAL, "the hypervisor"), ("others", QUIET_OTHERS, "other programs")):
        busy = {}
        for name, entry in results.get("scenarios", {}).items():
            shares = [row[key] for rows in entry["figures"].values() for row in rows if key in row]
            if shares and statistics.mean(shares) > limit:
                busy[name] = statistics.mean(shares)
        if busy:
            each = ", ".join(f"{share * 100:.0f} % in {name}" for name, share in busy.items())
            found.append(f"During the rounds {who} took time of the proxy's core: {each}.")
    return found
