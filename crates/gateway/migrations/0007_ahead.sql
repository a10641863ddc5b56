-- What was asked for ahead (docs/protocol.md 9.7): asked for at a moment drawn beforehand, so that what belongs
-- together is not asked for together. A row goes when its bundle is here or could not be had.
CREATE TABLE ahead (
    bundle          TEXT PRIMARY KEY,
    user            TEXT NOT NULL,
    role            TEXT NOT NULL,
    purpose         TEXT NOT NULL,
    -- Not before: the beginning of a round.
    due_ms          INTEGER NOT NULL,
    -- Needed then.
    by_ms           INTEGER NOT NULL
) STRICT;
CREATE INDEX ahead_by_due ON ahead (due_ms);
