"""ControlNet: a second encoder beside the denoiser's, that follows a picture.

The picture is taken as it is: edges, depth or poses are found elsewhere. Source: Zhang et al.
2023, arXiv:2302.05543.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sovgen.errors import ModelDamaged, ModelUnsupported, first_line
from sovgen.models.additions.addition import Addition
from sovgen.models.additions.control_file import completed, read_control
from sovgen.models.additions.families import refuse_other_family, refuse_without_unet
from sovgen.models.additions.kinds import config_of
from sovgen.models.compute import channels_last, in_own_dtype
from sovgen.models.weights import read_header

if TYPE_CHECKING:
    from sovgen.models.model import Model

_CLASS = "ControlNetModel"


def check_control(model: Model, control: Addition) -> None:
    """Raise ModelUnsupported unless its widths are those of the model's denoiser."""
    refuse_without_unet("a ControlNet", [control.name], model)
    own = model.pipe.unet.config
    config = read_control(control) if control.path.is_file() else config_of(control.path)
    if config["_class_name"] != _CLASS:
        raise ModelUnsupported(
            f"{control.name} is a {config['_class_name']}, which sovgen cannot use.",
            f"It takes a {_CLASS} for Stable Diffusion 1.x, 2.x or XL.",
        )
    refuse_other_family("a ControlNet", control.name, int(config["cross_attention_dim"]), model)
    if int(config.get("in_channels", 4)) != own.in_channels:
        raise ModelUnsupported(
            f"The denoiser of {model.name} takes {own.in_channels} channels, {control.name} "
            f"{config.get('in_channels', 4)}.",
            "Draw with a model that is not made for inpainting.",
        )
    theirs, ours = list(config["block_out_channels"]), list(own.block_out_channels)
    if theirs != ours:
        raise ModelUnsupported(
            f"The levels of {control.name} are {theirs} wide, those of {model.name} {ours}.",
            f"Choose a ControlNet made for {model.family}.",
        )


def open_control(model: Model, control: Addition) -> Any:  # noqa: ANN401
    """The loaded network, on the model's device. Raises ModelDamaged."""
    import torch

    try:
        opened = _open(model, control)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        first = first_line(error)
        raise ModelDamaged(
            f"{control.name} cannot be loaded: {first}",
            "Its weights and its configuration do not belong together: get it again.",
        ) from error
    stored = sum(read_header(file).numbers for file in control.files)
    if any(p.is_meta for p in opened.parameters()) or opened.num_parameters() > stored:
        raise ModelDamaged(f"{control.name} lacks some of its weights.", "Get the whole folder.")
    opened.to(model.device).requires_grad_(False).eval()
    if channels_last(model.device, model.dtype):
        opened.to(memory_format=torch.channels_last)
    in_own_dtype(opened)
    return opened


def _open(model: Model, control: Addition) -> Any:  # noqa: ANN401
    import diffusers
    import torch

    cls, dtype = diffusers.ControlNetModel, getattr(torch, model.dtype)
    if control.path.is_dir():
        return cls.from_pretrained(
            str(control.path), dtype=dtype, use_safetensors=True, local_files_only=True
        )
    config = completed(read_control(control), model.pipe.unet)
    with TemporaryDirectory(prefix="sovgen-") as folder:
        Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
        return cls.from_single_file(
            str(control.path), config=folder, dtype=dtype, local_files_only=True
        )


def pipeline_with(model: Model, control: Any) -> Any:  # noqa: ANN401
    """The model's pipeline with the network in it; the two share every other part."""
    import diffusers

    own = type(model.pipe).__name__
    cls = getattr(diffusers, own.replace("Pipeline", "ControlNetPipeline"))
    takes = inspect.signature(cls.__init__).parameters
    parts = {n: getattr(model.pipe, n) for n in takes if n in model.pipe.components}
    # Pictures are judged elsewhere, where nothing is blackened.
    silent = {"safety_checker": None, "requires_safety_checker": False, "add_watermarker": False}
    parts |= {name: value for name, value in silent.items() if name in takes}
    if "force_zeros_for_empty_prompt" in takes:
        parts["force_zeros_for_empty_prompt"] = model.pipe.config.force_zeros_for_empty_prompt
    made = cls(**parts, controlnet=control)
    made.set_progress_bar_config(disable=True)
    return made
