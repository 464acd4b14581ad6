"""Latents: every picture through the frozen encoder once, on several grounds, kept on disk.

    DATA/latents-<encoder>/latents.f16   (n, grounds, channels, s, s) float16, unscaled
    DATA/latents-<encoder>/latents.json  shape, the grounds' names, the standard deviation

The first ground of each picture is white. `<encoder>` is a digest of the encoder's weights, so that
another autoencoder never meets these latents.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from index.counting import counted
from sovgen.errors import BadDataset
from sovgen.train.dataset import Dataset
from sovgen.train.grounds import draw_ground, laid_on
from sovgen.train.parts import Vae
from sovgen.train.precision import cheap_passes
from sovgen.train.room import room_told

CHUNK = 64


@dataclass(frozen=True)
class Latents:
    """`values` (n, grounds, channels, s, s) float16; `grounds` names each of (n, grounds)."""

    values: NDArray[np.float16]
    grounds: list[list[str]]
    std: float


def cached_latents(
    data: Dataset,
    vae: Vae,
    grounds: int,
    device: str,
    on_notice: Callable[[str], None],
) -> Latents:
    """The latents of that data set by that encoder, made when they are not there yet."""
    folder = data.folder / f"latents-{_digest(vae, grounds)}"
    if found := _read(folder):
        return found
    shutil.rmtree(folder, ignore_errors=True)  # torn
    pictures = counted(len(data.pictures), "picture")
    on_notice(f"Encoding {pictures} on {counted(grounds, 'ground')}, once.")
    # Of this process alone: several of one training may come here at once.
    partial = folder.with_name(f".{folder.name}-{os.getpid()}.partial")
    try:
        with room_told(f"No room for the latents in {data.folder}.", "Make room for them."):
            partial.mkdir(parents=True)
            _encode_all(data, vae, grounds, device, partial)
        with suppress(OSError):  # another was faster
            partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    made = _read(folder)
    if made is None:
        raise BadDataset(f"The latents in {folder} cannot be read.", "Delete that folder.")
    return made


def _read(folder: Path) -> Latents | None:
    """What an earlier run has kept; None where it is not there whole."""
    try:
        said = json.loads((folder / "latents.json").read_text())
        values = np.memmap(folder / "latents.f16", np.float16, "r", shape=tuple(said["shape"]))
        return Latents(values, said["grounds"], said["std"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def encode(vae: Vae, pictures: Tensor) -> Tensor:
    """Pictures (n, 3, h, w), -1 .. 1, as unscaled latents (n, channels, h/f, w/f): their means."""
    out = vae.encode(pictures)
    z: Tensor = out.latents if hasattr(out, "latents") else out.latent_dist.mean
    return z


@torch.no_grad()
def _encode_all(data: Dataset, vae: Vae, grounds: int, device: str, folder: Path) -> None:
    names: list[list[str]] = []
    shape: tuple[int, ...] = ()
    total = square = 0.0
    with (folder / "latents.f16").open("wb") as out:
        for start in range(0, len(data.pictures), CHUNK):
            z, said = _encode_some(data, vae, grounds, device, start)
            out.write(z.half().numpy().tobytes())
            names += said
            shape = tuple(z.shape[1:])
            total, square = total + float(z.sum()), square + float(z.double().square().sum())
    count = len(names) * int(np.prod(shape))
    std = (square / count - (total / count) ** 2) ** 0.5
    said_all = {"shape": [len(names), *shape], "grounds": names, "std": std}
    (folder / "latents.json").write_text(json.dumps(said_all))


def _encode_some(
    data: Dataset,
    vae: Vae,
    grounds: int,
    device: str,
    start: int,
) -> tuple[Tensor, list[list[str]]]:
    """One chunk: (m, grounds, channels, s, s) on the CPU, and the grounds' names."""
    rows = range(start, min(start + CHUNK, len(data.pictures)))
    columns, names = [], [[] for _ in rows]  # type: ignore[var-annotated]
    for k in range(grounds):
        rng = np.random.default_rng((k, start))
        chosen = [draw_ground(rng, white=1.0 if k == 0 else 0.0) for _ in rows]
        x = laid_on(data.pixels[rows], chosen)
        flip = torch.from_numpy(rng.random(len(rows)) < 0.5)
        flip &= torch.tensor([data.pictures[r].mirror for r in rows])
        x = torch.where(flip[:, None, None, None], x.flip(-1), x) * 2 - 1
        with cheap_passes(device):
            z = encode(vae, x.to(device, memory_format=torch.channels_last))
        columns.append(z.float().cpu())
        for mine, ground in zip(names, chosen, strict=True):
            mine.append(ground.name)
    return torch.stack(columns, dim=1), names


def _digest(vae: Vae, grounds: int) -> str:
    sha = hashlib.sha256(str(grounds).encode())
    for name, w in sorted(vae.state_dict().items()):
        if name.startswith(("encoder", "quant_conv")):
            sha.update(name.encode() + w.detach().float().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:12]
