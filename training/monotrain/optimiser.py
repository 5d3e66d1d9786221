"""AdamW on f32 masters of bf16 weights, with the warm-up, stable, decay schedule."""

import torch
from torch import nn


def trainable(name: str, what: str) -> bool:
    """Which tensors a stage trains: `language`, `visual` (delta tuning), `visual and attention`, or `all`."""
    visual = "_ve." in name or name.startswith(("vision_model.", "mlp1."))
    if what == "visual and attention":
        return visual or ".attention." in name
    return what == "all" or visual == (what == "visual")


class Masters:
    """f32 copies of the trainable parameters of a model, stepped by AdamW and copied back."""

    def __init__(self, model: nn.Module, what: str, weight_decay: float, vision_scale: float = 1.0):
        self.names, self.params = [], []
        for name, p in model.named_parameters():
            p.requires_grad_(trainable(name, what))
            if p.requires_grad:
                self.names.append(name)
                self.params.append(p)
        self.masters = [p.detach().float().clone() for p in self.params]
        groups: dict[tuple[float, float], list] = {}
        for name, m in zip(self.names, self.masters, strict=True):
            decay = weight_decay if m.dim() > 1 and "embedding" not in name else 0.0
            groups.setdefault((decay, self.scale(name, vision_scale)), []).append(m)
        self.opt = torch.optim.AdamW(
            [{"params": g, "weight_decay": d, "scale": s} for (d, s), g in groups.items()],
            lr=1e-3, betas=(0.9, 0.98), eps=1e-8, fused=True,
        )  # fmt: skip

    @staticmethod
    def scale(name: str, vision_scale: float) -> float:
        """The patch embedding and its MLP learn slower: at the full rate their outputs grow without bound."""
        return vision_scale if name.startswith(("vision_model.", "mlp1.")) else 1.0

    def step(self, lr: float, clip: float) -> float:
        """One update from the gradients in the model; returns their norm."""
        for m, p in zip(self.masters, self.params, strict=True):
            m.grad = p.grad.float() if p.grad is not None else torch.zeros_like(m)
            p.grad = None
        norm = float(nn.utils.clip_grad_norm_(self.masters, clip))
        for group in self.opt.param_groups:
            group["lr"] = lr * group["scale"]
        self.opt.step()
        with torch.no_grad():
            torch._foreach_copy_(self.params, self.masters)
        return norm

    def state(self) -> dict:
        return {"masters": dict(zip(self.names, self.masters, strict=True)), "opt": self.opt.state_dict()}

    def load(self, state: dict) -> None:
        with torch.no_grad():
            for name, m in zip(self.names, self.masters, strict=True):
                m.copy_(state["masters"][name])
            torch._foreach_copy_(self.params, self.masters)
        self.opt.load_state_dict(state["opt"])


def learning_rate(step: int, spec: dict) -> float:
    """Linear warm-up, constant, then a linear decay over the last `decay` steps, to a twentieth or to `floor`."""
    lr, warm, steps, decay = spec["lr"], spec.get("warmup", 100), spec["steps"], spec.get("decay", 0)
    lr *= min(1.0, (step + 1) / warm)
    if decay and step > steps - decay:
        lr *= max(spec.get("floor", 0.05), (steps - step) / decay)
    return lr
