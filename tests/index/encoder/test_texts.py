"""A text's vector is the one that torch gives, whichever folder the text tower comes from."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from index.bundled import bundled_model
from index.encoder import load_encoder
from index.encoder.text_numpy import erf
from tests.index.encoder.conftest import LAYOUTS, TEXTS, apart, by_open_clip

WITHOUT_TORCH = """
import sys
from index.encoder import load_encoder
load_encoder().encode_texts(["a red fox"])
heavy = {"torch", "open_clip", "transformers", "diffusers", "torchvision", "timm", "ftfy", "PIL"}
sys.exit(", ".join(sorted(heavy & sys.modules.keys())) or 0)
"""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_open_clip_folders_give_open_clips_vectors(
    open_clip_folders: dict[str, Path], layout: str
) -> None:
    folder = open_clip_folders[layout]
    assert apart(load_encoder(folder).encode_texts(TEXTS), by_open_clip(folder, TEXTS)) < 2e-6


def test_the_activations_tell_apart(open_clip_folders: dict[str, Path]) -> None:
    gelu, quick = (load_encoder(open_clip_folders[name]) for name in ("gelu", "quick"))
    assert apart(gelu.encode_texts(TEXTS), quick.encode_texts(TEXTS)) > 1e-4


def test_a_tower_that_looks_both_ways_goes_through_torch(two_way_folder: Path) -> None:
    encoder = load_encoder(two_way_folder)
    assert not encoder.checkpoint.has_causal_text
    assert apart(encoder.encode_texts(TEXTS), by_open_clip(two_way_folder, TEXTS)) < 1e-6
    assert encoder.encode_texts([]).shape == (0, encoder.width)


def test_a_transformers_folder_gives_transformers_vectors(transformers_folder: Path) -> None:
    plain = [text for text in TEXTS if text.isascii() and "&" not in text]
    tokenizer = CLIPTokenizer.from_pretrained(transformers_folder, model_max_length=20)
    model = CLIPModel.from_pretrained(transformers_folder)
    ids = tokenizer(plain, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.inference_mode():
        state = model.text_model(input_ids=ids).pooler_output
        rows = torch.nn.functional.normalize(model.text_projection(state), dim=-1).numpy()
    assert apart(load_encoder(transformers_folder).encode_texts(plain), rows) < 2e-6


def test_the_bundled_text_tower_is_its_pipelines_text_encoder() -> None:
    folder, encoder = bundled_model(), load_encoder()
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tower = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    texts = ["a red fox", "two cats on a light blue background", "rocket, flat style"]
    ids = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    projection = torch.from_numpy(encoder.checkpoint.tensors["text_projection"].float32())
    with torch.inference_mode():
        state = tower(input_ids=ids).pooler_output @ projection
        rows = torch.nn.functional.normalize(state, dim=-1).numpy()
    assert apart(encoder.encode_texts(texts), rows) < 1e-6


def test_rows_are_unit_and_independent_of_their_company() -> None:
    encoder = load_encoder()
    together = encoder.encode_texts(TEXTS)
    assert together.dtype == np.float32 and together.shape == (len(TEXTS), encoder.width)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS[:8]])
    assert apart(together[:8], alone) < 1e-6
    assert encoder.encode_texts([]).shape == (0, encoder.width)


def test_what_is_too_long_keeps_its_end() -> None:
    encoder = load_encoder()
    long = encoder.encode_texts(["word " * 500, "word " * 30])
    assert apart(long[:1], long[1:]) < 1e-6


def test_importing_and_encoding_a_text_bring_in_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_erf_is_the_error_function() -> None:
    x = np.linspace(-6, 6, 4001, dtype=np.float32)
    exact = np.array([math.erf(value) for value in x])
    assert np.abs(erf(x) - exact).max() < 4e-7
