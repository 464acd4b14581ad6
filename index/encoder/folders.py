"""The three kinds of folder that hold an encoder, each read into a Checkpoint.

- an open_clip folder: `open_clip_config.json` and safetensors
- a transformers `CLIPModel` folder: `config.json`, `model.safetensors`, `preprocessor_config.json`
- a diffusers folder whose text encoder is CLIP's text tower, with the other half, in open_clip's
  form, in `image_encoder/`

Only safetensors are opened: pickle formats run code when they are read, and are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from index.encoder import transformers_config
from index.encoder.checkpoint import Checkpoint
from index.encoder.naming import from_open_clip, from_transformers
from index.encoder.preprocessing import Preprocessing
from index.encoder.tensors import Tensor, read_tensors
from index.encoder.tokenizer import open_clip_vocabulary, vocabulary_files
from index.errors import EncoderDamaged, EncoderMissing

OPEN_CLIP_CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
# In the order in which open_clip prefers them.
_OPEN_CLIP_WEIGHTS = (
    WEIGHTS,
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
)
_TRANSFORMERS_WEIGHTS = ("model.safetensors", "model.fp16.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_KINDS = (
    "An encoder is an open_clip folder, a transformers CLIPModel folder, or a diffusers folder "
    "with image_encoder/open_clip_config.json."
)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The encoder in a folder, whichever kind it is.

    Raises:
        EncoderMissing: no such folder, or none of the kinds
        EncoderDamaged: truncated, a pickle, or a configuration that cannot be understood
    """
    if not folder.is_dir():
        raise EncoderMissing(f"There is no encoder at {folder}.", _KINDS)
    read = _kind(folder)
    try:
        return read(folder)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise EncoderDamaged(
            f"The configuration of the encoder {folder.name} cannot be understood: {error!r}.",
            "Copy the folder again from where it came from.",
        ) from error


def _kind(folder: Path) -> Callable[[Path], Checkpoint]:
    if (folder / OPEN_CLIP_CONFIG).is_file():
        return _open_clip
    if (folder / "image_encoder" / OPEN_CLIP_CONFIG).is_file():
        return _diffusers
    if (folder / "config.json").is_file():
        return _transformers
    if (folder / "text_encoder").is_dir():
        raise EncoderMissing(f"{folder.name} has a text encoder, but no image tower.", _KINDS)
    _refuse_pickles(folder)
    raise EncoderMissing(f"There is no encoder in {folder}.", _KINDS)


def _open_clip(folder: Path) -> Checkpoint:
    config = read_json(folder / OPEN_CLIP_CONFIG)
    weights = _weights(folder, _OPEN_CLIP_WEIGHTS)
    model = config["model_cfg"]
    bpe = None if model["text_cfg"].get("hf_tokenizer_name") else open_clip_vocabulary()
    own = bpe or tuple(folder.glob("*token*.json"))
    return Checkpoint(
        folder=folder,
        config=model,
        preprocessing=_open_clip_preprocessing(config),
        tensors=from_open_clip(_read_all(weights)),
        vocabulary=bpe,
        files=(folder / OPEN_CLIP_CONFIG, *weights, *own),
    )


def _transformers(folder: Path) -> Checkpoint:
    config = read_json(folder / "config.json")
    processor, preprocessing = _processor(folder)
    weights = _weights(folder, _TRANSFORMERS_WEIGHTS)
    vocabulary = _vocabulary(folder)
    return Checkpoint(
        folder=folder,
        config=transformers_config.model_config(config),
        preprocessing=Preprocessing.of_transformers(preprocessing),
        tensors=from_transformers(_read_all(weights)),
        vocabulary=vocabulary,
        files=(folder / "config.json", processor, *weights, *vocabulary),
    )


def _diffusers(folder: Path) -> Checkpoint:
    half, text = folder / "image_encoder", folder / "text_encoder"
    config = read_json(half / OPEN_CLIP_CONFIG)
    text_config = read_json(text / "config.json")
    weights = _weights(half, _OPEN_CLIP_WEIGHTS)
    text_weights = _weights(text, _TRANSFORMERS_WEIGHTS)
    vocabulary = _vocabulary(folder / "tokenizer")
    return Checkpoint(
        folder=folder,
        config=transformers_config.with_text(config["model_cfg"], text_config),
        preprocessing=_open_clip_preprocessing(config),
        tensors={
            **from_open_clip(_read_all(weights)),
            **from_transformers(_read_all(text_weights)),
        },
        vocabulary=vocabulary,
        files=(
            half / OPEN_CLIP_CONFIG,
            *weights,
            text / "config.json",
            *text_weights,
            *vocabulary,
        ),
    )


def _open_clip_preprocessing(config: dict[str, Any]) -> Preprocessing:
    image_size = config["model_cfg"]["vision_cfg"].get("image_size", 224)
    return Preprocessing.of_open_clip(config.get("preprocess_cfg") or {}, image_size)


def _processor(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The image processor's config, in its own file or, as transformers 5 saves it, in a larger."""
    own, joint = folder / "preprocessor_config.json", folder / "processor_config.json"
    if own.is_file():
        return own, read_json(own)
    return joint, read_json(joint)["image_processor"]


def _vocabulary(folder: Path) -> tuple[Path, ...]:
    if files := vocabulary_files(folder):
        return files
    raise EncoderDamaged(
        f"The encoder has no vocabulary in {folder.name}.",
        "It needs vocab.json and merges.txt, or tokenizer.json.",
    )


def _weights(folder: Path, preferred: Sequence[str]) -> tuple[Path, ...]:
    for name in preferred:
        if (folder / name).is_file():
            return (folder / name,)
    found = sorted(folder.glob("*.safetensors"))
    if shards := [path for path in found if "-of-" in path.name]:
        return tuple(shards)
    if found:
        return (found[0],)
    _refuse_pickles(folder)
    raise EncoderMissing(
        f"There are no weights in {folder.name}.", "A .safetensors file is needed."
    )


def _refuse_pickles(folder: Path) -> None:
    if pickles := [path.name for path in sorted(folder.glob("*")) if path.suffix in _PICKLES]:
        raise EncoderDamaged(
            f"{folder.name}/{pickles[0]} is a pickle, which can run any code when it is opened.",
            "Use the safetensors version of these weights.",
        )


def _read_all(files: Sequence[Path]) -> dict[str, Tensor]:
    return {name: tensor for file in files for name, tensor in read_tensors(file).items()}


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file.

    Raises:
        EncoderDamaged: it is missing or no JSON object.
    """
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EncoderDamaged(
            f"{path.parent.name}/{path.name} is missing or damaged.",
            "Copy the folder again from where it came from.",
        ) from error
    return dict(config)
