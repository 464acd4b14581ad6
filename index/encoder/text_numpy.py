"""CLIP's causal text tower in numpy: no torch, no copy of the weights, no token behind the end.

A causal tower's state at the end of text depends on nothing behind it, so that only the tokens up
to there are run, and only their rows of the embedding are read. After open_clip's `TextTransformer`
(Radford et al. 2021), to float32 rounding. Knows nothing of files or words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from index.encoder.checkpoint import Checkpoint
from index.encoder.naming import Tensors
from index.errors import EncoderDamaged

Floats = NDArray[np.float32]

_BATCH = 64  # rows at a time; bounds the memory of the widest layer to about 60 MB

# Eigen's rational approximation of erf for float32: within 4e-7 everywhere.
_ERF_OVER = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_UNDER = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


class CausalText:
    """A text tower over mapped or shared weights."""

    def __init__(self, checkpoint: Checkpoint, tensors: Tensors) -> None:
        """Take the shape from the checkpoint and the weights from `tensors`.

        Raises:
            EncoderDamaged: the weights do not fit the configuration.
        """
        _refuse_misfits(checkpoint, tensors)
        self.tensors = tensors
        self._layers = checkpoint.text.get("layers", 12)
        self._heads = checkpoint.text.get("heads", 8)
        self._quick = bool(checkpoint.config.get("quick_gelu"))
        self._eps = (checkpoint.text.get("norm_kwargs") or {}).get("eps", 1e-5)

    def __call__(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Unit embeddings `(n, width)` of rows of ids, each ending with the end of text."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        embeddings = np.empty((len(rows), self.tensors["text_projection"].shape[1]), np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            embeddings[batch] = self._embed([rows[i] for i in batch])
        norms: Floats = np.linalg.norm(embeddings, axis=1, keepdims=True)
        return embeddings / norms

    def _embed(self, rows: Sequence[Sequence[int]]) -> Floats:
        ends = np.array([len(row) - 1 for row in rows])
        ids = np.zeros((len(rows), ends[-1] + 1), np.int64)  # rows come by length
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        states = self._states(ids)[np.arange(len(rows)), ends]
        projected: Floats = self._norm(states, "ln_final") @ self._weights("text_projection")
        return projected

    def _states(self, ids: NDArray[np.int64]) -> Floats:
        """States `(n, tokens, width)` behind the last layer."""
        length = ids.shape[1]
        x = self.tensors["token_embedding.weight"].rows(ids)
        x = x + self.tensors["positional_embedding"][:length].float32()
        hidden = np.triu(np.full((length, length), -np.inf, np.float32), 1)
        for layer in range(self._layers):
            block = f"transformer.resblocks.{layer}"
            x = x + self._attend(self._norm(x, f"{block}.ln_1"), f"{block}.attn", hidden)
            wide = self._linear(self._norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
            x = x + self._linear(self._activate(wide), f"{block}.mlp.c_proj")
            self._forget(f"{block}.")
        return x

    def _forget(self, block: str) -> None:
        # A cold search holds one layer at a time; the next one finds them in the system's cache.
        for name, tensor in self.tensors.items():
            if name.startswith(block):
                tensor.forget()

    def _attend(self, x: Floats, name: str, hidden: Floats) -> Floats:
        query, key, value = self._projected(x, name)
        scores = query @ key.swapaxes(-1, -2) / np.float32(np.sqrt(query.shape[-1])) + hidden
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ value
        return self._linear(mixed.swapaxes(1, 2).reshape(x.shape), f"{name}.out_proj")

    def _projected(self, x: Floats, name: str) -> Iterator[Floats]:
        """Query, key and value, each `(n, heads, tokens, width / heads)`."""
        for part in ("q", "k", "v"):
            weight = self._weights(f"{name}.in_proj_weight.{part}")
            y = x @ weight.T + self._weights(f"{name}.in_proj_bias.{part}")
            yield y.reshape(*x.shape[:2], self._heads, -1).swapaxes(1, 2)

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self._weights(f"{name}.weight").T + self._weights(f"{name}.bias")

    def _norm(self, x: Floats, name: str) -> Floats:
        centred: Floats = x - x.mean(-1, keepdims=True)
        variance: Floats = (centred * centred).mean(-1, keepdims=True)
        unit: Floats = centred / np.sqrt(variance + np.float32(self._eps))
        return unit * self._weights(f"{name}.weight") + self._weights(f"{name}.bias")

    def _activate(self, x: Floats) -> Floats:
        if not self._quick:
            return x * np.float32(0.5) * (1 + erf(x * np.float32(np.sqrt(0.5))))
        with np.errstate(over="ignore"):  # far below zero, where the result is zero anyway
            slope: Floats = 1 / (1 + np.exp(np.float32(-1.702) * x))
        return x * slope

    def _weights(self, name: str) -> Floats:
        return self.tensors[name].float32()


def _refuse_misfits(checkpoint: Checkpoint, tensors: Tensors) -> None:
    for name, shape in _shapes(checkpoint).items():
        if name not in tensors or tensors[name].shape != shape:
            raise EncoderDamaged(
                f"The text tower of {checkpoint.folder.name} does not fit its configuration.",
                f"{name} should be {shape}; copy the folder again from where it came from.",
            )


def _shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    text = checkpoint.text
    width = text.get("width", 512)
    wide = int(width * text.get("mlp_ratio", 4))
    layer = {"attn.out_proj.weight": (width, width), "attn.out_proj.bias": (width,)}
    layer |= {f"attn.in_proj_weight.{part}": (width, width) for part in "qkv"}
    layer |= {f"attn.in_proj_bias.{part}": (width,) for part in "qkv"}
    layer |= {f"ln_{i}.{kind}": (width,) for i in (1, 2) for kind in ("weight", "bias")}
    layer |= {"mlp.c_fc.weight": (wide, width), "mlp.c_fc.bias": (wide,)}
    layer |= {"mlp.c_proj.weight": (width, wide), "mlp.c_proj.bias": (width,)}
    blocks = [f"transformer.resblocks.{i}" for i in range(text.get("layers", 12))]
    return {
        "token_embedding.weight": (text.get("vocab_size", 49408), width),
        "positional_embedding": (text.get("context_length", 77), width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        "text_projection": (width, checkpoint.width),
        **{f"{block}.{name}": shape for block in blocks for name, shape in layer.items()},
    }


def erf(x: Floats) -> Floats:
    """The error function."""
    x = np.clip(x, -4, 4)
    square: Floats = x * x
    return x * _horner(square, _ERF_OVER) / _horner(square, _ERF_UNDER)


def _horner(x: Floats, coefficients: Sequence[float]) -> Floats:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + np.float32(coefficient)
    return total
