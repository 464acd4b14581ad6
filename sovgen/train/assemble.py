"""Assemble: a whole model folder from a base model and what runs have learned since.

Parts come from RUN/model of each run, later runs winning; a denoiser that was kept in shards
becomes one file. SHA256SUMS is written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from sovgen.errors import BadCheckpoint, BadSettings
from sovgen.train.room import room_told

INDEX = ".safetensors.index.json"


def assemble(base: Path, runs: Sequence[Path], folder: Path) -> list[str]:
    """Writes the model folder, whole or not at all, and returns the names of the replaced parts.

    Raises BadSettings when `folder` exists, BadCheckpoint when a run has written no part yet or
    one that no model has, NoRoom.
    """
    if folder.exists():
        raise BadSettings(f"{folder} exists already.", "Name another folder.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with room_told(f"No room for the model in {folder.parent}.", "Make room for it."):
            replaced = _assembled(base, runs, partial)
            os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replaced


def _assembled(base: Path, runs: Sequence[Path], partial: Path) -> list[str]:
    """The model folder as it is to be; the names of the replaced parts."""
    shutil.copytree(base, partial)
    replaced = []
    for run in runs:
        parts = [p for p in sorted((run / "model").glob("*")) if not p.name.startswith(".")]
        if not parts:
            raise BadCheckpoint(
                f"{run} has written no part yet.", "A run does when it ends and with every sheet."
            )
        for part in parts:
            if not (base / part.name).is_dir():
                raise BadCheckpoint(
                    f"{part} is no part of {base.name}.",
                    "A LoRA or a student stays beside its model: sovgen generate --lora.",
                )
            shutil.rmtree(partial / part.name, ignore_errors=True)
            shutil.copytree(part, partial / part.name)
            replaced.append(part.name)
    for index in partial.rglob(f"*{INDEX}"):
        _join(index)
    _write_sums(partial)
    return replaced


def _join(index: Path) -> None:
    """Shards become the one file that they are shards of."""
    shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    tensors = {k: w for s in shards for k, w in load_file(index.parent / s).items()}
    whole = index.with_name(index.name.removesuffix(INDEX) + ".safetensors")
    save_file(tensors, whole, metadata={"format": "pt"})
    for shard in shards:
        (index.parent / shard).unlink()
    index.unlink()


def _write_sums(folder: Path) -> None:
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != "SHA256SUMS"]
    lines = [
        f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(folder).as_posix()}\n"
        for f in files
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
