"""One run of the script: where things are, what is done, how a command is run."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path


class Skipped(Exception):
    """Something that a step needs is not there."""


class Failed(Exception):
    """A step found a fault."""


class OutOfTime(Exception):
    """The whole must end."""


class Session:
    """Runs the steps and keeps what they give."""

    def __init__(self, root, options):
        self.root, self.rehearse = root, options.rehearse
        self.bundle, self.out = options.bundle.resolve(), options.out.resolve()
        self.end = time.monotonic() + 60 * options.minutes
        self.only, self.again = options.only or "", options.again
        self.environment = dict(os.environ, **find_libraries())
        self.backend = "cpu" if self.rehearse else "cuda"
        self.commit = self.built_from()
        self.done = {}

    def built_from(self):
        """The commit of the binaries."""
        marker = self.bundle / "commit"
        return marker.read_text().strip() if marker.exists() else "unknown"

    def binary(self, name):
        path = self.bundle / name
        if not path.exists():
            raise Skipped(f"no {name} in the bundle")
        return path

    def find_device(self):
        """What the device is; None, with the reason printed, where there is none that CUDA can use."""
        monolens = self.bundle / "monolens"
        if not monolens.exists():
            print(f"no bundle: {monolens} is not there; build it with: cargo xtask gpu-bundle")
            return None
        # On a device that is new to it this compiles all kernels and tries them out.
        try:
            found = subprocess.run([monolens, "doctor", "--json", "--backend", self.backend], capture_output=True,
                                   text=True, env=self.environment, cwd=self.root, timeout=200)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"monolens doctor does not run: {error}")
            return None
        try:
            choice = json.loads(found.stdout)["choice"]
        except (ValueError, KeyError):
            print(f"monolens doctor failed: {(found.stderr or found.stdout).strip()[:500]}")
            return None
        (self.out / "doctor.json").write_text(found.stdout)
        if choice.get("backend") != self.backend:
            print(f"no GPU: {choice.get('error', 'doctor chose ' + str(choice.get('backend')))}")
            return None
        self.load_done(choice["name"])
        return choice

    def load_done(self, device):
        """What an earlier run did with the same binaries on the same device."""
        self.identity = {"commit": self.commit, "device": device, "rehearsal": self.rehearse}
        try:
            kept = json.loads((self.out / "done.json").read_text())
        except (OSError, ValueError):
            return
        if kept.get("identity") == self.identity:
            self.done = kept["steps"]

    def step(self, work):
        """Runs a step unless it was done before."""
        name = work.__doc__.split("\n")[0].rstrip(".")
        known = self.done.get(name, {}).get("result")
        if self.only not in name or (known in ("ok", "SKIPPED") and not self.again):
            return
        start, result, detail, tables = time.monotonic(), "ok", "", {}
        if self.end - start < 5:
            result, detail = "OPEN", "no time left"
        else:
            try:
                found = work(self)
                tables, detail = found if isinstance(found, tuple) else (found or {}, "")
            except Skipped as reason:
                result, detail = "SKIPPED", str(reason)
            except OutOfTime as reason:
                result, detail = "OPEN", str(reason)
            except Failed as reason:
                result, detail = "FAILED", str(reason)
            except Exception as error:  # A fault of this script must not take the other steps with it.
                result, detail = "FAILED", f"{type(error).__name__}: {error}"
        seconds = round(time.monotonic() - start, 1)
        self.done[name] = {"result": result, "detail": detail, "seconds": seconds, "tables": tables}
        kept = {"identity": self.identity, "steps": self.done}
        (self.out / "done.json").write_text(json.dumps(kept, indent=1))
        print(f"{result:<8} {name:<58} {seconds:6.1f} s  {detail}", flush=True)

    def run(self, name, command, limit, may_fail=False, **environment):
        """Runs a command; its output goes to a log and is returned."""
        left = self.left()
        log = self.out / (re.sub(r"[^a-z0-9]+", "-", name.lower()) + ".log")
        try:
            done = subprocess.run(
                [str(c) for c in command], cwd=self.root, env={**self.environment, **environment},
                timeout=max(1, min(limit, left)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace",
            )
        except subprocess.TimeoutExpired as error:
            raw = error.stdout or b""
            log.write_text(raw.decode(errors="replace") if isinstance(raw, bytes) else raw)
            if left < limit:
                raise OutOfTime(f"stopped after {left:.0f} s, see {log.name}") from None
            raise Failed(f"not done within {limit} s, see {log.name}") from None
        except OSError as error:
            raise Failed(f"{command[0]}: {error}") from None
        log.write_text(done.stdout)
        if done.returncode != 0 and not may_fail:
            last = next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "")
            raise Failed(f"exit {done.returncode}, see {log.name}: {last[:160]}")
        return done.stdout

    def document(self, name, command, limit):
        """The JSON object that a `monolens` command writes, whatever its exit status, and its seconds."""
        start = time.monotonic()
        text = self.run(name, [self.binary("monolens"), *command], limit, may_fail=True)
        seconds = time.monotonic() - start
        for line in re.finditer(r"^\{", text, re.MULTILINE):
            try:
                return json.JSONDecoder().raw_decode(text[line.start():])[0], seconds
            except ValueError:
                continue
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")
        raise Failed(f"{name}: no JSON in its output: {last[:200]}")

    def left(self):
        """Seconds that are left of this run."""
        return self.end - time.monotonic()

    def table(self, beginning):
        """The rows of a table that an earlier step left."""
        tables = (item for found in self.done.values() for item in found["tables"].items())
        return next((rows for name, rows in tables if name.startswith(beginning)), [])

    def rows(self, name, command, limit, **environment):
        """The rows of a table that a `monolens` command writes as JSON."""
        command = [self.binary("monolens"), *command, "--backend", self.backend, "--format", "json"]
        text = self.run(name, command, limit, **environment)
        for at in (i for i, c in enumerate(text) if c == "["):
            try:
                found = json.JSONDecoder().raw_decode(text[at:])[0]
            except ValueError:
                continue
            if found and all(isinstance(row, dict) for row in found):
                return found
        raise Failed(f"{name}: no table in its output")


# What Python packages have of CUDA: the variable that names its folder, folders below `nvidia`, how the file begins.
LIBRARIES = [
    ("MONOLENS_NVRTC", ("cu13/lib", "cuda_nvrtc/lib"), "libnvrtc.so"),
    ("MONOLENS_CUBLASLT", ("cu13/lib", "cublas/lib"), "libcublasLt.so"),
]


def find_libraries():
    """Names the folders of Python packages with CUDA's libraries, for machines where they are nowhere else."""
    found = {}
    for variable, folders, name in LIBRARIES:
        places = [Path(place) / "nvidia" / folder for place in sys.path for folder in folders]
        here = next((place for place in places if any(place.glob(f"{name}*"))), None)
        if here and variable not in os.environ:
            found[variable] = str(here)
    return found
