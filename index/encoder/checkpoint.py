"""What any encoder's folder comes to: one configuration, one preprocessing, weights by one name.

Knows open_clip's configuration, which serves as the common form; knows nothing of folders, nor of
how a tower computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from index.encoder.naming import Tensors
from index.encoder.preprocessing import Preprocessing

# What sets a text tower's size, and what changes nothing about one that is causal.
_SIZES = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
_USUAL = _SIZES | {"pad_id", "eos_id", "output_tokens", "hf_model_pretrained", "hf_proj_type"}
_PLAIN = {"pool_type": "argmax", "proj_type": "linear", "hf_pooler_type": "mean_pooler"}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An encoder as read from its folder; the weights are mapped, not loaded.

    config: an open_clip `model_cfg` (`embed_dim`, `vision_cfg`, `text_cfg`, `quick_gelu`)
    tensors: both towers under the names of `index.encoder.naming`
    vocabulary: files of CLIP's byte-pair vocabulary; None when open_clip's own tokenizer is needed
    files: all that was read, so that a change of any is noticed
    """

    folder: Path
    config: Mapping[str, Any]
    preprocessing: Preprocessing
    tensors: Tensors
    vocabulary: tuple[Path, ...] | None
    files: tuple[Path, ...]

    @property
    def width(self) -> int:
        """The dimensions of an embedding."""
        return int(self.config["embed_dim"])

    @property
    def text(self) -> Mapping[str, Any]:
        """The text tower's configuration."""
        text: Mapping[str, Any] = self.config["text_cfg"]
        return text

    @property
    def has_causal_text(self) -> bool:
        """Whether the text tower is CLIP's own: causal, pooled at the end of text, projected.

        Anything in its configuration that is not known to leave that so makes it another tower.
        """
        odd = {key: value for key, value in self.text.items() if value and key not in _USUAL}
        if set(odd.pop("norm_kwargs", {})) - {"eps"}:
            return False
        plain = all(_PLAIN.get(key) == value for key, value in odd.items())
        return plain and self.vocabulary is not None and "text_projection" in self.tensors
