"""The view `library`: one row per picture that is not deleted, with all that is known of it.

It is what predicates speak about, and it is laid anew whenever this text changes. Its times are
local wall time, as on the person's clock when it happened: what folders and dates are named by.
"""

from __future__ import annotations

import hashlib

from index.making import SETTINGS

# What an Entry has a field for.
FIELDS = (
    "id seq path prompt negative model model_hash sampler steps guidance seed width height media "
    "frames bytes kind rating note adherence device dtype duration producer encoder_match safety "
    "added made tags sets colours"
).split()
# The columns that a person may name; docs list them.
COLUMNS = [*FIELDS, *SETTINGS]
_SETTINGS = ", ".join(f"m.{name}" for name in SETTINGS)


def select(condition: str = "true") -> str:
    """The statement behind the view.

    condition: over `picture`, a picture's number, put to every table before it is joined: DuckDB
    does not carry a list of numbers through so many joins, which makes a few rows four times
    slower to fetch.
    """
    return f"""
SELECT
    p.id, p.seq, f.path, m.prompt, m.negative, m.model, m.model_hash, m.sampler, m.steps,
    m.guidance, m.seed, p.width, p.height, p.media, p.frames, f.bytes, l.kind, c.rating, c.note,
    l.adherence, m.device, m.dtype, m.duration, m.producer, m.encoder_match, m.safety,
    p.added + to_minutes(p.added_offset) AS added,
    m.made + to_minutes(m.made_offset) AS made,
    coalesce(t.tags, []::VARCHAR[]) AS tags, coalesce(s.sets, []::VARCHAR[]) AS sets,
    coalesce(k.colours, []::VARCHAR[]) AS colours,
    {_SETTINGS},
    coalesce(s.hidden, false) AS hidden,
    f.raw_path, f.inside, f.file_sha256, p.added_offset, m.made_offset
FROM (SELECT *, seq AS picture FROM pictures WHERE {condition}) p
LEFT JOIN (SELECT * FROM files WHERE main AND {condition}) f ON f.picture = p.seq
LEFT JOIN (SELECT * FROM makings WHERE newest AND {condition}) m ON m.picture = p.seq
LEFT JOIN (SELECT * FROM curation WHERE {condition}) c ON c.picture = p.seq
LEFT JOIN (SELECT * FROM looks WHERE {condition}) l ON l.picture = p.seq
    AND l.fingerprint = (SELECT fingerprint FROM encoders WHERE active)
LEFT JOIN (SELECT picture, list(DISTINCT tag ORDER BY tag) AS tags
           FROM tags WHERE {condition} GROUP BY picture) t ON t.picture = p.seq
LEFT JOIN (SELECT picture, list(name ORDER BY rank) AS colours
           FROM colours WHERE {condition} GROUP BY picture) k ON k.picture = p.seq
LEFT JOIN (SELECT picture, list(set_name ORDER BY set_name) AS sets, bool_or(hidden) AS hidden
           FROM set_members JOIN sets ON name = set_name
           WHERE {condition} GROUP BY picture) s ON s.picture = p.seq
WHERE p.seq NOT IN (SELECT seq FROM deleted)
"""  # noqa: S608 - the conditions are this package's own


VIEW = f"CREATE OR REPLACE VIEW library AS {select()}"
DIGEST = hashlib.sha256(VIEW.encode()).hexdigest()
