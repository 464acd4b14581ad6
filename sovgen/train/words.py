"""Words: a text tower that learns from a sentence encoder what phrases mean.

    w_i = text tower(phrase_i), unit;   m_i = teacher(phrase_i), unit, of the same width
    loss = mean(1 - w_i . m_i) + 2 mean((w_i . w_j - m_i . m_j)^2)

So puppy lies near dog before any picture was seen. Half of every batch is from the data set's own
captions. Source: Reimers & Gurevych 2020 (teacher and student), arXiv:2004.09813.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ImageDraw
from PIL.Image import Image, new
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel

from index.counting import counted
from sovgen.train.chance import Chance
from sovgen.train.corpus import corpus
from sovgen.train.dataset import Dataset
from sovgen.train.parts import part_of, samples_seen
from sovgen.train.teacher import taught
from sovgen.train.texts import TextTower, load_texts, write_texts
from sovgen.train.towers import write_projection

OURS = 0.45
HELD_OUT = 600
RELATED = 256  # rows whose mutual similarities are compared
PAIRS = (("puppy", "dog"), ("automobile", "car"), ("kitten", "cat"), ("infant", "baby"),
         ("cup", "mug"), ("rose", "tulip"), ("car", "banana"), ("dog", "church"))  # fmt: skip


@dataclass(frozen=True)
class WordsPlan:
    """The [words] of a recipe.

    seed: of the corpus
    """

    seed: int = 0


class TextLearner(nn.Module):
    """A text tower and its projection: ids (n, tokens) to unit rows (n, dim)."""

    def __init__(self, encoder: nn.Module, projection: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Parameter(projection.clone())

    def forward(self, ids: Tensor) -> Tensor:
        """Unit rows (n, dim), float32."""
        pooled: Tensor = self.encoder(ids).pooler_output.float()
        return F.normalize(pooled @ self.projection, dim=-1)


class Words:
    """The objective of the text tower; see the head of the file."""

    name = "words"

    def __init__(
        self,
        data: Dataset,
        model: Path,
        plan: WordsPlan,
        *,
        teacher: Path,
        wordnet: Path,
        scratch: bool = False,
        device: str = "cpu",
        seed: int = 0,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.model, self.device = model, device
        ours, others = corpus(data, wordnet, plan.seed)
        self._phrases = ours + others
        self._taught = _cached(data.folder, teacher, self._phrases, device, on_notice)
        texts = load_texts(model, device)
        self._tokens = _cut(texts, self._phrases)
        self._ours = len(ours)
        self._lengths = self._tokens.argmax(dim=1).numpy() + 1
        torch.manual_seed(seed)
        self.tokenizer = texts.tokenizer
        self.learner = _new(model, self._taught.shape[1]) if scratch else _kept(texts)
        self.learner.to(device)
        self.samples_before = 0 if scratch else samples_seen(model, "text_encoder")
        held = np.random.default_rng(0).permutation(len(self._phrases))
        self._held, self._rows = held[:HELD_OUT], np.sort(held[HELD_OUT:])

    def batch(self, chance: Chance, size: int) -> tuple[Tensor, Tensor]:
        """Ids (size, longest) and what the teacher makes of them (size, dim)."""
        rng, border = chance.numpy, int(np.searchsorted(self._rows, self._ours))
        own = rng.choice(self._rows[:border], round(size * OURS))
        other = rng.choice(self._rows[border:], size - len(own))
        rows = np.concatenate([own, other])
        return self._tokens[rows, : self._lengths[rows].max()].long(), self._taught[rows].float()

    def loss(
        self, learner: nn.Module, batch: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, dict[str, float]]:
        """The sum at the head of the file, shape (); the mean cosine with the teacher."""
        ids, m = (t.to(self.device) for t in batch)
        w = learner(ids)
        cosine = (w * m).sum(1).mean()
        some_w, some_m = w[:RELATED], m[:RELATED]
        related = (some_w @ some_w.T - some_m @ some_m.T).square().mean()
        return 1 - cosine + 2 * related, {"cosine": float(cosine.detach())}

    def validate(self) -> dict[str, float]:
        """Mean cosine with the teacher on phrases held out, and correlation of similarities."""
        ids = self._tokens[self._held].long().to(self.device)
        w, m = self.learner(ids).detach().cpu(), self._taught[self._held].float()
        upper = torch.triu_indices(len(w), len(w), 1)
        both = torch.stack([(t @ t.T)[upper[0], upper[1]] for t in (w, m)])
        return {"cosine": float((w * m).sum(1).mean()), "correlation": float(both.corrcoef()[0, 1])}

    def sheet(self) -> Image:
        """A few pairs of words, near and far, with their similarity."""
        texts = self._texts()
        page = new("RGB", (320, 24 * len(PAIRS) + 8), "white")
        for i, (a, b) in enumerate(PAIRS):
            u, v = texts.embeddings([a, b])
            line = f"{float(u @ v):+.2f}  {a} / {b}"
            ImageDraw.Draw(page).text((8, 24 * i + 8), line, fill="black")
        return page

    def write(self, folder: Path, samples: int) -> None:
        """FOLDER/text_encoder and tokenizer, and image_encoder with the projection replaced."""
        texts = self._texts()
        write_texts(folder, texts, samples)
        write_projection(self.model, folder, texts.projection)

    def _texts(self) -> TextTower:
        return TextTower(self.tokenizer, self.learner.encoder, self.learner.projection.detach())


def _cached(
    data: Path, teacher: Path, phrases: Sequence[str], device: str, on_notice: Callable[[str], None]
) -> Tensor:
    """The teacher's rows, kept beside the data set under a digest of the phrases."""
    digest = hashlib.sha256(json.dumps(phrases).encode()).hexdigest()[:12]
    path = data / f"taught-{digest}.safetensors"
    if not path.exists():
        on_notice(f"Asking the teacher for {counted(len(phrases), 'phrase')}, once.")
        # Of this process alone: several of one training may come here at once.
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file({"rows": taught(teacher, phrases, device)}, partial)
        partial.replace(path)
    return load_file(path)["rows"]


def _cut(texts: TextTower, phrases: Sequence[str]) -> Tensor:
    """All token ids, (n, tokens) int32."""
    step = 4096
    parts = [texts.tokens(phrases[i : i + step]).int() for i in range(0, len(phrases), step)]
    return torch.cat(parts)


def _kept(texts: TextTower) -> TextLearner:
    return TextLearner(texts.encoder.requires_grad_(True), texts.projection)


def _new(model: Path, dim: int) -> TextLearner:
    shape = CLIPTextConfig.from_pretrained(part_of(model, "text_encoder"))
    encoder = CLIPTextModel(shape)
    return TextLearner(encoder, torch.randn(shape.hidden_size, dim) * shape.hidden_size**-0.5)
