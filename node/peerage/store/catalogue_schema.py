"""The catalogue's tables (node/spec/catalogue.md)."""

SCHEMA_VERSION = 3

_OPENINGS = """
CREATE TABLE openings (
  agreement BLOB PRIMARY KEY, open_by INTEGER NOT NULL, body BLOB NOT NULL, client_signature BLOB NOT NULL,
  provider_signature BLOB NOT NULL) WITHOUT ROWID;
"""
SCHEMA = f"""{_OPENINGS}
CREATE TABLE packs (
  no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, generation INTEGER NOT NULL,
  length INTEGER NOT NULL, k INTEGER NOT NULL, m INTEGER NOT NULL, shard_length INTEGER NOT NULL,
  indexed INTEGER NOT NULL DEFAULT 0, moved INTEGER NOT NULL DEFAULT 0,
  dropped INTEGER NOT NULL DEFAULT 0);
CREATE INDEX packs_unindexed ON packs(no) WHERE indexed = 0;
CREATE TABLE shards (
  pack INTEGER NOT NULL REFERENCES packs(no), position INTEGER NOT NULL, root BLOB NOT NULL,
  provider INTEGER NOT NULL, agreement BLOB NOT NULL, PRIMARY KEY (pack, position)) WITHOUT ROWID;
CREATE INDEX shards_by_object ON shards(agreement, root);
CREATE TABLE chunks (
  id BLOB PRIMARY KEY, pack INTEGER NOT NULL REFERENCES packs(no), kind INTEGER NOT NULL, ordinal INTEGER NOT NULL,
  offset INTEGER NOT NULL, length INTEGER NOT NULL, raw_length INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX chunks_by_pack ON chunks(pack);
CREATE TABLE files (
  path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL, device INTEGER NOT NULL, depth INTEGER NOT NULL, content BLOB NOT NULL,
  run INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE open_runs (run INTEGER PRIMARY KEY);
CREATE TABLE snapshots (id BLOB PRIMARY KEY, no INTEGER NOT NULL, summary BLOB NOT NULL);
CREATE TABLE objects (
  agreement BLOB NOT NULL, root BLOB NOT NULL, leaves INTEGER NOT NULL, kind INTEGER NOT NULL,
  position INTEGER, sequence INTEGER, removed INTEGER, PRIMARY KEY (agreement, root)) WITHOUT ROWID;
CREATE TABLE agreements (
  id BLOB PRIMARY KEY, provider INTEGER NOT NULL, capacity INTEGER NOT NULL, end_epoch INTEGER NOT NULL,
  live INTEGER NOT NULL, sequence INTEGER NOT NULL, revision BLOB NOT NULL);
CREATE TABLE revisions (
  agreement BLOB NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL, client_signature BLOB NOT NULL,
  provider_signature BLOB NOT NULL, PRIMARY KEY (agreement, sequence)) WITHOUT ROWID;
CREATE TABLE removals (agreement BLOB PRIMARY KEY, ready INTEGER NOT NULL, roots BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE heads (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, body BLOB NOT NULL, anchored INTEGER NOT NULL);
CREATE TABLE checks (
  agreement BLOB NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, proven INTEGER NOT NULL,
  PRIMARY KEY (agreement, epoch)) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

UPGRADES = {
    1: """
ALTER TABLE packs ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
DROP INDEX shards_by_agreement;
CREATE INDEX shards_by_object ON shards(agreement, root);
ALTER TABLE objects ADD COLUMN removed INTEGER;
CREATE TABLE removals (agreement BLOB PRIMARY KEY, ready INTEGER NOT NULL, roots BLOB NOT NULL) WITHOUT ROWID;
""",
    2: _OPENINGS,
}
"""From each older version to the next."""
