"""Matching: which of a model's text towers is a library's CLIP, told by their weights on disk.

Reads the towers alone, without torch; knows nothing of libraries beyond their encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from index.encoder.naming import from_open_clip, from_transformers
from index.encoder.tensors import read_tensors
from sovgen.models.family import CLIP_TOWERS
from sovgen.models.layout import Layout
from sovgen.models.originals import ORIGINALS

if TYPE_CHECKING:
    from index.encoder import Encoder
    from index.encoder.tensors import Tensor


def tower_verdicts(layout: Layout, encoder: Encoder) -> dict[str, str]:
    """For each text tower `equal`, `different` or `no CLIP`, as `encoder_match` of a picture."""
    return {
        tower: encoder.compare_stored(_tensors(layout, tower))
        if layout.parts[tower] in CLIP_TOWERS
        else "no CLIP"
        for tower in layout.towers
    }


def _tensors(layout: Layout, tower: str) -> dict[str, Tensor]:
    if not layout.is_file:
        read = [read_tensors(file) for file in layout.weights[tower].files]
        return from_transformers({name: t for part in read for name, t in part.items()})
    stored = read_tensors(layout.path)
    prefixes = [p for o in ORIGINALS if o.kind is layout.kind for p in o.prefixes.get(tower, ())]
    under = {n[len(p) :]: t for p in prefixes for n, t in stored.items() if n.startswith(p)}
    named = from_transformers(under)
    return named if "token_embedding.weight" in named else from_open_clip(under)
