"""Which encoder this is, and whether a model's text tower is the same one.

Two encoders are the same when they give every text and picture the same vector, whichever format
and precision their files have. Knows numbers and configurations; knows nothing of folders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from index.encoder import float8
from index.encoder.checkpoint import Checkpoint
from index.encoder.naming import Tensors, from_transformers
from index.encoder.tensors import Tensor, narrower, torch_tensors
from index.encoder.tokenizer import ClipTokenizer
from index.hashes import remembered, sha256_of

if TYPE_CHECKING:
    import torch

Verdict = Literal["shared", "equal", "different", "no CLIP"]
Tower: TypeAlias = "torch.nn.Module | Mapping[str, torch.Tensor]"

_VERSION = 1
_ROUNDED_TWICE = ("BF16", *float8.MANTISSA)
# What takes no part in an embedding, or is said elsewhere in the fingerprint.
_NO_PART = ("logit_scale", "logit_bias")
_SAID = {"image_size", "context_length", "vocab_size", "width", "layers"}
_TRAINING = {"timm_model_pretrained", "timm_drop", "timm_drop_path", "patch_dropout"}
_TRAINING |= {"hf_model_pretrained", "output_tokens", "pad_id"}
_DEFAULTS = {
    "vision_cfg": {"head_width": 64, "mlp_ratio": 4, "patch_size": 16, "timm_pool": "avg"}
    | {"timm_proj": "linear", "pool_type": "tok", "pos_embed_type": "learnable"}
    | {"attn_pooler_queries": 256, "attn_pooler_heads": 8},
    "text_cfg": {"heads": 8, "mlp_ratio": 4, "pool_type": "argmax", "proj_type": "linear"}
    | {"eos_id": 2, "hf_proj_type": "mlp", "hf_pooler_type": "mean_pooler"},
}


def fingerprint(checkpoint: Checkpoint) -> str:
    """A sha256 of weights, architecture, preprocessing and tokenizer, in hex.

    Weights count by their float32 values under one set of names, so that the bundled model and
    the open_clip folder exported from it have one fingerprint. Read once, then remembered.
    """
    what = f"encoder fingerprint {_VERSION}"
    return remembered(what, checkpoint.files, lambda: _fingerprint(checkpoint))


def compare_towers(tower: Tower, tensors: Tensors) -> Verdict:
    """How a text tower, or its state, compares with the encoder's, whose `tensors` these are.

    Of the layers that both hold, in whichever precision holds less. `shared` is the same memory;
    `no CLIP` has none of CLIP's layers.
    """
    return compare_tensors(tower_tensors(tower), tensors)


def compare_tensors(theirs: Tensors, tensors: Tensors) -> Verdict:
    """The same for a tower whose weights stand under our names already."""
    if "token_embedding.weight" not in theirs:
        return "no CLIP"
    both = theirs.keys() & tensors.keys()
    if "transformer.resblocks.0.ln_1.weight" not in both:
        return "different"
    if all(_is_same_memory(theirs[name], tensors[name]) for name in both - {"text_projection"}):
        return "shared"
    same = all(_is_equal(theirs[name], tensors[name]) for name in sorted(both))
    return "equal" if same else "different"


def tower_tensors(tower: Tower) -> dict[str, Tensor]:
    """A transformers text tower's weights under our names, in its own memory where it is ours."""
    state = tower if isinstance(tower, Mapping) else tower.state_dict()
    return from_transformers(torch_tensors(state))


def holds_exactly(theirs: Tensors, tensors: Tensors) -> bool:
    """Whether every text weight in `tensors`, the projection aside, is in `theirs` to the bit."""
    names = [name for name in tensors if is_text(name) and name != "text_projection"]
    return all(
        name in theirs
        and theirs[name].shape == tensors[name].shape
        and np.array_equal(theirs[name].float32(), tensors[name].float32())
        for name in names
    )


def is_text(name: str) -> bool:
    """Whether a weight is of the text tower."""
    return not name.startswith(("visual.", *_NO_PART))


def _is_same_memory(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.array.ctypes.data == other.array.ctypes.data


def _is_equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    dtype = narrower(one.dtype, other.dtype)
    if np.array_equal(one.rounded_to(dtype), other.rounded_to(dtype)):
        return True
    # Files are often stored in half precision before they become bfloat16 or less: twice rounded.
    wide = one if narrower(one.dtype, other.dtype) == other.dtype else other
    narrow = other if wide is one else one
    twice = Tensor(wide.rounded_to("F16"), "F16").rounded_to(dtype)
    return dtype in _ROUNDED_TWICE and np.array_equal(twice, narrow.array)


def _fingerprint(checkpoint: Checkpoint) -> str:
    digest = hashlib.sha256(json.dumps(_form(checkpoint), sort_keys=True).encode())
    for name, tensor in sorted(checkpoint.tensors.items()):
        if tensor.is_float and name not in _NO_PART:
            digest.update(f"\n{name} {list(tensor.shape)}\n".encode())
            for block in tensor.blocks():
                digest.update(np.ascontiguousarray(block, "<f4").data)
            tensor.forget()
    return digest.hexdigest()


def _form(checkpoint: Checkpoint) -> dict[str, Any]:
    """All of an encoder but its weights, said in one way."""
    return {
        "version": _VERSION,
        "width": checkpoint.width,
        "quick_gelu": bool(checkpoint.config.get("quick_gelu")),
        "preprocessing": checkpoint.preprocessing.as_config(),
        "tokenizer": _tokenizer(checkpoint),
        **{tower: _architecture(checkpoint.config[tower], tower) for tower in _DEFAULTS},
    }


def _architecture(config: Mapping[str, Any], tower: str) -> dict[str, Any]:
    defaults = _DEFAULTS[tower]
    told = {key: config[key] for key in config.keys() - _SAID - _TRAINING}
    odd = {key: value for key, value in told.items() if value and value != defaults.get(key)}
    return {key: float(value) if type(value) is int else value for key, value in odd.items()}


def _tokenizer(checkpoint: Checkpoint) -> str | list[str]:
    length = checkpoint.text.get("context_length", 77)
    if checkpoint.vocabulary:
        return ClipTokenizer(checkpoint.vocabulary, length).fingerprint()
    tokenizers = [path for path in checkpoint.files if "token" in path.name]
    return [str(length), *(sha256_of(path) for path in tokenizers)]
