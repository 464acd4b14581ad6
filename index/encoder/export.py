"""An encoder as a complete open_clip folder, for programs that know open_clip.

Knows that layout; knows nothing of how the encoder was stored before.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from index.atomic import disk_refusals
from index.encoder.checkpoint import Checkpoint
from index.encoder.folders import OPEN_CLIP_CONFIG, WEIGHTS
from index.encoder.load import load_encoder
from index.encoder.tokenizer import ClipTokenizer, open_clip_vocabulary
from index.errors import EncoderDamaged, ExportExists

if TYPE_CHECKING:
    import torch


def export_clip(source: str | Path | None, folder: str | Path) -> Path:
    """Write the encoder that `load_encoder(source)` gives into a new folder.

    `open_clip.create_model_and_transforms("local-dir:FOLDER")` loads it, and its vectors and
    fingerprint are the source's. Returns the folder.

    Raises:
        EncoderMissing, EncoderDamaged: as load_encoder, or a vocabulary that open_clip has not
        ExportExists: the folder exists and is not empty
    """
    target = Path(folder).expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ExportExists(f"{target} exists already.", "Choose a folder that does not.")
    checkpoint = load_encoder(source).checkpoint
    with disk_refusals(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _fill(partial, checkpoint)
            partial.replace(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _fill(folder: Path, checkpoint: Checkpoint) -> None:
    if (checkpoint.folder / OPEN_CLIP_CONFIG).is_file():
        for path in checkpoint.files:
            if path.parent == checkpoint.folder:
                shutil.copyfile(path, folder / path.name)
        return
    _refuse_other_vocabulary(checkpoint)
    from safetensors.torch import save_file

    save_file(_state(checkpoint), folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        "model_cfg": dict(checkpoint.config),
        "preprocess_cfg": checkpoint.preprocessing.as_config(),
    }
    (folder / OPEN_CLIP_CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    import torch

    from index.encoder.naming import to_open_clip

    state = {name: tensor.contiguous() for name, tensor in to_open_clip(checkpoint.tensors).items()}
    # open_clip insists on it; a cosine does not need it.
    state.setdefault("logit_scale", torch.tensor(math.log(1 / 0.07)))
    return state


def _refuse_other_vocabulary(checkpoint: Checkpoint) -> None:
    length = checkpoint.text["context_length"]
    own = ClipTokenizer(checkpoint.vocabulary or (), length).fingerprint()
    if own != ClipTokenizer(open_clip_vocabulary(), length).fingerprint():
        raise EncoderDamaged(
            f"{checkpoint.folder.name} has another vocabulary than open_clip.",
            "open_clip would give its texts other vectors, so that it is not exported.",
        )
