"""VAE override: another autoencoder of the same latent in place of the model's own.

Takes a diffusers folder or a single file in the original key layout, whose scaling is then that of
the model's own. Knows nothing of pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sovgen.errors import ModelDamaged, ModelUnsupported, first_line
from sovgen.models import shapes
from sovgen.models.additions.addition import Addition
from sovgen.models.additions.kinds import config_of
from sovgen.models.compute import channels_last
from sovgen.models.weights import read_header

if TYPE_CHECKING:
    from sovgen.models.model import Model

_ORIGINAL = "first_stage_model."
_CLASSES = ("AutoencoderKL", "AutoencoderTiny")
# What the tensors of a single file do not say.
_OPEN = ("scaling_factor", "shift_factor", "force_upcast", "latents_mean", "latents_std")


def check_vae(model: Model, vae: Addition) -> None:
    """Raise ModelUnsupported unless its latent has the channels and cells of the model's."""
    config, own = _config(model, vae), model.pipe.vae.config
    cls = config["_class_name"]
    if cls not in _CLASSES:
        raise ModelUnsupported(
            f"{vae.name} is a {cls}, which sovgen cannot decode with.",
            f"It knows {', '.join(_CLASSES)}.",
        )
    channels, cell = config.get("latent_channels", 4), _cell(config)
    if channels != own.latent_channels or cell != model.cell:
        raise ModelUnsupported(
            f"The latent of {vae.name} has {channels} channels in cells of {cell} pixels; that of "
            f"{model.name} has {own.latent_channels} in cells of {model.cell}.",
            f"Choose a VAE made for {model.family}.",
        )


def put_vae(model: Model, vae: Addition) -> Callable[[], None]:
    """Put it in place of the model's own; gives back what undoes that.

    Raises ModelDamaged when it lacks weights.
    """
    import torch

    config, own = _config(model, vae), model.pipe.vae
    # As for the model's own, which may overflow in float16 and then says so.
    widened = model.dtype == "float16" and config.get("force_upcast")
    opened = _open(vae, config, torch.float32 if widened else getattr(torch, model.dtype))
    stored = sum(read_header(file).numbers for file in vae.files)
    if any(p.is_meta for p in opened.parameters()) or opened.num_parameters() > stored:
        raise ModelDamaged(f"{vae.name} lacks some weights of a VAE.", "Get the whole of it.")
    opened.to(model.device).requires_grad_(False).eval()
    if channels_last(model.device, model.dtype):
        opened.to(memory_format=torch.channels_last)
    model.pipe.vae = opened

    def remove() -> None:
        model.pipe.vae = own

    return remove


def _open(vae: Addition, config: Mapping[str, Any], dtype: Any) -> Any:  # noqa: ANN401
    import diffusers

    cls = getattr(diffusers, config["_class_name"])
    try:
        if vae.path.is_dir():
            return cls.from_pretrained(
                str(vae.path), dtype=dtype, use_safetensors=True, local_files_only=True
            )
        with TemporaryDirectory(prefix="sovgen-") as folder:
            Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
            return cls.from_single_file(
                str(vae.path), config=folder, dtype=dtype, local_files_only=True
            )
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        first = first_line(error)
        raise ModelDamaged(
            f"{vae.name} cannot be loaded: {first}", "Its weights and configuration do not agree."
        ) from error


def _config(model: Model, vae: Addition) -> dict[str, Any]:
    """Its own configuration, or one worked out from the tensors of a single file."""
    if vae.path.is_dir():
        return dict(config_of(vae.path))
    tensors = {
        name.removeprefix(_ORIGINAL): tensor.shape
        for name, tensor in read_header(vae.files[0]).tensors.items()
    }
    try:
        config = shapes.autoencoder(tensors)
    except KeyError as error:
        raise ModelUnsupported(
            f"{vae.name} lacks {error}: it is not in the original key layout.",
            "Give the folder that it lies in, with its config.json.",
        ) from error
    own = model.pipe.vae.config
    open_to_us = {name: own[name] for name in _OPEN if own.get(name) is not None}
    return {"_class_name": "AutoencoderKL", **config, **open_to_us}


def _cell(config: Mapping[str, Any]) -> int:
    channels = config.get("block_out_channels") or config["encoder_block_out_channels"]
    return int(2 ** (len(channels) - 1))
