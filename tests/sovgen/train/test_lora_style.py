"""A LoRA on twenty pictures of one style draws the bundled model toward it, in the eyes of CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from index.encoder import load_encoder
from sovgen.generate.generator import generate
from sovgen.models.load import load_model
from sovgen.recipe import Recipe
from sovgen.train.examples import Example
from sovgen.train.loop import train
from sovgen.train.lora import Lora, LoraPlan
from sovgen.train.plan import Loop

INK, PAPER = "#f4f7ff", "#12234f"
PROMPTS = ("a house, blueprint", "a fish, blueprint", "a cup, blueprint")


def blueprints(folder: Path) -> list[Example]:
    """White outlines on navy: houses, balls, boxes and kites of several sizes."""
    examples = []
    for i in range(20):
        page = Image.new("RGB", (128, 128), PAPER)
        pen, r = ImageDraw.Draw(page), 28 + 5 * (i % 5)
        corners = [
            [(64 - r, 64), (64, 64 - r), (64 + r, 64), (64 + r, 64 + r), (64 - r, 64 + r)],
            [(64 + r * np.cos(a), 64 + r * np.sin(a)) for a in np.linspace(0, 6.28, 25)],
            [(64 - r, 64 - r), (64 + r, 64 - r), (64 + r, 64 + r), (64 - r, 64 + r)],
            [(64, 64 - r), (64 + r / 2, 64), (64, 64 + r), (64 - r / 2, 64)],
        ][i % 4]
        pen.polygon(corners, outline=INK, width=4)
        page.save(folder / f"{i}.png")
        name = ("a house", "a ball", "a box", "a kite")[i % 4]
        examples.append(Example(folder / f"{i}.png", name))
    return examples


def drawn(model: object) -> list[Image.Image]:
    recipes = [Recipe(p, seed=i, steps=8) for i, p in enumerate(PROMPTS)]
    return [picture.image for picture in generate(model, recipes)]  # type: ignore[arg-type]


def likeness(pictures: Sequence[Image.Image], style: NDArray[np.float32]) -> float:
    """Mean cosine of pictures with the middle of a style."""
    middle = style.mean(axis=0) / np.linalg.norm(style.mean(axis=0))
    return float((load_encoder().encode_images(pictures) @ middle).mean())


def test_a_lora_on_twenty_pictures_moves_the_bundled_model_toward_their_style(
    tmp_path: Path,
) -> None:
    examples = blueprints(tmp_path)
    style = load_encoder().encode_images([Image.open(e.path) for e in examples])
    model = load_model(None, "cpu", "float32")
    before = likeness(drawn(model), style)
    plan = LoraPlan(rank=8, word="blueprint", sample_steps=1, prompts=("a house",))
    objective = Lora(model.pipe, examples, plan, title="blueprint")
    loop = Loop(batch=4, steps=60, warm_up=5, learning_rate=2e-3, half_life=40, average_every=1)
    train(objective, tmp_path / "run", loop, minutes=5, precision="bfloat16")
    fresh = load_model(None, "cpu", "float32")
    fresh.pipe.load_lora_weights(tmp_path / "run" / "model" / "blueprint")
    after = likeness(drawn(fresh), style)
    assert after > before + 0.1, (before, after)
