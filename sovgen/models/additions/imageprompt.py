"""IP-Adapter: pictures that a model looks at beside the words.

Each picture gets its own keys and values in every attention to the text, and a weight. Source: Ye
et al. 2023, arXiv:2308.06721.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sovgen.errors import ModelDamaged, ModelUnsupported, first_line
from sovgen.models.additions.addition import Addition
from sovgen.models.additions.families import refuse_other_family, refuse_without_unet
from sovgen.models.additions.kinds import config_of
from sovgen.models.weights import read_header

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from sovgen.models.model import Model

_PROJECTION = "image_proj."
_ATTENTION = "ip_adapter."
# Its projection by one of its tensors, and the field of the image encoder's configuration that
# says how wide what it takes is.
_WIDTH_OF = {
    "proj.weight": "projection_dim",
    "proj_in.weight": "hidden_size",
    "proj.0.weight": "hidden_size",
}
_FACES = ("norm.weight", "perceiver_resampler.proj_in.weight")


@dataclass
class ImagePrompt:
    """An IP-Adapter that is in a model, once for each picture.

    encoder, processor: what make rows of a picture
    remove: takes it off, to the bit
    """

    encoder: Any
    processor: Any
    remove: Callable[[], None]


def check_adapter(model: Model, adapter: Addition) -> None:
    """Raise ModelUnsupported unless it has keys and values for each attention of the model."""
    refuse_without_unet("an IP-Adapter", [adapter.name], model)
    shapes = {name: t.shape for name, t in read_header(adapter.files[0]).tensors.items()}
    _refuse_projection(adapter, shapes)
    keys = {n: s for n, s in shapes.items() if n.startswith(_ATTENTION) and "to_k_ip" in n}
    for shape in list(keys.values())[:1]:
        refuse_other_family("an IP-Adapter", adapter.name, shape[1], model)
    wanted = _attentions(model)
    missing = [name for name in wanted if f"{_ATTENTION}{name}.to_k_ip.weight" not in keys]
    if missing or len(keys) != len(wanted):
        raise ModelUnsupported(
            f"{adapter.name} has keys for {len(keys)} attentions; {model.name} has {len(wanted)}.",
            f"Choose an IP-Adapter made for {model.family}.",
        )
    for name, width in wanted.items():
        shape = keys[f"{_ATTENTION}{name}.to_k_ip.weight"]
        if shape[0] != width:
            raise ModelUnsupported(
                f"{adapter.name} has keys {shape[0]} wide for an attention of {model.name} that is "
                f"{width} wide.",
                f"Choose an IP-Adapter made for {model.family}.",
            )


def put_adapter(model: Model, adapter: Addition, pictures: int) -> ImagePrompt:
    """Put it into the denoiser, once for each of so many pictures."""
    from transformers import CLIPImageProcessor

    pipe, own = model.pipe, model.pipe.feature_extractor
    processors = pipe.unet.attn_processors
    encoder = _encoder(model, adapter)

    def remove() -> None:
        pipe.unet.encoder_hid_proj = None
        pipe.unet.config.encoder_hid_dim_type = None
        pipe.unet.set_attn_processor(dict(processors))
        pipe.register_modules(feature_extractor=own)

    try:
        pipe.load_ip_adapter(
            [_state(adapter) for _ in range(pictures)],
            subfolder="",
            weight_name=[""] * pictures,
            image_encoder_folder=None,
        )
    except (ValueError, RuntimeError, KeyError) as error:
        remove()
        first = first_line(error)
        raise ModelDamaged(f"{adapter.name} cannot be loaded: {first}", "Get it again.") from error
    side = encoder.config.image_size
    processor = CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    return ImagePrompt(encoder, processor, remove)


def look_at(
    model: Model, prompt: ImagePrompt, images: Sequence[Image.Image], guided: bool
) -> list[Tensor]:
    """What it sees in each picture, (1, 1, ...); with guidance, that in none comes first."""
    import torch

    projections = model.pipe.unet.encoder_hid_proj.image_projection_layers
    with torch.inference_mode():
        return [
            _rows(prompt, type(projection).__name__ == "ImageProjection", image, guided).to(
                model.pipe.unet.dtype
            )
            for projection, image in zip(projections, images, strict=True)
        ]


def _rows(prompt: ImagePrompt, plain: bool, image: Image.Image, guided: bool) -> Tensor:
    import torch

    pixels = prompt.processor(image.convert("RGB"), return_tensors="pt").pixel_values
    weight = next(prompt.encoder.parameters())
    pixels = pixels.to(weight.device, weight.dtype)
    if plain:
        seen = prompt.encoder(pixels).image_embeds
        nothing = torch.zeros_like(seen)
    else:
        both = torch.cat([pixels, torch.zeros_like(pixels)])
        seen, nothing = prompt.encoder(both, output_hidden_states=True).hidden_states[-2].chunk(2)
    rows: Tensor = torch.cat([nothing, seen]) if guided else seen
    return rows.unsqueeze(1)


def _encoder(model: Model, adapter: Addition) -> Any:  # noqa: ANN401
    import torch
    from transformers import CLIPVisionModelWithProjection

    folder = adapter.files[-1].parent
    dtype = torch.float32 if model.device == "cpu" else getattr(torch, model.dtype)
    try:
        encoder = CLIPVisionModelWithProjection.from_pretrained(
            str(folder), dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        first = first_line(error)
        raise ModelDamaged(
            f"The image encoder of {adapter.name} cannot be loaded: {first}", "Get it again."
        ) from error
    module: torch.nn.Module = encoder
    return module.to(model.device).requires_grad_(False).eval()


def _state(adapter: Addition) -> dict[str, dict[str, Tensor]]:
    from safetensors.torch import load_file

    state: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(adapter.files[0]).items():
        part, _, rest = name.partition(".")
        if part in state:
            state[part][rest] = tensor
    return state


def _refuse_projection(adapter: Addition, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ModelUnsupported for faces, which need a recogniser, and for another image encoder."""
    names = {name.removeprefix(_PROJECTION) for name in shapes if name.startswith(_PROJECTION)}
    faces = names.intersection(_FACES) and "latents" not in names and "proj.weight" not in names
    if faces and "proj.3.weight" not in names:
        raise ModelUnsupported(
            f"{adapter.name} looks at faces by way of a recogniser, which sovgen does not have.",
            "Choose a plain IP-Adapter, or a plus one.",
        )
    config = config_of(adapter.files[-1].parent)
    for name, field in _WIDTH_OF.items():
        if name in names and (width := shapes[_PROJECTION + name][1]) != config.get(field):
            raise ModelUnsupported(
                f"{adapter.name} takes pictures {width} wide; the image encoder beside it gives "
                f"{config.get(field)}.",
                "Put the image encoder that it was made for next to it.",
            )


def _attentions(model: Model) -> dict[int, int]:
    """The width of each attention to the text, by the number that the adapter has for it."""
    unet = model.pipe.unet
    texts = [name for name in unet.attn_processors if not name.endswith("attn1.processor")]
    return {
        1 + 2 * at: unet.get_submodule(name.removesuffix(".processor")).inner_dim
        for at, name in enumerate(texts)
    }
