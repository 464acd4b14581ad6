"""Mapped weights have the values that torch reads, in every format, and rounds to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from index.encoder.tensors import read_tensors, to_torch, torch_tensors

FORMATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
EIGHT = [name for name in FORMATS if name.startswith("F8")]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    spread = torch.randn(64, 33) * torch.logspace(-8, 4, 33)
    state = {name: spread.to(dtype) for name, dtype in FORMATS.items()}
    state |= {"none": torch.empty(0, 3), "one": torch.tensor(2.5), "count": torch.tensor(7)}
    path = tmp_path_factory.mktemp("tensors") / "weights.safetensors"
    save_file(state, path)
    return path


def test_values_shapes_and_formats_are_torchs(file: Path) -> None:
    mapped, loaded = read_tensors(file), load_file(file)
    assert mapped.keys() == loaded.keys()
    for name, tensor in mapped.items():
        assert tensor.shape == tuple(loaded[name].shape)
        exact = loaded[name].float()
        assert np.array_equal(tensor.float32(), exact.numpy(), equal_nan=True)
        again = to_torch(tensor)
        assert again.dtype == loaded[name].dtype
        assert torch.equal(again.float().nan_to_num(7), exact.nan_to_num(7))
    assert not mapped["count"].is_float and mapped["BF16"].is_float


@pytest.mark.parametrize("wide", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("narrow", ["F16", "BF16", *EIGHT])
def test_rounding_is_torchs(file: Path, wide: str, narrow: str) -> None:
    rounded = read_tensors(file)[wide].rounded_to(narrow)
    values = load_file(file)[wide]
    exact = torch_tensors({"x": values.to(FORMATS[narrow])})["x"].array
    # What torch makes of more than can be held differs between its versions.
    held = (values.abs() <= torch.finfo(FORMATS[narrow]).max).numpy() | (narrow not in EIGHT)
    assert np.array_equal(rounded[held], exact[held], equal_nan=narrow == "F16")


@pytest.mark.parametrize("name", EIGHT)
def test_numbers_of_eight_bits_and_what_lies_between_them_are_torchs(name: str) -> None:
    every = torch.arange(256, dtype=torch.uint8).view(FORMATS[name])
    [tensor] = torch_tensors({"x": every}).values()
    assert np.array_equal(tensor.float32(), every.float().numpy(), equal_nan=True)
    finite = every.float()[every.float().isfinite()].sort().values
    between = (finite[1:] + finite[:-1]) / 2
    rounded = torch_tensors({"x": between})["x"].rounded_to(name)
    assert np.array_equal(rounded, between.to(FORMATS[name]).view(torch.uint8).numpy())


@pytest.mark.parametrize("name", FORMATS)
def test_forgotten_numbers_are_still_there(file: Path, name: str) -> None:
    tensor, exact = read_tensors(file)[name], load_file(file)[name].float().numpy()
    for _ in range(2):
        assert np.array_equal(tensor.float32(), exact, equal_nan=True)
        tensor.forget()
    tensor[60:].forget()
    assert np.array_equal(np.concatenate(list(tensor.blocks())), exact.reshape(-1), equal_nan=True)
    assert np.array_equal(tensor.transposed.float32(), exact.T, equal_nan=True)
    assert np.array_equal(
        tensor.rows(np.array([[3, 3], [0, 9]])), exact[[[3, 3], [0, 9]]], equal_nan=True
    )


def test_a_modules_weights_are_shared_and_its_counters_left_out() -> None:
    module = torch.nn.BatchNorm2d(4)
    state = torch_tensors(module.state_dict())
    assert "num_batches_tracked" not in state
    with torch.no_grad():
        module.weight.fill_(5)
    assert (state["weight"].float32() == 5).all()
    assert state["weight"].array.ctypes.data == module.weight.data_ptr()
