"""A pipeline's text encoder is told from the library's, and stands in memory once when it is it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from index.bundled import bundled_model
from index.encoder import Encoder, compare_towers, load_encoder
from index.encoder.tensors import Tensor
from tests.index.encoder.conftest import TEXTS


@pytest.fixture
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture
def tower() -> CLIPTextModel:
    return pipeline_tower(torch.float32)


def pipeline_tower(dtype: torch.dtype) -> CLIPTextModel:
    return CLIPTextModel.from_pretrained(bundled_model() / "text_encoder", dtype=dtype)


def tiny_t5() -> T5EncoderModel:
    config = T5Config(vocab_size=50, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    return T5EncoderModel(config)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_same_weights_are_equal_in_any_precision(encoder: Encoder, dtype: torch.dtype) -> None:
    assert compare_towers(pipeline_tower(dtype), encoder) == "equal"


def test_both_forms_of_key_are_read(encoder: Encoder, tower: CLIPTextModel) -> None:
    bare = {name.removeprefix("text_model."): t for name, t in tower.state_dict().items()}
    prefixed = {f"text_model.{name}": tensor for name, tensor in bare.items()}
    assert compare_towers(bare, encoder) == compare_towers(prefixed, encoder) == "equal"


@pytest.mark.parametrize(
    "name", ["embeddings.token_embedding.weight", "encoder.layers.3.mlp.fc2.bias"]
)
def test_one_changed_number_is_different(encoder: Encoder, tower: CLIPTextModel, name: str) -> None:
    state = {key.removeprefix("text_model."): t for key, t in tower.state_dict().items()}
    state[name] = state[name].clone()
    state[name].view(-1)[-1] += 0.01
    assert compare_towers(state, encoder) == "different"


def test_only_layers_that_both_hold_count(encoder: Encoder, tower: CLIPTextModel) -> None:
    """As in SD 2.x, whose pipeline leaves out the last layer of the CLIP it came from."""
    fewer = {name: t for name, t in tower.state_dict().items() if "layers.3." not in name}
    assert compare_towers(fewer, encoder) == "equal"


def test_a_projection_is_compared_too(encoder: Encoder, tower: CLIPTextModel) -> None:
    projected = CLIPTextModelWithProjection(tower.config)
    state = {
        f"text_model.{k.removeprefix('text_model.')}": v for k, v in tower.state_dict().items()
    }
    own = torch.from_numpy(encoder.checkpoint.tensors["text_projection"].float32().T.copy())
    assert compare_towers({**state, "text_projection.weight": own}, encoder) == "equal"
    other = projected.state_dict()["text_projection.weight"]
    assert compare_towers({**state, "text_projection.weight": other}, encoder) == "different"


def test_weights_stored_in_half_and_loaded_as_bfloat16_are_equal(
    open_clip_folders: dict[str, Path],
) -> None:
    encoder = load_encoder(open_clip_folders["gelu"])
    halved = {
        name: torch.from_numpy(tensor.float32().copy()).half().bfloat16()
        for name, tensor in transformers_names(encoder).items()
    }
    assert compare_towers(halved, encoder) == "equal"


def transformers_names(encoder: Encoder) -> dict[str, Tensor]:
    """A few of the encoder's text weights, as transformers names them."""
    tensors = encoder.text_tower_tensors()
    return {
        "embeddings.token_embedding.weight": tensors["token_embedding.weight"],
        "encoder.layers.0.layer_norm1.weight": tensors["transformer.resblocks.0.ln_1.weight"],
        "encoder.layers.0.mlp.fc1.weight": tensors["transformer.resblocks.0.mlp.c_fc.weight"],
    }


def test_another_clip_is_different_and_another_kind_is_no_clip(encoder: Encoder) -> None:
    other = CLIPTextModel(
        CLIPTextConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    assert compare_towers(other, encoder) == "different"
    assert compare_towers(tiny_t5(), encoder) == "no CLIP"
    assert encoder.adopt_text_tower(tiny_t5()) == "no CLIP"


def test_an_adopted_tower_stands_in_memory_once(encoder: Encoder, tower: CLIPTextModel) -> None:
    before = encoder.encode_texts(TEXTS)
    assert encoder.adopt_text_tower(tower) == compare_towers(tower, encoder) == "shared"
    own = {tensor.array.ctypes.data for tensor in encoder.text_tower_tensors().values()}
    lent = {weight.data_ptr() for weight in tower.parameters()}
    assert lent <= own and len(own - lent) == 1  # the projection, which the pipeline has not
    assert np.array_equal(encoder.encode_texts(TEXTS), before)


def test_a_copy_of_an_adopted_tower_is_equal_and_not_shared(
    encoder: Encoder, tower: CLIPTextModel
) -> None:
    encoder.adopt_text_tower(tower)
    assert compare_towers(copy.deepcopy(tower), encoder) == "equal"


def test_a_tower_of_less_precision_is_not_adopted(encoder: Encoder) -> None:
    before = encoder.encode_texts(TEXTS)
    assert encoder.adopt_text_tower(pipeline_tower(torch.bfloat16)) == "equal"
    assert np.array_equal(encoder.encode_texts(TEXTS), before)


def test_a_half_precision_tower_with_every_value_is_adopted(encoder: Encoder) -> None:
    before = encoder.encode_texts(TEXTS)
    assert encoder.adopt_text_tower(pipeline_tower(torch.float16)) == "shared"
    assert np.array_equal(encoder.encode_texts(TEXTS), before)


def test_a_different_tower_is_not_adopted(encoder: Encoder, tower: CLIPTextModel) -> None:
    before = encoder.encode_texts(TEXTS)
    with torch.no_grad():
        next(tower.parameters()).add_(0.5)
    assert encoder.adopt_text_tower(tower) == "different"
    assert np.array_equal(encoder.encode_texts(TEXTS), before)


def test_an_encoder_with_another_text_tower_takes_none(
    two_way_folder: Path, tower: CLIPTextModel
) -> None:
    encoder = load_encoder(two_way_folder)
    assert encoder.adopt_text_tower(tower) == "different"
    assert encoder.adopt_text_tower(tiny_t5()) == "no CLIP"


@pytest.mark.parametrize("through", [torch.float32, torch.float16])
def test_weights_stored_in_eight_bits_are_the_librarys(
    open_clip_folders: dict[str, Path], through: torch.dtype
) -> None:
    encoder = load_encoder(open_clip_folders["gelu"])
    names = transformers_names(encoder)
    eight = {
        name: torch.from_numpy(t.float32().copy()).to(through).to(torch.float8_e4m3fn)
        for name, t in names.items()
    }
    assert compare_towers(eight, encoder) == "equal"
    first = next(iter(eight))
    eight[first] = (eight[first].float() * 1.5).to(torch.float8_e4m3fn)
    assert compare_towers(eight, encoder) == "different"
