"""What PyTorch does on the same card in the same run."""

import time

from gpu_check.session import Skipped

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None


def median(work, repeat, device):
    """Seconds of a piece of work after two that do not count."""
    if device == "cpu":
        times = []
        for _ in range(repeat):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2]
    for _ in range(2):
        work()
    times = []
    for _ in range(repeat):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        work()
        b.record()
        b.synchronize()
        times.append(a.elapsed_time(b) / 1e3)
    return sorted(times)[len(times) // 2]


def once(work, device):
    """Seconds of a piece of work, done once."""
    wait = (lambda: None) if device == "cpu" else torch.cuda.synchronize
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def needed(device):
    if torch is None:
        raise Skipped("no PyTorch")
    if device == "cuda" and not torch.cuda.is_available():
        raise Skipped("PyTorch has no CUDA")


def ceilings():
    """Copy bandwidth and bf16 product rate."""
    needed("cuda")
    x = torch.empty(1 << 30, dtype=torch.uint8, device="cuda").random_()
    y = torch.empty_like(x)
    copy = 2 * x.numel() / median(lambda: y.copy_(x), 20, "cuda")
    del x, y
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product = 2 * 8192**3 / median(lambda: a @ b, 20, "cuda")
    torch.cuda.empty_cache()
    return {"copy, GB/s": round(copy / 1e9), "bf16 product, TFLOP/s": round(product / 1e12)}


def masks(n, share, device):
    """Which of n rows are visual, in runs and interleaved, as `monolens bench mmoe` has them."""
    visual, at = n * share // 100, torch.arange(n, device=device)
    first = (n - visual) // 2
    yield "runs", (at >= first) & (at < first + visual)
    if 0 < visual < n:
        yield "interleaved", (at + 1) * visual // n > at * visual // n


def mmoe(tokens, shares, sizes, device):
    """The routed FFN of one layer: both experts and a blend, and gather and scatter."""
    needed(device)
    width, inner = sizes
    make = lambda *shape: torch.randn(*shape, device=device, dtype=torch.bfloat16) * shape[-1] ** -0.5
    experts = [[make(inner, width), make(inner, width), make(width, inner)] for _ in range(2)]
    ffn = lambda x, w: F.linear(F.silu(F.linear(x, w[0])) * F.linear(x, w[1]), w[2])
    rows = []
    with torch.no_grad():
        for n in tokens:
            x = torch.randn(n, width, device=device, dtype=torch.bfloat16)
            for share in shares:
                for order, mask in masks(n, share, device):
                    visual = mask[:, None].to(x.dtype)

                    def both():
                        return ffn(x, experts[0]) * (1 - visual) + ffn(x, experts[1]) * visual

                    def gather():
                        y = torch.empty_like(x)
                        for kind, w in ((~mask, experts[0]), (mask, experts[1])):
                            at = kind.nonzero()[:, 0]
                            if len(at):
                                y[at] = ffn(x[at], w)
                        return y

                    rows.append({"tokens": n, "visual": f"{share} %", "order": order,
                                 "both, s": median(both, 5, device), "gathered, s": median(gather, 5, device)})
    if device == "cuda":
        torch.cuda.empty_cache()
    return rows
