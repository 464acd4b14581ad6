"""Adding pictures against a plain open_clip loop: `python -m tests.benchmarks add`.

512-pixel pictures at the shape of ViT-B/32 with random weights. The plain loop opens, preprocesses
and embeds a batch at a time and keeps nothing; ours also hashes, copies, makes thumbnails, colours,
tags and rows, with decoding overlapped.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.measure import FOLDER, interleave, print_table, spread
from tests.benchmarks.vit_b32 import vit_b32

COUNT = 96
SIDE = 512
BATCH = 32
ROUNDS = 5


def main(_: Sequence[str]) -> None:
    sources = _pictures(FOLDER / "add")
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "plain open_clip loop": _plain(sources),
            "sovgen add": _ours(sources, Path(folder)),
        }
        for side in sides.values():
            side()
        runs = interleave(sides, ROUNDS)
    plain = runs["plain open_clip loop"]
    rows = [
        [
            name,
            spread([COUNT / t for t in times], 1),
            spread([p / t for p, t in zip(plain, times, strict=True)]),
        ]
        for name, times in runs.items()
    ]
    columns = ["side", "pictures a second", "times as fast as the loop"]
    print_table(f"Adding {COUNT} PNG files of {SIDE} x {SIDE}, ViT-B/32", columns, rows)


def _pictures(folder: Path) -> list[Path]:
    """Flat shapes on a gradient, so that a PNG is about as large as an illustration's."""
    import numpy as np
    from PIL import Image, ImageDraw

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{n:03}.png" for n in range(COUNT)]
    for number, path in enumerate(paths):
        if path.exists():
            continue
        rng = np.random.default_rng(number)
        ramp = np.linspace(0, 255, SIDE)[:, None, None] * rng.random(3) + rng.normal(
            0, 2, (1, SIDE, 3)
        )
        image = Image.fromarray(np.broadcast_to(ramp, (SIDE, SIDE, 3)).clip(0, 255).astype("uint8"))
        draw = ImageDraw.Draw(image)
        for _ in range(12):
            x, y, r = rng.integers(0, SIDE, 3).tolist()
            draw.ellipse(
                (x - r // 4, y - r // 4, x + r // 4, y + r // 4),
                fill=tuple(rng.integers(0, 256, 3).tolist()),
            )
        image.save(path)
    return paths


def _plain(paths: Sequence[Path]) -> Callable[[], float]:
    import open_clip
    import torch
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{vit_b32()}")
    model.eval()

    def embed() -> None:
        for start in range(0, len(paths), BATCH):
            images = [
                preprocess(Image.open(p).convert("RGB")) for p in paths[start : start + BATCH]
            ]
            with torch.inference_mode():
                model.encode_image(torch.stack(images), normalize=True).numpy()

    return lambda: _seconds(embed)


def _ours(paths: Sequence[Path], folder: Path) -> Callable[[], float]:
    from index import Library
    from index.encoder import load_encoder

    encoder = load_encoder(vit_b32())

    def add() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as root:
            library = Library.create(Path(root) / "library", encoder)
            return _seconds(lambda: library.add(paths))

    return add


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
