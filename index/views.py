"""Views: what a question in SQL may see of a library, and nothing else.

Each is one SELECT over the catalogue. Pictures in the trash and in hidden sets, and hidden sets
themselves, are in none of them. docs/sql.md lists the columns.
"""

from __future__ import annotations

from index.making import SETTINGS
from index.view import COLUMNS

_SHOWN = "(SELECT seq, id FROM library WHERE NOT hidden) shown ON shown.seq = picture"


def _select(columns: str, source: str) -> str:
    return f"SELECT {columns} FROM {source}"  # noqa: S608 - constants of this file


def _of_pictures(columns: str, table: str) -> str:
    """Rows of a table about pictures, with the picture's id in place of its number."""
    return _select(f"id, {columns}", f"{table} JOIN {_SHOWN}")


VIEWS = {
    "library": _select(", ".join(COLUMNS), "library WHERE NOT hidden"),
    "files": _of_pictures(
        "path, inside, main, file_sha256, bytes, make_timestamp_ns(mtime_ns) AS modified", "files"
    ),
    "makings": _of_pictures(
        "newest, producer, prompt, negative, model, model_hash, sampler, steps, guidance, seed, "
        f"width, height, device, dtype, {', '.join(SETTINGS)}, duration, encoder_match, safety, "
        "made + to_minutes(made_offset) AS made, extra",
        "makings",
    ),
    "tags": _of_pictures("tag, source, score", "tags"),
    "colours": _of_pictures("rank, name, hex, share", "colours"),
    "sets": _select(
        "name, created, count(shown.seq) AS pictures",
        "sets LEFT JOIN set_members ON set_name = name "
        f"LEFT JOIN {_SHOWN} WHERE NOT hidden GROUP BY name, created",
    ),
    "set_members": _of_pictures("set_name, position", "set_members"),
}
