"""Encoders: the CLIP that conditions pictures also finds them.

`load_encoder` reads one from a folder, `export_clip` writes one as an open_clip folder,
`compare_towers` says whether a model was conditioned by it. Importing this brings in numpy, and
neither torch nor a library of models; encoding a text with a CLIP does not either.
"""

from __future__ import annotations

from index.encoder.clip import Encoder
from index.encoder.export import export_clip
from index.encoder.load import compare_towers, load_encoder

__all__ = ["Encoder", "compare_towers", "export_clip", "load_encoder"]
