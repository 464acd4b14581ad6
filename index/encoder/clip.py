"""An encoder: texts and pictures to unit vectors of one space.

Texts need no torch when the text tower is CLIP's own; pictures bring torch in at first use. Knows
which tower does what; knows nothing of files, folders or the library.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index.encoder import identity
from index.encoder.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from index.encoder.naming import Tensors
    from index.encoder.text_numpy import CausalText
    from index.encoder.tokenizer import ClipTokenizer
    from index.encoder.vision import ImageTower
    from index.encoder.whole_model import WholeModel


class Encoder:
    """Both towers of a CLIP, each loaded when it is first needed. Threads may share one.

    name: of the model, for people
    source: what `load_encoder` takes to get it again: a bundled name or an absolute path
    checkpoint: what it was read from
    """

    def __init__(self, checkpoint: Checkpoint, name: str, source: str) -> None:
        """Take the towers from a checkpoint."""
        self.name = name
        self.source = source
        self.checkpoint = checkpoint
        self._lock = threading.RLock()
        self._text: CausalText | None = None
        self._words: ClipTokenizer | None = None
        self._image: ImageTower | None = None
        self._whole: WholeModel | None = None

    def __repr__(self) -> str:
        """Name and the beginning of the fingerprint."""
        return f"<Encoder {self.name} {self.fingerprint[:16]}>"

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 in hex, equal for every folder that gives the same vectors."""
        return identity.fingerprint(self.checkpoint)

    @property
    def width(self) -> int:
        """The dimensions of a vector."""
        return self.checkpoint.width

    @property
    def max_tokens(self) -> int:
        """The tokens a text may have, its start and end included; more are cut off."""
        return int(self.checkpoint.text.get("context_length", 77))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit rows `(n, width)`, one per text."""
        if not len(texts):
            return np.empty((0, self.width), np.float32)
        if not self.checkpoint.has_causal_text:
            return self._whole_model.embed_texts(texts)
        return self._text_tower(self._tokenizer(texts))

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Unit rows `(n, width)`, one per picture.

        A large tower computes in bfloat16 on a CPU that has it, and no row depends on the others.
        """
        from index.encoder.vision import embed_images

        return embed_images(self._image_tower, self.checkpoint, images)

    def adopt_text_tower(self, tower: torch.nn.Module) -> identity.Verdict:
        """Use a loaded pipeline's text encoder as the text tower, so that it is in memory once.

        Only a tower on the CPU with every weight equal to the bit is taken, so that no vector
        changes; it must not be altered afterwards. Returns how the two compare then: `shared`
        when it was taken, else what `compare_towers` says.
        """
        if not self.checkpoint.has_causal_text:
            return "different" if identity.tower_tensors(tower) else "no CLIP"
        theirs = identity.tower_tensors(tower)
        on_cpu = all(weight.device.type == "cpu" for weight in tower.parameters())
        if on_cpu and identity.holds_exactly(theirs, self.text_tower_tensors()):
            own = {"text_projection": self.checkpoint.tensors["text_projection"]}
            self._text_tower.tensors = {**theirs, **own}
        return self.compare_tower(tower)

    def compare_tower(self, tower: identity.Tower) -> identity.Verdict:
        """How a model's text tower, or its state, compares with this one's."""
        return identity.compare_towers(tower, self.text_tower_tensors())

    def compare_stored(self, tower: Tensors) -> identity.Verdict:
        """The same for a tower's weights under our names, as they lie on disk."""
        return identity.compare_tensors(tower, self.text_tower_tensors())

    def text_tower_tensors(self) -> Tensors:
        """The text tower's weights by name, as they are in use: mapped, or a pipeline's own."""
        if self.checkpoint.has_causal_text:
            return self._text_tower.tensors
        tensors = self.checkpoint.tensors
        return {name: tensor for name, tensor in tensors.items() if identity.is_text(name)}

    @property
    def _text_tower(self) -> CausalText:
        from index.encoder.text_numpy import CausalText

        with self._lock:
            if self._text is None:
                tensors = self.checkpoint.tensors
                text = {name: tensors[name] for name in tensors if identity.is_text(name)}
                self._text = CausalText(self.checkpoint, text)
            return self._text

    @property
    def _tokenizer(self) -> ClipTokenizer:
        from index.encoder.tokenizer import ClipTokenizer

        with self._lock:
            if self._words is None:
                vocabulary = self.checkpoint.vocabulary or ()
                self._words = ClipTokenizer(vocabulary, self.max_tokens)
            return self._words

    @property
    def _image_tower(self) -> ImageTower:
        from index.encoder.vision import load_image_tower

        if not self.checkpoint.has_causal_text:
            return self._whole_model.module
        with self._lock:
            if self._image is None:
                self._image = load_image_tower(self.checkpoint)
            return self._image

    @property
    def _whole_model(self) -> WholeModel:
        from index.encoder.whole_model import load_whole_model

        with self._lock:
            if self._whole is None:
                self._whole = load_whole_model(self.checkpoint.folder)
            return self._whole
