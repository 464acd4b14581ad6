"""The image tower, built by open_clip, or without it where that can be, and computed by torch.

Loads the one tower only, straight from mapped weights; knows nothing of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from index.encoder.checkpoint import Checkpoint
from index.encoder.naming import to_open_clip
from index.errors import EncoderDamaged
from index.processor import bfloat16_by

if TYPE_CHECKING:
    import torch
    from PIL import Image

_BATCH = 32
# Numbers in a tower from which on bfloat16 pays. For a ViT-B/32 it takes 28 ms a picture instead of
# 94 on one core, and no vector turns by more than a cosine of 0.9999; small ones stay exact.
_LARGE = 20_000_000
# open_clip builds both towers; the text tower that is not wanted is made as small as one can be.
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}


class ImageTower(Protocol):
    """What embeds pictures: any of open_clip's models."""

    visual: torch.nn.Module

    def encode_image(self, image: torch.Tensor, normalize: bool) -> torch.Tensor:
        """Embeddings `(n, width)` of preprocessed pictures."""

    def float(self) -> Self:
        """Itself, in float32."""

    def bfloat16(self) -> Self:
        """Itself, in bfloat16."""

    def eval(self) -> Self:
        """Itself, as in use rather than in training."""


def load_image_tower(checkpoint: Checkpoint) -> ImageTower:
    """A model whose image tower is the checkpoint's; its text tower is a stub.

    Raises:
        EncoderDamaged: the weights do not fit the configuration.
    """
    visual = {name: t for name, t in checkpoint.tensors.items() if name.startswith("visual.")}
    state = {name.removeprefix("visual."): t for name, t in to_open_clip(visual).items()}
    # Built without storage, the tower takes the mapped weights as they are, in a tenth of the time.
    model = _built(checkpoint, state, "meta")
    if any(part.is_meta for part in _parts(model)):  # something that no file holds
        model = _built(checkpoint, state, "cpu")
    exact = model.float().eval()
    return exact.bfloat16() if _pays_rounding(exact) else exact


def embed_images(
    model: ImageTower, checkpoint: Checkpoint, images: Sequence[Image.Image]
) -> NDArray[np.float32]:
    """Unit embeddings `(n, width)` of the pictures, some at a time."""
    import torch
    from torch.nn.functional import normalize

    dtype = next(model.visual.parameters()).dtype
    rows = np.empty((len(images), checkpoint.width), np.float32)
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            batch = checkpoint.preprocessing.batch(images[start : start + _BATCH])
            state = model.encode_image(batch.to(dtype), normalize=False).float()
            rows[start : start + _BATCH] = normalize(state, dim=-1).numpy()
    return rows


def _pays_rounding(model: ImageTower) -> bool:
    return bfloat16_by() is not None and sum(p.numel() for p in _parts(model)) >= _LARGE


def _built(checkpoint: Checkpoint, state: dict[str, torch.Tensor], device: str) -> ImageTower:
    import torch

    with torch.device(device):
        model = _empty(checkpoint)
    try:
        model.visual.load_state_dict(state, assign=device == "meta")
    except RuntimeError as error:
        raise EncoderDamaged(
            f"The image tower of {checkpoint.folder.name} does not fit its configuration.",
            str(error).splitlines()[-1].strip(),
        ) from error
    return model


def _empty(checkpoint: Checkpoint) -> ImageTower:
    from index.encoder.tiered import TieredTower, is_tiered

    if is_tiered(checkpoint.config["vision_cfg"]):
        return TieredTower(checkpoint.width)
    import open_clip

    model: ImageTower = open_clip.CLIP(
        embed_dim=checkpoint.width,
        vision_cfg={**checkpoint.config["vision_cfg"], "timm_model_pretrained": False},
        text_cfg=_NO_TEXT,
        quick_gelu=bool(checkpoint.config.get("quick_gelu")),
    )
    return model


def _parts(model: ImageTower) -> chain[torch.Tensor]:
    return chain(model.visual.parameters(), model.visual.buffers())
