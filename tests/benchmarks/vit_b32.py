"""A CLIP of ViT-B/32's shape with random weights, as an open_clip folder, made once.

Speed and memory do not ask what weights say. Knows nothing of what is measured with it.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks import measure

FOLDER = (measure.FOLDER / "vit-b-32").resolve()
NAME = "ViT-B-32"


def vit_b32() -> Path:
    """The folder; weights are drawn with a fixed seed."""
    weights = FOLDER / "open_clip_model.safetensors"
    if not weights.exists():
        import open_clip
        import torch
        from safetensors.torch import save_model

        FOLDER.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        model, _, _ = open_clip.create_model_and_transforms(NAME)
        config = {
            "model_cfg": open_clip.get_model_config(NAME),
            "preprocess_cfg": open_clip.get_model_preprocess_cfg(model),
        }
        (FOLDER / "open_clip_config.json").write_text(json.dumps(config))
        save_model(model, str(weights))
    return FOLDER
