"""What fits where: sizes alone decide."""

from __future__ import annotations

import pytest

from sovgen.models.room import decoding_bytes, free_bytes, must_move, weight_bytes
from tests.tiny import sd1


def test_weights_are_counted_in_the_format_they_are_in() -> None:
    pipe = sd1()
    numbers = sum(
        p.numel() for part in (pipe.unet, pipe.vae, pipe.text_encoder) for p in part.parameters()
    )
    assert weight_bytes(pipe) == 4 * numbers
    pipe.unet.bfloat16()
    assert weight_bytes(pipe) == 4 * numbers - 2 * pipe.unet.num_parameters()


@pytest.mark.parametrize(
    ("weights", "free", "moves"),
    [(7, 10, False), (9, 10, True), (10**12, None, False)],
)
def test_weights_move_when_they_leave_too_little(
    weights: int, free: int | None, moves: bool
) -> None:
    assert must_move(weights, free) is moves


def test_decoding_grows_with_pixels_and_numbers() -> None:
    config = sd1().vae.config
    small = decoding_bytes(config, 64, 64, 2)
    assert decoding_bytes(config, 128, 64, 2) == 2 * small == decoding_bytes(config, 64, 64, 4)


def test_this_machine_tells_what_is_free() -> None:
    free = free_bytes("cpu")
    assert free is None or free > 2**20
