-- State of a gateway. What was acknowledged to senders is in the spool, not here.

-- Deposits that trust has signed for; the proof that neither side can deny them (threat T7).
CREATE TABLE receipts (
    bundle          TEXT PRIMARY KEY,
    study           TEXT NOT NULL,
    receipt         TEXT NOT NULL,
    deposited_ms    INTEGER NOT NULL
) STRICT;

-- Bundles that trust refused for good; a person has to look. Their instances stay in the spool.
CREATE TABLE refusals (
    bundle          TEXT PRIMARY KEY,
    study           TEXT NOT NULL,
    code            TEXT NOT NULL,
    message         TEXT NOT NULL,
    refused_ms      INTEGER NOT NULL
) STRICT;

-- Opened bundles on the local disk.
CREATE TABLE cached_bundles (
    bundle          TEXT PRIMARY KEY,
    study           TEXT NOT NULL,
    bytes           INTEGER NOT NULL,
    fetched_ms      INTEGER NOT NULL,
    used_ms         INTEGER NOT NULL
) STRICT;
CREATE INDEX cached_bundles_by_study ON cached_bundles (study);
CREATE INDEX cached_bundles_by_use ON cached_bundles (used_ms);

CREATE TABLE cached_instances (
    bundle          TEXT NOT NULL REFERENCES cached_bundles (bundle) ON DELETE CASCADE,
    sop_instance    TEXT NOT NULL,
    sop_class       TEXT NOT NULL,
    series          TEXT NOT NULL,
    file            TEXT NOT NULL,
    sha256          BLOB NOT NULL,
    position        INTEGER NOT NULL,
    PRIMARY KEY (bundle, sop_instance)
) STRICT;

-- What each fetch cost, for the hospital's own eyes.
CREATE TABLE fetches (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    bundle          TEXT NOT NULL,
    source          TEXT NOT NULL CHECK (source IN ('cache', 'stack')),
    at_ms           INTEGER NOT NULL,
    milliseconds    INTEGER NOT NULL,
    fragments       INTEGER NOT NULL,
    queries         INTEGER NOT NULL,
    stack_bytes     INTEGER NOT NULL,
    hint_bytes      INTEGER NOT NULL,
    bytes_up        INTEGER NOT NULL,
    bytes_down      INTEGER NOT NULL,
    outcome         TEXT NOT NULL
) STRICT;
