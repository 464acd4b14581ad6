"""How a picture becomes the numbers that an image tower takes, as the encoder's own config says.

Knows the two ways in which configs write it down; knows nothing of towers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from index.errors import EncoderDamaged

if TYPE_CHECKING:
    import torch
    from PIL import Image

_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pictures OpenAI's CLIP was trained on
_STD = (0.26862954, 0.26130258, 0.27577711)
_RESAMPLING = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers, which transformers stores
_OPTIONAL = ("mean", "std", "interpolation", "resize_mode", "fill_color")
_HINT = "Only CLIP's own ways are known: resize the shorter side and crop, or resize to the size."


Size: TypeAlias = int | Sequence[int]
Transform: TypeAlias = "Callable[[Image.Image], torch.Tensor]"


@dataclass(frozen=True)
class Preprocessing:
    """A picture's way to `(3, height, width)` floats.

    resize_mode: `shortest` side to size, then crop; `longest`, then pad; `squash` both sides.
    mean, std: of each channel, in 0..1, for normalising.
    fill_color: of the padding, 0..255.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill_color: int = 0

    @classmethod
    def of_open_clip(cls, config: Mapping[str, Any], image_size: Size) -> Preprocessing:
        """From an open_clip config's `preprocess_cfg`; the tower's own size overrules its size."""
        known = {key: config[key] for key in _OPTIONAL if config.get(key) is not None}
        known |= {key: _three(known[key]) for key in ("mean", "std") if key in known}
        return cls(size=_pair(image_size), **known)

    @classmethod
    def of_transformers(cls, config: Mapping[str, Any]) -> Preprocessing:
        """From a CLIP image processor's config.

        Raises:
            EncoderDamaged: it asks for what open_clip's transform cannot do.
        """
        size, squashed = _transformers_size(config)
        resampling = _RESAMPLING.get(config.get("resample", 3))
        if resampling is None or not config.get("do_resize", True):
            raise EncoderDamaged("The encoder's image preprocessing is not known.", _HINT)
        normalised = config.get("do_normalize", True)
        return cls(
            size=size,
            mean=tuple(config.get("image_mean", _MEAN)) if normalised else (0.0,) * 3,
            std=tuple(config.get("image_std", _STD)) if normalised else (1.0,) * 3,
            interpolation="bilinear" if resampling == "bilinear" else "bicubic",
            resize_mode="squash" if squashed else "shortest",
        )

    def as_config(self) -> dict[str, Any]:
        """The `preprocess_cfg` of an open_clip config."""
        return {**asdict(self), "mode": "RGB"}

    def batch(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """The pictures as one float32 tensor `(n, 3, height, width)`.

        What is transparent lies on white: behind it a file holds any colour, mostly black.
        """
        import torch

        transform = self._squashing() if self.resize_mode == "squash" else self._open_clips()
        return torch.stack([transform(_opaque(image)) for image in images])

    def _open_clips(self) -> Transform:
        from open_clip.transform import PreprocessCfg, image_transform_v2

        transform: Transform = image_transform_v2(PreprocessCfg(**asdict(self)), is_train=False)
        return transform

    def _squashing(self) -> Transform:
        """The one way that torchvision knows as it is: open_clip takes half a second to import."""
        from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize, ToTensor

        resize = Resize(self.size, InterpolationMode(self.interpolation))
        steps: Transform = Compose([resize, ToTensor(), Normalize(self.mean, self.std)])
        return steps


def _opaque(image: Image.Image) -> Image.Image:
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _transformers_size(config: Mapping[str, Any]) -> tuple[tuple[int, int], bool]:
    size, crop = config.get("size", 224), config.get("crop_size", 224)
    cropped = config.get("do_center_crop", True)
    crop = (crop["height"], crop["width"]) if isinstance(crop, Mapping) else _pair(crop)
    if isinstance(size, Mapping) and "height" in size:
        size, squashed = (size["height"], size["width"]), True
    else:
        edge = size["shortest_edge"] if isinstance(size, Mapping) else size
        size, squashed = _pair(edge), False
    if (cropped and crop != size) or not (cropped or squashed):
        raise EncoderDamaged("The encoder's image preprocessing resizes and crops apart.", _HINT)
    return size, squashed


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _three(value: float | Sequence[float]) -> tuple[float, ...]:
    return (value,) * 3 if isinstance(value, (int, float)) else tuple(value)
