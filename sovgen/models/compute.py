"""In which number format each part of a pipeline computes.

The denoiser and the decoder compute in the model's dtype; the latent stays in float32 between
steps, so that rounding does not add up over them, and on a CPU small CLIP towers stay in float32:
they run once for each prompt, and their rows are also what a library searches by. Larger ones, and
language models, take the model's dtype: float32 would double what they hold of the memory. Knows
modules; knows nothing of files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sovgen.models.family import CLIP_TOWERS
from sovgen.models.layout import Layout
from sovgen.models.room import free_bytes, must_move, weight_bytes

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sovgen.models.device import Place

# Numbers in a CLIP tower from which on its memory counts; ViT-L/14's text tower has 123 million.
_LARGE = 20_000_000


def part_dtypes(device: str, dtype: str, layout: Layout) -> dict[str, torch.dtype]:
    """A torch dtype for each part of a pipeline, and for `default` the model's own."""
    import torch

    chosen: torch.dtype = getattr(torch, dtype)
    dtypes = {"default": chosen}
    if device == "cpu":
        clips = [name for name in layout.towers if layout.parts[name] in CLIP_TOWERS]
        small = [name for name in clips if layout.numbers[name] < _LARGE]
        dtypes |= dict.fromkeys(small, torch.float32)
    # SDXL's decoder overflows in float16 and says so in its configuration.
    if dtype == "float16" and layout.configs["vae"].get("force_upcast"):
        dtypes["vae"] = torch.float32
    return dtypes


def choices(place: Place) -> dict[str, str]:
    """How a model computes there, each choice with its reason; the backend is the recipe's."""
    return {
        "device": place.device,
        "dtype": f"{place.dtype}: {place.reason}",
        "attention": _attention(place.device),
        "channels_last": _layout_reason(place.device, place.dtype),
    }


def _attention(device: str) -> str:
    """torch's own attention, by the kernels that it may choose among."""
    import torch

    on = torch.backends.cuda
    if device == "cpu":
        if not on.flash_sdp_enabled():
            return "math: the blockwise kernel was turned off"
        return "flash: torch's blockwise kernel, which never holds a whole matrix of attention"
    if not device.startswith("cuda"):
        return "torch's own for this device"
    kernels = {
        "flash": on.flash_sdp_enabled(),
        "efficient": on.mem_efficient_sdp_enabled(),
        "cudnn": on.cudnn_sdp_enabled(),
        "math": on.math_sdp_enabled(),
    }
    able = ", ".join(name for name, is_on in kernels.items() if is_on)
    return f"{able}: torch takes the fastest that dtype, widths and mask allow"


def channels_last(device: str, dtype: str) -> bool:
    """Whether convolutions are faster there with a pixel's channels side by side in memory.

    On a CPU with AVX2 and no more they are, in float32; with wider registers, whose library
    reorders for itself, they were measured to be slower.
    """
    import torch

    if device != "cpu":
        return True
    return dtype == "float32" and torch.backends.cpu.get_cpu_capability() == "AVX2"


def _layout_reason(device: str, dtype: str) -> str:
    if device != "cpu":
        return "yes: convolutions on GPUs are faster so"
    if channels_last(device, dtype):
        return "yes: in float32 convolutions with AVX2 are faster so"
    return "no: the library that convolves on this CPU reorders for itself, and is slower with it"


def settle(pipe: Any, denoiser: Any, device: str, dtype: str) -> bool:  # noqa: ANN401
    """Put a pipeline on its device, with the latent in float32 between steps.

    Returns whether its weights do not fit there, so that each part moves in when it is needed.
    """
    import torch

    moving = device != "cpu" and must_move(weight_bytes(pipe), free_bytes(device))
    if moving:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    for module in (denoiser, pipe.vae):
        module.requires_grad_(False)
        if channels_last(device, dtype):
            module.to(memory_format=torch.channels_last)
    in_own_dtype(denoiser)
    return moving


def in_own_dtype(module: nn.Module) -> None:
    """Let it take tensors of any dtype, compute in its own, and give float32."""
    module.register_forward_pre_hook(_to_own_dtype, with_kwargs=True)
    module.register_forward_hook(_to_float32)


def _to_own_dtype(module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:  # noqa: ANN401
    dtype = module.dtype
    return _cast(args, dtype), _cast(kwargs, dtype)


def _to_float32(_: nn.Module, __: Any, output: Any) -> Any:  # noqa: ANN401
    import torch

    return _cast(output, torch.float32)


def _cast(value: Any, dtype: Any) -> Any:  # noqa: ANN401
    """The same nest of tuples, lists and dicts, its floating tensors in another dtype.

    Not the scalars and vectors: those are timesteps and guidance, which bfloat16 would round to
    the nearest 4 of 1000.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() and value.ndim > 1 else value
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(item, dtype) for item in value)
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    return value
