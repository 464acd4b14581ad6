"""Finding an encoder by name or folder, and refusing one whose published files were changed.

Knows the bundled model's name and where sums stand; knows nothing of what an encoder computes.
"""

from __future__ import annotations

from pathlib import Path

from index.bundled import BUNDLED, bundled_model
from index.encoder.checkpoint import Checkpoint
from index.encoder.clip import Encoder
from index.encoder.folders import read_checkpoint
from index.encoder.identity import Tower, Verdict
from index.errors import EncoderDamaged
from index.hashes import changed_files, published_sums


def load_encoder(source: str | Path | None = None) -> Encoder:
    """The encoder in a folder; without one, or by the name `sovgen-mini`, the bundled encoder.

    Opens files and maps weights; towers are loaded when they are first used. A folder that
    publishes a SHA256SUMS is checked against it.

    Raises:
        EncoderMissing: no such folder, or no encoder in it
        EncoderDamaged: truncated, changed, a pickle, or a kind that cannot be read
    """
    if source is None or str(source) == BUNDLED:
        return Encoder(_bundled(), BUNDLED, BUNDLED)
    folder = Path(source).expanduser().resolve()
    checkpoint = read_checkpoint(folder)
    _refuse_changes(checkpoint)
    return Encoder(checkpoint, folder.name, str(folder))


def compare_towers(tower: Tower, encoder: Encoder) -> Verdict:
    """How a text encoder, or its state dict, compares with the encoder's text tower.

    Of the layers that both hold, in whichever precision holds less:
    `shared` when they lie in the same memory, `equal`, `different`; `no CLIP` for another kind.
    """
    return encoder.compare_tower(tower)


def _bundled() -> Checkpoint:
    folder = bundled_model()
    checkpoint = read_checkpoint(folder)
    if not published_sums(folder):
        raise EncoderDamaged(f"{BUNDLED} has lost its SHA256SUMS.", "Install sovgen again.")
    _refuse_changes(checkpoint)
    return checkpoint


def _refuse_changes(checkpoint: Checkpoint) -> None:
    if changed := changed_files(checkpoint.folder, checkpoint.files):
        raise EncoderDamaged(
            f"{checkpoint.folder.name}/{changed[0]} is not the file that was published.",
            "It was damaged or changed after its SHA256SUMS was written; copy the folder again.",
        )
