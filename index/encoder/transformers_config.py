"""A transformers CLIP configuration, said in open_clip's words.

Knows the two vocabularies of configuration and transformers' defaults, since its files leave out
what equals them; knows nothing of weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from index.errors import EncoderDamaged

_QUICK = {"quick_gelu": True, "gelu": False}
_EPS = 1e-5
_TEXT = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": _EPS,
}
_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": _EPS,
}

Config = Mapping[str, Any]


def model_config(config: Config) -> dict[str, Any]:
    """A `CLIPModel`'s configuration as an open_clip `model_cfg`.

    Raises:
        EncoderDamaged: another kind of model, or activations that open_clip cannot express.
    """
    if (kind := config.get("model_type")) != "clip":
        raise EncoderDamaged(
            f"The model is a {kind}, not a CLIP.", "Of transformers' models, CLIPModel can be read."
        )
    text = {**_TEXT, **(config.get("text_config") or config.get("text_config_dict") or {})}
    vision = {**_VISION, **(config.get("vision_config") or config.get("vision_config_dict") or {})}
    return {
        "embed_dim": config.get("projection_dim", 512),
        "vision_cfg": _vision(vision),
        "text_cfg": _text(text),
        "quick_gelu": _one_activation(text, vision["hidden_act"]),
    }


def with_text(config: Config, text_config: Config) -> dict[str, Any]:
    """An open_clip `model_cfg` whose text tower is the given `CLIPTextModel`.

    Raises:
        EncoderDamaged: the two towers' activations cannot be expressed together.
    """
    text = {**_TEXT, **text_config}
    native = not config["vision_cfg"].get("timm_model_name")  # timm's have their own activation
    wanted = config.get("quick_gelu", False) if native else _QUICK.get(text["hidden_act"])
    activation = next((name for name, quick in _QUICK.items() if quick == wanted), "")
    return {**config, "text_cfg": _text(text), "quick_gelu": _one_activation(text, activation)}


def _text(config: Config) -> dict[str, Any]:
    return {
        "context_length": config["max_position_embeddings"],
        "vocab_size": config["vocab_size"],
        "width": config["hidden_size"],
        "heads": config["num_attention_heads"],
        "layers": config["num_hidden_layers"],
        **_common(config),
    }


def _vision(config: Config) -> dict[str, Any]:
    return {
        "image_size": config["image_size"],
        "patch_size": config["patch_size"],
        "width": config["hidden_size"],
        "head_width": config["hidden_size"] // config["num_attention_heads"],
        "layers": config["num_hidden_layers"],
        **_common(config),
    }


def _common(config: Config) -> dict[str, Any]:
    eps = config["layer_norm_eps"]
    wide, width = config["intermediate_size"], config["hidden_size"]
    ratio = wide / width
    if int(width * ratio) != wide:  # open_clip rounds down
        ratio = (wide + 0.5) / width
    return {"mlp_ratio": ratio} | ({"norm_kwargs": {"eps": eps}} if eps != _EPS else {})


def _one_activation(text: Config, vision_activation: str) -> bool:
    activation = text["hidden_act"]
    if activation not in _QUICK or activation != vision_activation:
        raise EncoderDamaged(
            f"The encoder's activations ({activation}, {vision_activation}) are not CLIP's.",
            "Both towers use gelu, or both quick_gelu.",
        )
    return _QUICK[activation]
