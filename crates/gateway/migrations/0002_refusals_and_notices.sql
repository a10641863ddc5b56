-- What an operator wants done with a refused bundle; the process that holds the spool does it.
ALTER TABLE refusals ADD COLUMN wish TEXT CHECK (wish IN ('retry', 'discard'));

-- What happened to this hospital's own bundles, as trust told it (docs/protocol.md 8.7).
CREATE TABLE notices (
    number          INTEGER PRIMARY KEY,
    at_ms           INTEGER NOT NULL,
    bundle          TEXT NOT NULL,
    consumer        TEXT NOT NULL,
    user            TEXT NOT NULL,
    role            TEXT NOT NULL,
    purpose         TEXT NOT NULL,
    obligations     TEXT NOT NULL
) STRICT;
