"""Starts processes on their core, reads what the kernel accounts to them, ends them."""
import os
import resource
import signal
import socket
import subprocess
import sys
import time

HERTZ = os.sysconf("SC_CLK_TCK")
#: The proxy that is measured has a core to itself; client and origin share the other.
PROXY_CORE, REST_CORE = (1, 0) if (os.cpu_count() or 1) > 1 else (0, 0)


# Servers inherit what may be open at most.
_, MOST = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, MOST))

# A shell starts what runs in the background with INT ignored, which servers would inherit; and TERM is to end what was started, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Process:
    """A server that runs, with its children."""

    def __init__(self, command, port, core=PROXY_CORE, environment=None, log=None, patience=20):
        self.port = port
        self.log = log or os.devnull
        if answers(port):
            raise RuntimeError(f"port {port} is taken already")
        with open(self.log, "ab") as sink:
            self.handle = subprocess.Popen(
                ["taskset", "-c", str(core), *command], stdout=sink, stderr=sink, stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})})
        self.wait_for_port(patience)

    def wait_for_port(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.handle.poll() is not None:
                raise RuntimeError(f"ended with {self.handle.returncode} before it listened: {tail(self.log)}")
            if answers(self.port):
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"does not listen on {self.port}: {tail(self.log)}")

    def tree(self):
        """The process and all below it."""
        found, children = [], {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as file:
                    children.setdefault(int(file.read().rsplit(") ", 1)[1].split()[1]), []).append(int(entry))
            except OSError:
                continue
        todo = [self.handle.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def cpu_seconds(self):
        """User and system time of all its threads, those of ended children with them."""
        total = 0
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/stat") as file:
                    total += sum(map(int, file.read().rsplit(") ", 1)[1].split()[11:15]))
            except OSError:
                continue
        return total / HERTZ

    def resident_bytes(self):
        """The proportional share of memory of the tree, or what is resident where the kernel does not tell."""
        total = 0
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
            except (OSError, StopIteration):
                continue
        return total

    def signal(self, number):
        self.handle.send_signal(number)

    def stop(self, seconds=5):
        """INT ends every contender at once; KILL whoever does not heed it in this time."""
        if self.handle.poll() is None:
            self.handle.send_signal(signal.SIGINT)
            try:
                self.handle.wait(seconds)
            except subprocess.TimeoutExpired:
                for pid in reversed(self.tree()):
                    os.kill(pid, signal.SIGKILL)
                self.handle.wait(5)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def tail(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()[-600:]
    except OSError:
        return ""


def on_rest(command):
    """The same command, beside the origin on the other core."""
    return ["taskset", "-c", str(REST_CORE), *command]
