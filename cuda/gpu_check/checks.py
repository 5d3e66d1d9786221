"""Whether it is right."""

import json
import shutil

from gpu_check.session import Failed, Skipped

# Places of a forced text where the likeliest token must be that of CUDA (design: bf16).
LEAST_AGREEMENT = 99.0


def self_test(s):
    """The self-test by which CUDA is taken unasked."""
    found, seconds = s.document("self-test", ["doctor", "--self-test", "--json", "--backend", s.backend], 170)
    told = found["self_test"]
    rows = [{"check": check["name"], "result": check["fault"] or "ok", "detail": check["detail"],
             "seconds": round(check["seconds"], 2)} for check in told["checks"]]
    if told["fault"]:
        raise Failed(f"{told['device']}: {told['fault'][:300]}")
    detail = f"{seconds:.1f} s with kernels that are compiled already"
    # What was kept of the first time, which `find_device` came to.
    first = json.loads((s.out / "doctor.json").read_text()).get("self_test")
    if first:
        detail += f", {first['seconds']:.1f} s the first time"
    # Nobody asks for CUDA here: it must be taken all the same, and at once.
    chosen, seconds = s.document("auto", ["doctor", "--json"], 60)
    chosen = chosen["choice"]
    if not s.rehearse and chosen.get("backend") != "cuda":
        raise Failed(f"auto takes {chosen.get('backend')}: {chosen.get('reason', chosen.get('error'))}")
    detail += f"; auto takes {chosen.get('backend')}, {seconds:.1f} s"
    return {"The self-test": rows}, detail


def parity(s):
    """Operator parity on CUDA."""
    tests = ["the_cpu"] if s.rehearse else ["a_gpu", "a_fast_gpu"]
    s.run("operator parity on CUDA", [s.binary("cuda_parity"), *tests, "--nocapture", "--test-threads", "1"], 150,
          **required(s), MONOLENS_CASES="2" if s.rehearse else "24")


def products(s):
    """Parity of cuBLASLt's products on CUDA."""
    test = "products_on_the_cpu" if s.rehearse else "products_of_cublaslt"
    text = s.run("parity of products", [s.binary("cuda_parity"), test, "--nocapture"], 60,
                 MONOLENS_CASES="2" if s.rehearse else "8")
    if "SKIPPED" in text:
        raise Skipped(next(line for line in text.splitlines() if "SKIPPED" in line).split("SKIPPED: ")[-1][:200])


def required(s):
    return {} if s.rehearse else {"MONOLENS_REQUIRE_CUDA": "1"}


def goldens(s):
    """Goldens on CUDA, exact."""
    s.run("goldens on CUDA", [s.binary("monolens"), "verify", "tests/golden", "--backend", s.backend, "--exact", "--brief"],
          90)


def wgpu_goldens(s):
    """Goldens on wgpu."""
    try:
        s.run("goldens on wgpu", [s.binary("monolens"), "verify", "tests/golden", "--backend", "wgpu", "--brief"], 60)
    except Failed as reason:
        if "not available" in str(reason):
            raise Skipped("no Vulkan device answered") from None
        raise


def wgpu_parity(s):
    """Operator parity on wgpu, the same GPU."""
    text = s.run("operator parity on wgpu",
                 [s.binary("operator_parity"), "wgpu_baseline", "wgpu_subgroups", "--nocapture"], 90,
                 MONOLENS_CASES="2" if s.rehearse else "16")
    if "SKIPPED" in text and "NMSE" not in text and "worst share" not in text:
        raise Skipped("no Vulkan device answered")


def leaks(s):
    """A thousand loads and drops leave no memory behind."""
    test = "leaks_no_memory" if s.rehearse else "leave_a_gpu"
    s.run("a thousand loads", [s.binary("cuda_parity"), test, "--nocapture"], 90, **required(s))


def agreement(s):
    """A full-size random model: likeliest tokens of a forced text, against the other backends."""
    model = "tiny" if s.rehearse else "mono-2b"
    tables, low, missing = [], [], []
    for other in ["cpu"] if s.rehearse else ["cpu", "wgpu"]:
        command = ["bench", "quality", "--random", model, "--tokens", "128", "--against", other]
        try:
            rows = s.rows(f"agreement with {other}", command, 100)
        except Failed as reason:
            if other == "wgpu" and "not available" in str(reason):
                missing.append("no Vulkan device")
                continue
            raise
        tables += rows
        low += [f"{other}: {100 * row[AGREEMENT]:.1f} %" for row in rows if 100 * row[AGREEMENT] < LEAST_AGREEMENT]
    # Tokens of a tiny random model are nearly tied: reading in one go, with rows rounded to bf16, and decoding without differ
    # on one CPU already (96.9 %). So a rehearsal shows the number and judges nothing.
    if low and not s.rehearse:
        raise Failed(f"under {LEAST_AGREEMENT} % of 128 tokens: {', '.join(low)}")
    return {"Likeliest token of a forced text of 128, CUDA against other backends": tables}, "; ".join(missing)


AGREEMENT = "top-1 agreement, forced"


def small_weights(s):
    """What weights in 8 and 4 bits cost, on CUDA."""
    images = [] if s.rehearse else ["-i", "examples/example.png", "-i", "examples/rocket.png"]
    command = ["bench", "quality", "--tokens", "32", "--weights", "8bit,4bit", *images]
    return {"Weights in 8 and 4 bits, the bundled checkpoint": s.rows("small weights", command, 60)}


def sanitizer(s, tool, cases, limit):
    """Runs every kernel under a tool of compute-sanitizer."""
    tests = s.binary("cuda_parity")
    if s.rehearse:
        raise Skipped("a rehearsal")
    found = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
    if found is None:
        raise Skipped("compute-sanitizer is not there")
    s.run(f"every kernel under {tool}",
          [found, "--tool", tool, "--error-exitcode", "9", tests, "a_gpu_equals", "a_fast_gpu", "--nocapture",
           "--test-threads", "1"], limit, **required(s), MONOLENS_CASES=cases)


def memory_checker(s):
    """Every kernel under memcheck."""
    sanitizer(s, "memcheck", "6", 100)


def race_checker(s):
    """Every kernel under racecheck."""
    sanitizer(s, "racecheck", "3", 80)


def barrier_checker(s):
    """Every kernel under synccheck."""
    sanitizer(s, "synccheck", "3", 60)
