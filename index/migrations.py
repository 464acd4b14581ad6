"""The schema, as a list of steps that only ever grows.

A catalogue remembers how many steps it has taken (`meta`, key `schema`). A step, once released, is
never edited: what it got wrong, a later one mends. Times are UTC with the minutes of the zone's
offset beside them. There are no secondary indexes and no keys on the large tables: there is one
writer at a time, which looks before it inserts; an index would cost more on every open than it
saves, and DuckDB's replay of a log has stumbled over them.

The tables of vectors belong to `index.vectors`, the view over all of this to `index.view`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from index.errors import LibraryNewer
from index.view import DIGEST, VIEW

if TYPE_CHECKING:
    import duckdb

M001 = """
CREATE TABLE encoders (
    fingerprint VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, source VARCHAR NOT NULL,
    width INTEGER NOT NULL, active BOOLEAN NOT NULL, added TIMESTAMP NOT NULL);
CREATE TABLE pictures (
    seq BIGINT NOT NULL, id VARCHAR NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    media VARCHAR NOT NULL, frames INTEGER NOT NULL,
    added TIMESTAMP NOT NULL, added_offset SMALLINT NOT NULL);
CREATE TABLE files (
    picture BIGINT NOT NULL, path VARCHAR NOT NULL, raw_path BLOB, inside BOOLEAN NOT NULL,
    main BOOLEAN NOT NULL, file_sha256 VARCHAR NOT NULL, bytes BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL);
CREATE TABLE makings (
    picture BIGINT NOT NULL, newest BOOLEAN NOT NULL, producer VARCHAR NOT NULL,
    prompt VARCHAR, negative VARCHAR, model VARCHAR, model_hash VARCHAR, sampler VARCHAR,
    steps INTEGER, guidance DOUBLE, seed UBIGINT, width INTEGER, height INTEGER,
    device VARCHAR, dtype VARCHAR, duration DOUBLE, encoder_match VARCHAR, safety VARCHAR,
    made TIMESTAMP, made_offset SMALLINT, extra JSON);
CREATE TABLE looks (
    picture BIGINT NOT NULL, fingerprint VARCHAR NOT NULL, adherence DOUBLE,
    kind VARCHAR NOT NULL, kind_score DOUBLE);
CREATE TABLE colours (
    picture BIGINT NOT NULL, rank SMALLINT NOT NULL, name VARCHAR NOT NULL,
    hex VARCHAR NOT NULL, share DOUBLE NOT NULL);
CREATE TABLE tags (
    picture BIGINT NOT NULL, tag VARCHAR NOT NULL, source VARCHAR NOT NULL, score DOUBLE);
CREATE TABLE tags_waiting (
    picture BIGINT NOT NULL, fingerprint VARCHAR NOT NULL, tag VARCHAR NOT NULL, score DOUBLE);
CREATE TABLE curation (picture BIGINT NOT NULL, rating TINYINT, note VARCHAR);
CREATE TABLE sets (
    name VARCHAR PRIMARY KEY, hidden BOOLEAN NOT NULL, created TIMESTAMP NOT NULL);
CREATE TABLE set_members (
    set_name VARCHAR NOT NULL, picture BIGINT NOT NULL, position INTEGER NOT NULL);
CREATE TABLE deleted (
    seq BIGINT NOT NULL, id VARCHAR NOT NULL, deleted TIMESTAMP NOT NULL,
    emptied BOOLEAN NOT NULL);
CREATE TABLE unsettled (seq BIGINT NOT NULL, id VARCHAR NOT NULL);
"""

# The words of what is written of each picture (see `index.words`), and searches that were saved.
M002 = r"""
CREATE TABLE words (picture BIGINT NOT NULL, word VARCHAR NOT NULL);
INSERT INTO words SELECT picture, word FROM (
    SELECT DISTINCT picture, unnest(
        string_split_regex(strip_accents(lower(text)), '[^\pL\pM\pN\p{So}]+')) AS word
    FROM (SELECT picture, prompt AS text FROM makings WHERE newest
          UNION ALL SELECT picture, tag FROM tags
          UNION ALL SELECT picture, note FROM curation))
WHERE word <> '' ORDER BY picture;
CREATE TABLE searches (name VARCHAR PRIMARY KEY, query JSON NOT NULL, saved TIMESTAMP NOT NULL);
"""

# Perceptual hashes, computed when they are first asked for (see `index.phashes`).
M003 = "CREATE TABLE phashes (picture BIGINT NOT NULL, hash UBIGINT NOT NULL)"

# What the journal has still to say (see `index.journal`): triggers note it, so that nobody who
# changes a row can forget to. Saved searches are replaced in place, which triggers cannot follow.
M004 = """
CREATE TABLE touched (kind VARCHAR NOT NULL, key VARCHAR NOT NULL);
CREATE TRIGGER pictures_new AFTER INSERT ON pictures REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', seq FROM n;
CREATE TRIGGER pictures_changed AFTER UPDATE ON pictures REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', seq FROM n;
CREATE TRIGGER pictures_gone AFTER DELETE ON pictures REFERENCING OLD TABLE AS o
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', seq FROM o;
CREATE TRIGGER files_new AFTER INSERT ON files REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n;
CREATE TRIGGER files_changed AFTER UPDATE ON files REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n;
CREATE TRIGGER files_gone AFTER DELETE ON files REFERENCING OLD TABLE AS o
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM o;
CREATE TRIGGER makings_new AFTER INSERT ON makings REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n;
CREATE TRIGGER tags_new AFTER INSERT ON tags REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n WHERE source = 'hand';
CREATE TRIGGER tags_changed AFTER UPDATE ON tags REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n WHERE source = 'hand';
CREATE TRIGGER tags_gone AFTER DELETE ON tags REFERENCING OLD TABLE AS o
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM o WHERE source = 'hand';
CREATE TRIGGER curation_new AFTER INSERT ON curation REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n;
CREATE TRIGGER curation_changed AFTER UPDATE ON curation REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n;
CREATE TRIGGER members_new AFTER INSERT ON set_members REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n;
CREATE TRIGGER members_changed AFTER UPDATE ON set_members REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n;
CREATE TRIGGER members_gone AFTER DELETE ON set_members REFERENCING OLD TABLE AS o
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM o;
CREATE TRIGGER deleted_new AFTER INSERT ON deleted REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', seq FROM n;
CREATE TRIGGER deleted_gone AFTER DELETE ON deleted REFERENCING OLD TABLE AS o
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', seq FROM o;
CREATE TRIGGER sets_new AFTER INSERT ON sets REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'set', name FROM n;
CREATE TRIGGER sets_changed AFTER UPDATE ON sets REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'set', name FROM n;
CREATE TRIGGER sets_gone AFTER DELETE ON sets REFERENCING OLD TABLE AS o
    FOR EACH STATEMENT INSERT INTO touched SELECT 'set', name FROM o;
INSERT INTO touched SELECT 'picture', seq FROM pictures
    UNION ALL SELECT 'set', name FROM sets UNION ALL SELECT 'search', name FROM searches;
"""

# Settings of a making that `extra` held until now (see `index.making`).
M005 = """
ALTER TABLE makings ADD COLUMN clip_skip INTEGER;
ALTER TABLE makings ADD COLUMN schedule VARCHAR;
ALTER TABLE makings ADD COLUMN guidance_rescale DOUBLE;
ALTER TABLE makings ADD COLUMN guidance_from DOUBLE;
ALTER TABLE makings ADD COLUMN guidance_until DOUBLE;
ALTER TABLE makings ADD COLUMN cache_interval INTEGER;
ALTER TABLE makings ADD COLUMN variation DOUBLE;
ALTER TABLE makings ADD COLUMN variation_seed UBIGINT;
ALTER TABLE makings ADD COLUMN init VARCHAR;
ALTER TABLE makings ADD COLUMN strength DOUBLE;
ALTER TABLE makings ADD COLUMN mask VARCHAR;
ALTER TABLE makings ADD COLUMN margins VARCHAR;
ALTER TABLE makings ADD COLUMN upscale DOUBLE;
ALTER TABLE makings ADD COLUMN upscaler VARCHAR;
ALTER TABLE makings ADD COLUMN tile INTEGER;
ALTER TABLE makings ADD COLUMN transparent BOOLEAN;
ALTER TABLE makings ADD COLUMN loras VARCHAR[];
ALTER TABLE makings ADD COLUMN embeddings VARCHAR[];
ALTER TABLE makings ADD COLUMN vae VARCHAR;
ALTER TABLE makings ADD COLUMN control VARCHAR;
ALTER TABLE makings ADD COLUMN control_image VARCHAR;
ALTER TABLE makings ADD COLUMN control_weight DOUBLE;
ALTER TABLE makings ADD COLUMN adapter VARCHAR;
ALTER TABLE makings ADD COLUMN reference VARCHAR[];
"""

# Weights and breaks are no words (see `index.words`).
M006 = r"""
DELETE FROM words WHERE picture IN (
    SELECT picture FROM makings WHERE newest AND regexp_matches(prompt, '[0-9.]\s*[)\]]|BREAK'));
INSERT INTO words SELECT picture, word FROM (
    SELECT DISTINCT picture, unnest(
        string_split_regex(strip_accents(lower(text)), '[^\pL\pM\pN\p{So}]+')) AS word
    FROM (SELECT picture,
                 regexp_replace(prompt, ':\s*[+-]?[0-9.]+\s*[)\]]|\bBREAK\b', ' ', 'g') AS text
          FROM makings WHERE newest
          UNION ALL SELECT picture, tag FROM tags
          UNION ALL SELECT picture, note FROM curation))
WHERE word <> '' AND picture NOT IN (SELECT picture FROM words) ORDER BY picture;
"""

# Tags of an encoder that somebody took away: no encoder gives them to that picture again.
M007 = """
CREATE TABLE refused (picture BIGINT NOT NULL, tag VARCHAR NOT NULL);
CREATE TRIGGER refused_new AFTER INSERT ON refused REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM n;
CREATE TRIGGER refused_gone AFTER DELETE ON refused REFERENCING OLD TABLE AS o
    FOR EACH STATEMENT INSERT INTO touched SELECT 'picture', picture FROM o;
"""

# Settings of a making that came later (see `index.making`).
M008 = """
ALTER TABLE makings ADD COLUMN refiner VARCHAR;
ALTER TABLE makings ADD COLUMN refine_from DOUBLE;
"""

# What a person says that a picture shows (see `index.curate.caption`).
M009 = "ALTER TABLE curation ADD COLUMN caption VARCHAR"

# What asked the denoiser (see `index.making`).
M010 = "ALTER TABLE makings ADD COLUMN backend VARCHAR"

# Pictures of which something was written that no encoder has learnt yet (see `index.meanings`).
M011 = """
CREATE TABLE unlearnt (picture BIGINT NOT NULL);
INSERT INTO unlearnt SELECT picture FROM curation
    UNION SELECT picture FROM tags WHERE source = 'hand';
"""

# The number of the last change that the journal tells of (see `index.journal`).
M012 = """
CREATE TABLE journaled (number BIGINT NOT NULL);
INSERT INTO journaled VALUES (0);
"""

# The tiles of an autoencoder that worked in some (see `index.making`).
M013 = "ALTER TABLE makings ADD COLUMN vae_tile INTEGER"

MIGRATIONS: tuple[str, ...] = (
    *(M001, M002, M003, M004, M005, M006),
    *(M007, M008, M009, M010, M011, M012, M013),
)


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Take the steps that are missing, inside the caller's transaction."""
    connection.execute("CREATE TABLE IF NOT EXISTS meta (key VARCHAR PRIMARY KEY, value VARCHAR)")
    for step in MIGRATIONS[schema(connection) :]:
        connection.execute(step)
    connection.execute(VIEW)
    for key, value in (("schema", str(len(MIGRATIONS))), ("view", DIGEST)):
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, value])


def schema(connection: duckdb.DuckDBPyConnection) -> int:
    """How many steps the catalogue has taken; 0 for an empty one."""
    return int(_meta(connection, "schema") or 0)


def is_current(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether there is nothing to migrate."""
    return schema(connection) == len(MIGRATIONS) and _meta(connection, "view") == DIGEST


def refuse_newer(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise LibraryNewer when the catalogue has taken steps that are unknown here."""
    if schema(connection) > len(MIGRATIONS):
        raise LibraryNewer(
            f"The library has schema {schema(connection)}; this version knows {len(MIGRATIONS)}.",
            "Update sovgen; the library was not touched.",
        )


def _meta(connection: duckdb.DuckDBPyConnection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
    return str(row[0]) if row else None
