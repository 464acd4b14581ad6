"""Settings: what a person set once and does not want to type again.

One TOML file with five keys, found in the user's config folder or named by SOVGEN_CONFIG. A key
given on the command line comes first, then SOVGEN_LIBRARY (for the library alone), then the file,
then the default. This file knows nothing of what a library or a model is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sovgen.errors import BadSettings

KEYS = ("library", "model", "encoder", "device", "dtype")


@dataclass(frozen=True)
class Settings:
    """The library's folder, and defaults that are None where nothing was set.

    model, encoder: a name, or a path with `~` expanded
    device, dtype: as in Recipe
    """

    library: Path
    model: str | None = None
    encoder: str | None = None
    device: str | None = None
    dtype: str | None = None


def read_settings(
    library: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Put together what the command line, the environment and the config file say.

    Raises BadSettings, naming the file and the line, for TOML that cannot be read, an unknown
    key, or a value that is not text.
    """
    environ = os.environ if environ is None else environ
    written = _read_config(config_file(environ), required=bool(environ.get("SOVGEN_CONFIG")))
    chosen = library or environ.get("SOVGEN_LIBRARY") or written.pop("library", None)
    written.pop("library", None)
    folder = Path(chosen).expanduser() if chosen else _default_library()
    return Settings(library=Path(os.path.abspath(folder)), **written)


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """The file that SOVGEN_CONFIG names, else config.toml in the user's config folder."""
    named = (os.environ if environ is None else environ).get("SOVGEN_CONFIG")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path("sovgen", appauthor=False) / "config.toml"


def _default_library() -> Path:
    from platformdirs import user_data_path

    return user_data_path("sovgen", appauthor=False) / "library"


def _read_config(path: Path, required: bool) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not required:
            return {}
        raise BadSettings(
            f"SOVGEN_CONFIG names {path}, which does not exist.", "Write it, or unset the variable."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(
            f"The config file {path} cannot be read: {error}.", "Make it readable UTF-8 text."
        ) from error
    return _checked(path, text)


def _checked(path: Path, text: str) -> dict[str, str]:
    import tomllib

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(
            f"The config file {path} is not TOML: {error}.", 'A line reads: library = "/a/folder"'
        ) from error
    for key, value in values.items():
        if key not in KEYS:
            raise _refused(path, text, key, "is unknown", f"Known keys: {', '.join(KEYS)}.")
        if not isinstance(value, str) or not value:
            raise _refused(path, text, key, "must be text", f'Write it as {key} = "…".')
    return {key: _located(path, key, value) for key, value in values.items()}


def _located(path: Path, key: str, value: str) -> str:
    """A library's path is meant from the config file's own folder, and `~` is the home folder."""
    if key == "library":
        return str(path.parent.absolute() / Path(value).expanduser())
    return os.path.expanduser(value) if key in ("model", "encoder") else value


def _refused(path: Path, text: str, key: str, what: str, hint: str) -> BadSettings:
    opens = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[].=]""")
    lines = (n for n, line in enumerate(text.splitlines(), 1) if opens.match(line))
    return BadSettings(f"The key {key!r} {what} ({path}, line {next(lines, 1)}).", hint)
