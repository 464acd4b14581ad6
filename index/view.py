"""The view `library`: one row per picture that is not deleted, with all that is known of it.

It is what predicates speak about, and it is laid anew whenever this text changes. Its times are
local wall time, as on the person's clock when it happened: what folders and dates are named by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from index.hiding import HIDDEN
from index.making import SETTINGS

# What an Entry has a field for.
FIELDS = (
    "id seq path prompt negative model model_hash sampler steps guidance seed width height media "
    "frames bytes kind rating note caption adherence device dtype duration producer "
    "encoder_match safety added made tags sets colours"
).split()
# The columns that a person may name; docs list them.
COLUMNS = [*FIELDS, *SETTINGS]
# All of them, those that nobody is told of last.
EVERY = [*COLUMNS, *"hidden raw_path inside file_sha256 added_offset made_offset".split()]
_COMPUTED = {
    "added": ("p", "p.added + to_minutes(p.added_offset)"),
    "made": ("m", "m.made + to_minutes(m.made_offset)"),
    "tags": ("t", "coalesce(t.tags, []::VARCHAR[])"),
    "sets": ("s", "coalesce(s.sets, []::VARCHAR[])"),
    "colours": ("k", "coalesce(k.colours, []::VARCHAR[])"),
    "hidden": ("p", f"p.seq IN {HIDDEN}"),
}
# Which of the joined tables the other columns are read from.
_PLAIN = {
    "p": "id seq width height media frames added_offset".split(),
    "f": "path bytes raw_path inside file_sha256".split(),
    "m": (
        "prompt negative model model_hash sampler steps guidance seed device dtype duration "
        "producer encoder_match safety made_offset"
    ).split()
    + list(SETTINGS),
    "c": ["rating", "note", "caption"],
    "l": ["kind", "adherence"],
}
_SOURCES = {
    **{name: (table, f"{table}.{name}") for table, names in _PLAIN.items() for name in names},
    **_COMPUTED,
}
# None has two rows for one picture, so that those whose columns nobody asks for can be left out.
_JOINS = {
    "f": "(SELECT * FROM files WHERE main AND {condition}) f ON f.picture = p.seq",
    "m": "(SELECT * FROM makings WHERE newest AND {condition}) m ON m.picture = p.seq",
    "c": "(SELECT * FROM curation WHERE {condition}) c ON c.picture = p.seq",
    "l": """(SELECT * FROM looks WHERE {condition}) l ON l.picture = p.seq
    AND l.fingerprint = (SELECT fingerprint FROM encoders WHERE active)""",
    # made distinct list by list: DISTINCT within the aggregate takes twice as long
    "t": """(SELECT picture, list_sort(list_distinct(list(tag))) AS tags
           FROM tags WHERE {condition} GROUP BY picture) t ON t.picture = p.seq""",
    "k": """(SELECT picture, list(name ORDER BY rank) AS colours
           FROM colours WHERE {condition} GROUP BY picture) k ON k.picture = p.seq""",
    "s": """(SELECT picture, list(set_name ORDER BY set_name) AS sets
           FROM set_members JOIN sets ON name = set_name
           WHERE {condition} GROUP BY picture) s ON s.picture = p.seq""",
}
# Where the rows of each list are.
_LISTS = {"tags": "tags", "colours": "colours", "sets": "set_members JOIN sets ON name = set_name"}


def select(
    condition: str = "true",
    columns: Collection[str] = EVERY,
    narrowed: Mapping[str, str] | None = None,
    empty: Collection[str] = (),
) -> str:
    """The statement behind the view, or what is needed of it.

    condition: over `picture`, a picture's number, put to every table before it is joined: DuckDB
    does not carry a list of numbers through so many joins, which makes a few rows four times
    slower to fetch
    columns: tables of none of these are not read
    narrowed: such a condition by the name of a list: pictures that do not meet it may be told an
    empty one
    empty: lists that have to be empty: pictures with any are left out, which no list is made for
    """
    needed = {_SOURCES[name][0] for name in columns if name not in empty}
    conditions = {_SOURCES[name][0]: text for name, text in (narrowed or {}).items()}
    joins = "".join(
        f"LEFT JOIN {join.format(condition=conditions.get(table, condition))}\n"
        for table, join in _JOINS.items()
        if table in needed
    )
    without = "".join(
        f" AND p.seq NOT IN (SELECT picture FROM {_LISTS[name]})"  # noqa: S608
        for name in empty
    )
    values = {name: "[]::VARCHAR[]" if name in empty else _SOURCES[name][1] for name in columns}
    return f"""
SELECT {", ".join(f"{value} AS {name}" for name, value in values.items())}
FROM (SELECT *, seq AS picture FROM pictures WHERE {condition}) p
{joins}WHERE p.seq NOT IN (SELECT seq FROM deleted){without}
"""  # noqa: S608 - the conditions are this package's own


VIEW = f"CREATE OR REPLACE VIEW library AS {select()}"
DIGEST = hashlib.sha256(VIEW.encode()).hexdigest()
