"""An open_clip model whose text tower is not CLIP's own: both towers computed by open_clip.

For text towers that look both ways, pool elsewhere or come from another library. Knows only
complete open_clip folders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from index.encoder.vision import ImageTower
from index.errors import EncoderDamaged

if TYPE_CHECKING:
    import torch

_BATCH = 64


class TwoTowers(ImageTower, Protocol):
    """Any of open_clip's models, with its own text tower."""

    def encode_text(self, text: torch.Tensor, normalize: bool) -> torch.Tensor:
        """Embeddings `(n, width)` of rows of ids."""


@dataclass(frozen=True)
class WholeModel:
    """A loaded open_clip model with its tokenizer."""

    module: TwoTowers
    tokenize: Callable[[list[str]], torch.Tensor]

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit embeddings `(n, width)`; at least one text."""
        import torch

        with torch.inference_mode():
            rows = [
                self.module.encode_text(self.tokenize(list(texts[i : i + _BATCH])), normalize=True)
                for i in range(0, len(texts), _BATCH)
            ]
            return np.asarray(torch.cat(rows).float().numpy(), np.float32)


def load_whole_model(folder: Path) -> WholeModel:
    """The model that open_clip makes of the folder.

    Raises:
        EncoderDamaged: open_clip cannot; the hint is what it says.
    """
    import open_clip

    name = f"local-dir:{folder}"
    try:
        module = open_clip.create_model(name, precision="fp32").eval()
        return WholeModel(module, open_clip.get_tokenizer(name))
    except (RuntimeError, ValueError, OSError, KeyError, ImportError) as error:
        raise EncoderDamaged(
            f"open_clip cannot load the encoder in {folder.name}.", str(error).splitlines()[0]
        ) from error
