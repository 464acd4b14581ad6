"""Texts: prompts become token states and embeddings, by a text tower that stays as it is.

    states      (n, tokens, width)   what the denoiser attends to
    embedding   (n, dim)             unit rows: the tower's output at end-of-text, projected

Prompts are padded to the tower's full length, as the pipeline does when it draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from sovgen.train.parts import part_of, read_part, write_part

CHUNK = 512


@dataclass(frozen=True)
class TextTower:
    """A CLIP text encoder with its tokenizer and its projection (width, dim)."""

    tokenizer: Any
    encoder: Any
    projection: Tensor

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """(n, tokens), padded and cut to the tower's length."""
        ids: Tensor = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        return ids

    @torch.no_grad()
    def states(self, prompts: Sequence[str]) -> Tensor:
        """(n, tokens, width), float32."""
        device = self.encoder.device
        states: Tensor = self.encoder(self.tokens(prompts).to(device)).last_hidden_state
        return states.float()

    @torch.no_grad()
    def embeddings(self, prompts: Sequence[str]) -> Tensor:
        """(n, dim), float32 unit rows."""
        rows = [self._embedded(prompts[i : i + CHUNK]) for i in range(0, len(prompts), CHUNK)]
        return torch.cat(rows)

    def _embedded(self, prompts: Sequence[str]) -> Tensor:
        pooled = self.encoder(self.tokens(prompts).to(self.encoder.device)).pooler_output.float()
        return F.normalize(pooled @ self.projection.to(pooled), dim=-1)


def load_texts(model: Path, device: str = "cpu") -> TextTower:
    """The text tower of a model folder, float32, for reading only. Raises BadCheckpoint."""
    encoder: Any = read_part(model, "text_encoder", CLIPTextModel, dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(part_of(model, "tokenizer"))
    projection = torch.eye(encoder.config.hidden_size)
    stored = model / "image_encoder" / "open_clip_vision.safetensors"
    if stored.exists():
        projection = load_file(stored)["text_projection"].float()
    return TextTower(tokenizer, encoder.to(device).eval().requires_grad_(False), projection)


def write_texts(model: Path, texts: TextTower, samples: int) -> None:
    """MODEL/text_encoder and MODEL/tokenizer, fp16; whole or not at all. Raises NoRoom.

    Keys carry the prefix `text_model.`, which transformers 4 and 5 both read; transformers 5 saves
    without it, and transformers 4 would then load random weights with only a warning.
    """
    state = texts.encoder.state_dict()
    halved = {
        f"text_model.{k.removeprefix('text_model.')}": w.detach().half().cpu().contiguous()
        for k, w in state.items()
        if w.is_floating_point()
    }

    def write(to: Path) -> None:
        texts.encoder.config.to_json_file(to / "config.json", use_diff=False)
        save_file(halved, to / "model.safetensors", metadata={"format": "pt"})

    write_part(model, "text_encoder", write, samples)
    write_part(model, "tokenizer", lambda to: texts.tokenizer.save_pretrained(to), samples)
