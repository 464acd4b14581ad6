from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests import tiny_clip

TEXTS = (
    "a red fox",
    "",
    "Hello,  World! it's 12 o'clock",
    "fish &amp; chips — naïve café",
    "日本の猫 🐈‍⬛ on a dark blue background",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    *(f"thing number {i} " * (i % 7) for i in range(70)),
)

LAYOUTS = {
    "gelu": {},
    "quick": {"quick_gelu": True},
    "custom text": {"custom_text": True},
    "timm": {"vision": tiny_clip.TIMM},
    "half": {"dtype": torch.float16},
    "brain half": {"dtype": torch.bfloat16},
    "wide": {"text": {"mlp_ratio": 3.0, "norm_kwargs": {"eps": 1e-3}}},
}


@pytest.fixture(scope="session")
def open_clip_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One open_clip folder per layout."""
    root = tmp_path_factory.mktemp("open_clip")
    make = tiny_clip.open_clip_folder
    return {name: make(root / name.replace(" ", "-"), **how) for name, how in LAYOUTS.items()}


@pytest.fixture(scope="session")
def two_way_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip folder whose text tower looks both ways."""
    root = tmp_path_factory.mktemp("two_way")
    text = {"no_causal_mask": True, "pool_type": "last"}
    return tiny_clip.open_clip_folder(root / "clip", text=text, custom_text=True)


@pytest.fixture(scope="session")
def transformers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip.transformers_folder(tmp_path_factory.mktemp("transformers") / "clip")


@pytest.fixture(scope="session")
def diffusers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip.diffusers_folder(tmp_path_factory.mktemp("diffusers") / "model")


def by_open_clip(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """Text embeddings as open_clip itself computes them."""
    name = f"local-dir:{folder}"
    model = open_clip.create_model(name, precision="fp32").eval()
    with torch.inference_mode():
        rows = model.encode_text(open_clip.get_tokenizer(name)(list(texts)), normalize=True)
    return rows.numpy()


def images_by_open_clip(folder: Path, images: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Image embeddings as open_clip itself computes them."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.inference_mode():
        batch = torch.stack([transform(image) for image in images])
        return model.eval().encode_image(batch, normalize=True).numpy()


def pictures() -> list[Image.Image]:
    """Smooth pictures of several shapes, larger and smaller than any tower's."""
    noise = np.random.default_rng(3)
    small = [Image.fromarray(noise.integers(0, 255, (5, 7, 3), dtype=np.uint8)) for _ in range(4)]
    sizes = ((64, 64), (32, 32), (100, 60), (20, 48))
    return [image.resize(size, 3) for image, size in zip(small, sizes, strict=True)]


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest difference between two sets of rows."""
    assert one.shape == other.shape
    return float(np.abs(one - other).max())
