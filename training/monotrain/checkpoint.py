"""Model folders in the official Hugging Face layout: reading a config, writing and loading a checkpoint."""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .model import ModelConfig, MonoInternVL

TOKENIZER_FILES = ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def config_json(cfg: ModelConfig) -> dict:
    """The `config.json` of a checkpoint trained on one tile an image."""
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "template": "internlm2-chat",
        "force_image_size": cfg.tile,
        "downsample_ratio": 0.5,
        "ps_version": "v2",
        "select_layer": -1,
        "dynamic_image_size": False,
        "use_thumbnail": False,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": 1,
        "pad2square": False,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "llm_config": {
            "architectures": ["InternLM2VEForCausalLM"],
            "model_type": "internlm2",
            "attn_implementation": "eager",
            "bias": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": cfg.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": cfg.intermediate_size,
            "max_position_embeddings": cfg.max_positions,
            "num_attention_heads": cfg.heads,
            "num_hidden_layers": cfg.layers,
            "num_key_value_heads": cfg.kv_heads,
            "rms_norm_eps": cfg.rms_norm_eps,
            "rope_scaling": cfg.rope_scaling,
            "rope_theta": cfg.rope_theta,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "vocab_size": cfg.vocab_size,
            "visual_attention_experts": cfg.visual_attention,
        },
        "vision_config": {
            "architectures": ["InternVisionPatchModel"],
            "model_type": "intern_vit_patch",
            "hidden_size": cfg.vision_size,
            "image_size": cfg.vision_image_size,
            "patch_size": cfg.patch,
            "num_channels": 3,
            "torch_dtype": "bfloat16",
            "use_flash_attn": False,
        },
    }


def read_config(folder: Path, image_token: int | None = None) -> ModelConfig:
    """The model sizes of any Mono-InternVL folder (1.0 or 1.5)."""
    raw = json.loads((folder / "config.json").read_text())
    llm, vis = raw["llm_config"], raw["vision_config"]
    if image_token is None:
        image_token = json.loads((folder / "added_tokens.json").read_text())["<IMG_CONTEXT>"]
    return ModelConfig(
        vocab_size=llm["vocab_size"],
        hidden_size=llm["hidden_size"],
        layers=llm["num_hidden_layers"],
        heads=llm["num_attention_heads"],
        kv_heads=llm.get("num_key_value_heads", llm["num_attention_heads"]),
        intermediate_size=llm["intermediate_size"],
        rms_norm_eps=llm["rms_norm_eps"],
        rope_theta=llm["rope_theta"],
        rope_scaling=llm.get("rope_scaling"),
        max_positions=llm["max_position_embeddings"],
        tile=raw["force_image_size"] or vis["image_size"],
        patch=vis["patch_size"],
        vision_size=vis["hidden_size"],
        vision_image_size=vis["image_size"],
        visual_attention=llm.get("visual_attention_experts", "none"),
        image_token=image_token,
    )


def load(folder: Path) -> MonoInternVL:
    """A model in f32 from a folder; 1.5 is recognised by its tensors."""
    tensors = load_file(folder / "model.safetensors")
    cfg = read_config(folder)
    names = {n.rsplit(".", 2)[-2] for n in tensors if ".attention." in n}
    cfg.visual_attention = "qkvo" if "wo_ve" in names else "qkv" if "wqkv_ve" in names else "none"
    model = MonoInternVL(cfg)
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    return model.eval()


def copy_tokenizer(source: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, out / name)


def write(model: MonoInternVL, tokenizer_dir: Path, out: Path) -> None:
    """Writes a BF16 checkpoint folder; the weights file is replaced in one step."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config_json(model.cfg), indent=1) + "\n")
    (out / "generation_config.json").write_text('{\n "_from_model_config": true\n}\n')
    copy_tokenizer(tokenizer_dir, out)
    tensors = {k: v.detach().to("cpu", torch.bfloat16).contiguous() for k, v in model.state_dict().items()}
    tmp = out / ".model.tmp"
    save_file(tensors, tmp, metadata={"format": "pt"})
    os.chmod(tmp, 0o644)
    os.replace(tmp, out / "model.safetensors")
