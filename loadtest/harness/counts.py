"""Heap allocations and system calls of a request, as tests/budget counts them."""
import glob
import os
import re
import subprocess

from .contenders import ROOT


def measure(build):
    """Its lines and the figure that is a goal. `build`: whether cargo builds it first, or the latest one that is there is taken."""
    if build:
        command = ["cargo", "test", "--package", "frontgate", "--test", "budget"]
    else:
        built = [path for path in glob.glob(os.path.join(ROOT, "target", "debug", "deps", "budget-*")) if os.access(path, os.X_OK) and not path.endswith(".d")]
        if not built:
            raise RuntimeError("tests/budget is not built: cargo test --test budget")
        command = [max(built, key=os.path.getmtime)]
    # One that is over a budget says so in its lines; the figures hold all the same.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return read(done.stdout)


def read(text):
    lines = [line.strip() for line in text.splitlines() if line.startswith(("allocations ", "with a token", "system calls ", "OVER BUDGET", "SKIPPED"))]
    found = re.search(r"^allocations a request: .*filterless route ([\d.]+)", text, re.M)
    if not found:
        raise RuntimeError(f"tests/budget says no figures: {text[-300:]}")
    return {"lines": lines, "filterless": float(found.group(1))}
