"""CLIP: an image tower that puts pictures where their captions are.

    u_i = image tower(x_i), unit;   w_i = text tower(caption_i), unit;   s = exp(learned scale)
    names      cross-entropy of s u_i . n_j over all names j of the data set
    captions   the same over the captions of the batch, both ways, targets softened by w_i . w_j
    pull       1 - u_i . w_i
    loss = names + captions / 2 + pull / 5

With the text tower locked (LiT), n_j is its embedding of name j, and the targets over names are
softened by n_j . n_k. With both towers from scratch, for a judge that owes nothing to the bundled
model, the n_j are free parameters, and the text tower learns to name them from captions as well.

Sources: Radford et al. 2021 (CLIP), arXiv:2103.00020; Zhai et al. 2022 (LiT), arXiv:2111.07991.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel

from sovgen.train import augment
from sovgen.train.captions import compose, with_article
from sovgen.train.chance import Chance, chance
from sovgen.train.dataset import Dataset
from sovgen.train.grounds import Ground, draw_ground, laid_on
from sovgen.train.parts import part_of, samples_seen
from sovgen.train.precision import cheap_passes
from sovgen.train.sheets import images_of, sheet
from sovgen.train.texts import TextTower, load_texts, write_texts
from sovgen.train.towers import (
    FOLDER,
    Towers,
    load_visual,
    new_visual,
    normalised,
    read_config,
    write_visual,
)

NAME_FORMS = ("{name}", "{a_name}", "an illustration of {a_name}")
SHOWN = 8


@dataclass(frozen=True)
class ClipPlan:
    """The [clip] of a recipe.

    white: share of white grounds
    own: how much of the target over names is the picture's own name; the rest is softened
    captions: how many captions of each picture are embedded beforehand (text tower locked)
    trunk, side: timm's name of the image tower and its input, when trained from scratch
    """

    white: float = 0.35
    own: float = 0.75
    captions: int = 5
    trunk: str = "resnet10t"
    side: int = 64


@dataclass(frozen=True)
class Labelled:
    """Pictures (n, 3, s, s), normalised; their captions or these embedded (n, dim); names (n,)."""

    pictures: Tensor
    captions: list[str]
    embedded: Tensor | None
    names: Tensor


class Clip:
    """The objective of the image tower, or, with `scratch`, of both; see the head of the file."""

    name = "clip"

    def __init__(
        self,
        data: Dataset,
        model: Path,
        plan: ClipPlan,
        *,
        scratch: bool = False,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.data, self.model, self.plan, self.scratch = data, model, plan, scratch
        self.device, self.config = device, read_config(model)
        self.classes = sorted({p.caption for p in data.pictures})
        number = {c: i for i, c in enumerate(self.classes)}
        self._labels = torch.tensor([number[p.caption] for p in data.pictures])
        self._mirror = torch.tensor([p.mirror for p in data.pictures])
        self._trained = data.rows(held_out=False)
        torch.manual_seed(seed)
        self.learner = self._new_towers() if scratch else Towers(*load_visual(model))
        self.learner.to(device).visual.to(memory_format=torch.channels_last)
        self.texts = load_texts(model, device)
        self.samples_before = 0 if scratch else samples_seen(model, FOLDER)
        self._pixels = _shrunk(data, self.side)
        if not scratch:
            self._lock_text()

    @property
    def side(self) -> int:
        """The image tower's input, in pixels."""
        return int(self.config["model_cfg"]["vision_cfg"]["image_size"])

    def batch(self, chance: Chance, size: int) -> Labelled:
        """Pictures drawn differently on grounds, with a caption each."""
        rng = chance.numpy
        rows = rng.choice(self._trained, size)
        x = torch.from_numpy(self._pixels[rows]).permute(0, 3, 1, 2).float() / 255
        x = augment.moved(x, self._mirror[rows], chance.torch)
        x = augment.outlined(x, 0.3, chance.torch)
        x = augment.faded(x, 0.35, chance.torch)
        x = augment.recoloured(x, 0.2, chance.torch)
        if self.scratch:
            grounds = [draw_ground(rng, self.plan.white) for _ in rows]
            captions = [self._caption(r, g, rng) for r, g in zip(rows, grounds, strict=True)]
            embedded = None
        else:
            which = rng.integers(0, self.plan.captions, size)
            grounds = [self._grounds[r][k] for r, k in zip(rows, which, strict=True)]
            captions, embedded = [], self._bank[rows, which].float()
        x = augment.on_ground(x, torch.tensor([g.rgb for g in grounds]), chance.torch)
        return Labelled(normalised(x), captions, embedded, self._labels[rows])

    def loss(self, learner: nn.Module, batch: Labelled) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum at the head of the file, shape (); the share of names told right."""
        ids = self.texts.tokens(batch.captions).to(self.device) if self.scratch else None
        pictures = batch.pictures.to(self.device, memory_format=torch.channels_last)
        u, scale, *more = learner(pictures, ids)
        w, rows = more or (_there(batch.embedded).to(self.device), self._locked)
        y = batch.names.to(self.device)
        logits = scale * u @ rows.T
        names = -(self._target(y) * F.log_softmax(logits, dim=1)).sum(1).mean()
        if self.scratch:
            names = names + F.cross_entropy(scale * w @ rows.T, y)
        loss = names + 0.5 * _contrast(u, w, scale) + 0.2 * (1 - (u * w).sum(1)).mean()
        right = (logits.argmax(1) == y).float().mean()
        return loss, {"top1": float(right), "names": float(names.detach())}

    def validate(self) -> dict[str, float]:
        """Zero-shot top-1 and top-5 of held-out pictures on white among all names."""
        rows = self.data.rows(held_out=True)
        u = self.embed_images(laid_on(self.data.pixels[rows], _white(len(rows))))
        n = self.embed_texts([with_article(c) for c in self.classes])
        place = (u @ n.T).argsort(dim=1, descending=True)[:, :5] == self._labels[rows][:, None]
        return {
            "top1": float(place[:, :1].any(1).float().mean()),
            "top5": float(place.any(1).float().mean()),
        }

    def sheet(self) -> Image:
        """Eight held-out names, a row each: the pictures that come first when it is asked for."""
        rows = self.data.rows(held_out=True)
        x = laid_on(self.data.pixels[rows], _white(len(rows)))
        asked = sorted({self.data.pictures[r].caption for r in rows})[:: max(1, len(rows) // SHOWN)]
        n = self.embed_texts([with_article(c) for c in asked[:SHOWN]])
        first = (n @ self.embed_images(x).T).argsort(dim=1, descending=True)[:, :8]
        return sheet(images_of(x[first.flatten()]))

    def write(self, folder: Path, samples: int) -> None:
        """FOLDER/image_encoder, fp16, in open_clip's names; from scratch, the text tower, too."""
        texts = self._texts_now()
        if self.scratch:
            write_texts(folder, texts, samples)
        write_visual(folder, self.learner, texts.projection, self.config, samples)

    @torch.no_grad()
    def embed_images(self, x: Tensor) -> Tensor:
        """Unit rows (n, dim) of pictures (n, 3, h, w), 0 .. 1."""
        small = F.interpolate(x, (self.side, self.side), mode="area")
        rows = [
            F.normalize(self.learner.visual(normalised(part).to(self.device)).float(), dim=-1).cpu()
            for part in small.split(256)
        ]
        return torch.cat(rows)

    def embed_texts(self, prompts: list[str]) -> Tensor:
        """Unit rows (n, dim) of prompts."""
        return self._texts_now().embeddings(prompts).cpu()

    def _new_towers(self) -> Towers:
        """Both towers, newly drawn; the text tower is shaped as the model's own."""
        dim = int(self.config["model_cfg"]["embed_dim"])
        self.config["model_cfg"]["vision_cfg"] |= {
            "timm_model_name": self.plan.trunk,
            "image_size": self.plan.side,
        }
        shape = CLIPTextConfig.from_pretrained(part_of(self.model, "text_encoder"))
        visual = new_visual(self.plan.trunk, self.plan.side, dim)
        towers = Towers(visual, torch.tensor(math.log(25.0)))
        towers.add_text(CLIPTextModel(shape), shape.hidden_size, len(self.classes), dim)
        return towers

    def _lock_text(self) -> None:
        """Embeds every name, and some captions of every picture, once."""
        forms = [
            self.texts.embeddings([f.format(name=c, a_name=with_article(c)) for c in self.classes])
            for f in NAME_FORMS
        ]
        self._locked = F.normalize(torch.stack(forms).sum(0), dim=-1)
        self._soft = F.softmax(self._locked @ self._locked.T / 0.03, dim=1)
        self._grounds, said = [], []
        for i in range(len(self.data.pictures)):
            rng = chance(0, i).numpy
            mine = [draw_ground(rng, self.plan.white) for _ in range(self.plan.captions)]
            self._grounds.append(mine)
            said += [self._caption(i, g, rng) for g in mine]
        with cheap_passes(self.device):
            bank = self.texts.embeddings(said)
        self._bank = bank.view(len(self.data.pictures), self.plan.captions, -1).half().cpu()

    def _texts_now(self) -> TextTower:
        """The text tower as it stands: locked, or, from scratch, the one that is learned."""
        if self.learner.text is None:
            return self.texts
        projection = self.learner.text_projection.detach()
        return TextTower(self.texts.tokenizer, self.learner.text, projection)

    def _target(self, y: Tensor) -> Tensor:
        own = F.one_hot(y, len(self.classes)).float()
        return own if self.scratch else self.plan.own * own + (1 - self.plan.own) * self._soft[y]

    def _caption(self, row: int, ground: Ground, rng: np.random.Generator) -> str:
        p = self.data.pictures[row]
        return compose(p.caption, p.keywords, p.styles, ground.name, rng)


def _there(embedded: Tensor | None) -> Tensor:
    assert embedded is not None  # noqa: S101 - a locked text tower's captions were embedded
    return embedded


def _contrast(u: Tensor, w: Tensor, scale: Tensor) -> Tensor:
    """Both ways over the batch; captions that mean the same share the target."""
    logits = scale * u @ w.T
    same = F.softmax((w @ w.T).detach() / 0.05, dim=1)
    target = 0.6 * torch.eye(len(u), device=u.device) + 0.4 * same
    rows = (target * F.log_softmax(logits, dim=1)).sum(1).mean()
    columns = (target * F.log_softmax(logits.T, dim=1)).sum(1).mean()
    return -0.5 * (rows + columns)


def _white(n: int) -> list[Ground]:
    return [Ground("white", (1.0, 1.0, 1.0))] * n


def _shrunk(data: Dataset, side: int) -> NDArray[np.uint8]:
    """All pictures at side x side by area, premultiplied: (n, side, side, 4) uint8."""
    out = np.empty((len(data.pictures), side, side, 4), np.uint8)
    for i in range(0, len(out), 512):
        x = torch.from_numpy(np.array(data.pixels[i : i + 512])).permute(0, 3, 1, 2).float()
        x = torch.cat([x[:, :3] * x[:, 3:] / 255, x[:, 3:]], dim=1)
        x = F.interpolate(x, (side, side), mode="area")
        out[i : i + 512] = x.round().byte().permute(0, 2, 3, 1).numpy()
    return out
