"""Checkpoint: everything that a training needs to go on exactly where it was.

    RUN/LATEST                          the name of the newest whole checkpoint
    RUN/checkpoints/step-00001200/
        state.json                      plain values, and the sha256 of every shard
        weights-0000.safetensors ...    at most 16 MiB each; larger tensors are cut

A checkpoint is written under a temporary name, synced, renamed, and only then named by LATEST, so
a kill or a full disk at any moment leaves the one before. Only safetensors and JSON are read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sovgen.errors import BadCheckpoint, NoRoom

SHARD_BYTES = 16 * 2**20
HEADER_BYTES = 2**16  # left free in each shard for safetensors' own header
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by group ("weights", "average", "optimiser") and name; `state` is plain JSON."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, object]


def write_checkpoint(run: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Writes it whole or not at all and returns its folder. Raises NoRoom when the disk is full."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    if folder == latest_checkpoint(run):
        return folder
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_parts(partial, checkpoint)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
        _write_synced(run / ".LATEST.partial", folder.name.encode())
        os.replace(run / ".LATEST.partial", run / "LATEST")
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom(
                f"No room for the checkpoint of step {step} in {run}.",
                "The one before stands; make room, and run the same command again.",
            ) from error
        raise
    _sweep(run / "checkpoints", folder)
    return folder


def latest_checkpoint(run: Path) -> Path | None:
    """The folder of the newest whole checkpoint, or None when the run has none yet."""
    pointer = run / "LATEST"
    return run / "checkpoints" / pointer.read_text().strip() if pointer.exists() else None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads and verifies it. Raises BadCheckpoint when a file is missing, torn or changed."""
    try:
        state = json.loads((folder / "state.json").read_text())
        pieces = {name: _read_part(folder / name, sha) for name, sha in state["sha256"].items()}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BadCheckpoint(
            f"The checkpoint {folder} cannot be read: {error}.",
            "Name an older one in the file LATEST beside it, or start from a model folder.",
        ) from error
    return Checkpoint(_joined(pieces), state["values"])


def check_architecture(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], source: Path
) -> None:
    """Raises BadCheckpoint, naming the first tensor that differs, unless both fit each other."""
    for name in sorted(expected.keys() | found.keys()):
        here, there = (tuple(t[name].shape) if name in t else None for t in (expected, found))
        if here != there:
            raise BadCheckpoint(
                f"{source} is of another architecture: {name} is {there or 'missing'} there "
                f"and {here or 'unknown'} here.",
                "Train into a new run folder, or start from a model of the same architecture.",
            )


def _write_parts(folder: Path, checkpoint: Checkpoint) -> None:
    sha256 = {}
    for group, tensors in checkpoint.tensors.items():
        for i, shard in enumerate(_shards(tensors)):
            data = save(shard, metadata={"format": "pt"})
            name = f"{group}-{i:04d}.safetensors"
            _write_synced(folder / name, data)
            sha256[name] = hashlib.sha256(data).hexdigest()
    state = {"values": dict(checkpoint.state), "sha256": sha256}
    _write_synced(folder / "state.json", json.dumps(state, indent=1).encode())


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _shards(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The tensors in groups of at most SHARD_BYTES."""
    shard: dict[str, Tensor] = {}
    room = SHARD_BYTES - HEADER_BYTES
    for name, piece in _pieces(tensors):
        size = piece.nbytes + len(name) + 128
        if size > room and shard:
            yield shard
            shard, room = {}, SHARD_BYTES - HEADER_BYTES
        shard[name] = piece
        room -= size
    if shard:
        yield shard


def _pieces(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Small tensors as they are; large ones flat and in pieces, named NAME#I#SHAPE."""
    limit = SHARD_BYTES // 2
    for name, tensor in sorted(tensors.items()):
        whole = tensor.detach().cpu().contiguous()
        if whole.nbytes <= limit:
            yield name, whole
            continue
        shape = "x".join(str(n) for n in whole.shape)
        flat = whole.view(-1)
        step = limit // whole.element_size()
        for i, start in enumerate(range(0, len(flat), step)):
            yield f"{name}#{i:05d}#{shape}", flat[start : start + step].clone()


def _read_part(path: Path, sha256: str) -> dict[str, Tensor]:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path.name} is damaged")
    return load(data)


def _joined(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Tensors by group and name from shards by file; the inverse of `_shards`."""
    groups: dict[str, dict[str, Tensor]] = {}
    cut: dict[tuple[str, str, str], list[Tensor]] = {}
    for file in sorted(parts):
        group = file.rsplit("-", 1)[0]
        for key in sorted(parts[file]):
            name, *piece = key.split("#")
            if piece:
                cut.setdefault((group, name, piece[1]), []).append(parts[file][key])
            else:
                groups.setdefault(group, {})[name] = parts[file][key]
    for (group, name, shape), pieces in cut.items():
        whole = torch.cat(pieces).view([int(n) for n in shape.split("x")])
        groups.setdefault(group, {})[name] = whole
    return groups


def _sweep(folder: Path, newest: Path) -> None:
    """Keeps the newest checkpoints; what lies about half-written is nobody's."""
    whole = sorted(f for f in folder.iterdir() if not f.name.startswith("."))
    for old in whole[:-KEPT]:
        if old != newest:
            shutil.rmtree(old)
