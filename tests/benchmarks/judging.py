"""What a judge that never saw the model says of its pictures.

The judge is a CLIP of its own; figures are taken in its features u, unit rows (n, d). Fréchet
distance: Heusel et al. 2017, arXiv:1706.08500.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sovgen.train.captions import with_article
from sovgen.train.chance import chance
from sovgen.train.dataset import Dataset
from sovgen.train.grounds import NAMES, PALETTE, Ground, laid_on, nearest_ground
from sovgen.train.texts import load_texts
from sovgen.train.towers import load_visual, normalised, read_config

STYLED = 400  # sets of fewer pictures are no style to ask for
SEEN_IN = 3  # an object counts when this many sets draw it
THUMB = 32
ALIKE = 0.08  # root mean square difference of thumbnails under which a picture is called a copy


@dataclass(frozen=True)
class Asked:
    """A prompt whose object no picture of that style's set shows."""

    prompt: str
    object: str
    set: str
    ground: str


class Eye:
    """The CLIP of a model folder, float32: unit rows of pictures (n, 3, h, w) and of texts."""

    def __init__(self, model: Path) -> None:
        self._visual, _ = load_visual(model)
        self._visual.eval()
        self._texts = load_texts(model)
        self._side = int(read_config(model)["model_cfg"]["vision_cfg"]["image_size"])

    @torch.inference_mode()
    def pictures(self, x: Tensor) -> Tensor:
        small = F.interpolate(x, (self._side, self._side), mode="area")
        rows = [self._visual(normalised(part)) for part in small.split(128)]
        return F.normalize(torch.cat(rows), dim=-1)

    @torch.inference_mode()
    def texts(self, prompts: list[str]) -> Tensor:
        return self._texts.embeddings(prompts)


def held_out_prompts(data: Dataset, n: int) -> list[Asked]:
    """n prompts, the same every time: object x style x ground, the first two never together.

    Styles take turns, so that each is asked for as often as there are objects that it lacks.
    """
    sets = sorted({p.set for p in data.pictures})
    drawn = {s: {p.caption for p in data.pictures if p.set == s} for s in sets}
    styles = {p.set: p.styles[0] for p in data.pictures if p.styles}
    styled = [s for s in sets if s in styles and len(drawn[s]) >= STYLED]
    objects = sorted(
        o for o in set().union(*drawn.values()) if sum(o in d for d in drawn.values()) >= SEEN_IN
    )
    rng = chance(500, 0).numpy
    missing = {s: [o for o in objects if o not in drawn[s]] for s in styled}
    queues = [[(o, s) for o in rng.permutation(missing[s]).tolist()] for s in styled]
    in_turn = [pair for turn in zip_longest(*queues) for pair in turn if pair]
    chosen = in_turn[:n]
    grounds = [NAMES[int(rng.integers(len(NAMES)))] for _ in chosen]
    return [
        Asked(f"{with_article(o)}, {styles[s]} on a {g} background", o, s, g)
        for (o, s), g in zip(chosen, grounds, strict=True)
    ]


def judged(eye: Eye, data: Dataset, asked: list[Asked], x: Tensor) -> list[tuple[str, str, str]]:
    """Rows of the table for pictures x (n, 3, h, w), 0 .. 1, one for each that was asked."""
    u = eye.pictures(x)
    own = (u @ eye.texts([a.prompt for a in asked]).T).argsort(dim=1, descending=True)[:, :5]
    found = (own == torch.arange(len(asked))[:, None]).any(1).float().mean()
    ground = np.mean([border(p) == a.ground for p, a in zip(x, asked, strict=True)])
    style, seen = styles_told(eye, data, asked, u)
    distance, between = frechet_ratio(eye, data, asked, u)
    copies, median = nearest(data, asked, x)
    return [
        (f"diffusion: own prompt in top 5 of {len(asked)}", f"{found:.1%}", ">= 60 %"),
        ("diffusion: asked ground", f"{ground:.1%}", ">= 90 %"),
        (f"diffusion: asked style ({seen:.1%} on held-out)", f"{style:.1%}", ">= 80 %"),
        (
            f"diffusion: Fréchet distance {distance:.4f}, between halves {between:.4f}",
            f"{distance / between:.2f} times",
            "<= 1.5",
        ),
        (
            f"diffusion: pictures within {ALIKE} of a training picture",
            f"{copies:.1%} (median distance {median:.2f})",
            "reported",
        ),
    ]


def border(picture: Tensor) -> str:
    """The ground's name: the palette's colour nearest to the median of the outermost pixels."""
    edge = torch.cat([picture[:, :2].flatten(1), picture[:, -2:].flatten(1)], dim=1)
    return nearest_ground(edge.median(dim=1).values.numpy())


def styles_told(eye: Eye, data: Dataset, asked: list[Asked], u: Tensor) -> tuple[float, float]:
    """Share of pictures whose asked set a linear probe on real ones tells; and of held-out ones."""
    sets = sorted({a.set for a in asked})
    rows = {h: [i for i in data.rows(held_out=h) if data.pictures[i].set in sets] for h in (0, 1)}
    features = {h: _seen(eye, data, rows[h]) for h in (0, 1)}
    y = {h: torch.tensor([sets.index(data.pictures[i].set) for i in rows[h]]) for h in (0, 1)}
    # unit rows of d numbers: brought to about deviation one, so that the probe can grow
    size = u.shape[1] ** 0.5
    features, u = {h: f * size for h, f in features.items()}, u * size
    probe = _probe(features[0], y[0], len(sets))
    wanted = torch.tensor([sets.index(a.set) for a in asked])
    told = ((u @ probe).argmax(1) == wanted).float().mean()
    seen = ((features[1] @ probe).argmax(1) == y[1]).float().mean()
    return float(told), float(seen)


def frechet(a: Tensor, b: Tensor) -> float:
    """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)) of rows (n, d)."""
    a, b = a.double(), b.double()
    gap = (a.mean(0) - b.mean(0)).square().sum()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    inner = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return float(gap + cov_a.trace() + cov_b.trace() - 2 * inner)


def frechet_ratio(eye: Eye, data: Dataset, asked: list[Asked], u: Tensor) -> tuple[float, float]:
    """Distance of made pictures to as many real ones, and of these to as many others.

    Real ones are of the asked styles, on the asked grounds.
    """
    rng = chance(9, 0).numpy
    pools: dict[str, list[int]] = {}
    for i in rng.permutation(len(data.pictures)):
        pools.setdefault(data.pictures[i].set, []).append(int(i))
    grounds = [_ground(a.ground) for a in asked]
    halves = []
    for _ in range(2):
        rows = [pools[a.set].pop() for a in asked]
        halves.append(eye.pictures(_laid(data, rows, grounds)))
    return frechet(u, halves[0]), frechet(halves[0], halves[1])


def nearest(data: Dataset, asked: list[Asked], x: Tensor) -> tuple[float, float]:
    """Share of copies, and median distance to the nearest training picture on the same ground.

    The distance is the root mean square over thumbnails, 0 .. 1.
    """
    small = F.interpolate(x, (THUMB, THUMB), mode="area").flatten(1)
    thumbs = _thumbs(data)
    best = torch.empty(len(x))
    for name in sorted({a.ground for a in asked}):
        mine = [i for i, a in enumerate(asked) if a.ground == name]
        ground = torch.tensor(_ground(name).rgb).view(3, 1, 1)
        real = (thumbs[:, :3] + ground * (1 - thumbs[:, 3:])).flatten(1)
        best[mine] = torch.cdist(small[mine], real).min(1).values / real.shape[1] ** 0.5
    return float((best < ALIKE).float().mean()), float(best.median())


def _thumbs(data: Dataset) -> Tensor:
    """Every picture small, premultiplied RGBA, (n, 4, THUMB, THUMB), 0 .. 1."""
    parts = []
    for start in range(0, len(data.pictures), 256):
        x = torch.from_numpy(np.array(data.pixels[start : start + 256])).permute(0, 3, 1, 2) / 255
        x = torch.cat([x[:, :3] * x[:, 3:], x[:, 3:]], dim=1)
        parts.append(F.interpolate(x, (THUMB, THUMB), mode="area"))
    return torch.cat(parts)


def _probe(features: Tensor, y: Tensor, classes: int) -> Tensor:
    """Weights (d, classes) of a multinomial logistic regression."""
    weights = torch.zeros(features.shape[1], classes, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(features @ weights, y) + 1e-5 * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return weights.detach()


def _seen(eye: Eye, data: Dataset, rows: list[int]) -> Tensor:
    """Unit rows of real pictures, each on a ground drawn for it."""
    rng = chance(7, len(rows)).numpy
    grounds = [_ground(NAMES[int(rng.integers(len(NAMES)))]) for _ in rows]
    parts = range(0, len(rows), 256)
    return torch.cat(
        [eye.pictures(_laid(data, rows[i : i + 256], grounds[i : i + 256])) for i in parts]
    )


def _laid(data: Dataset, rows: list[int], grounds: list[Ground]) -> Tensor:
    return laid_on(data.pixels[rows], grounds)


def _ground(name: str) -> Ground:
    r, g, b = (c / 255 for c in PALETTE[name])
    return Ground(name, (r, g, b))
