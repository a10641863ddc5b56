-- Instances that a fetch opened, by whether they carried the producer's reliability mark
-- (docs/protocol.md 10.1).
ALTER TABLE fetches ADD COLUMN authentic INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fetches ADD COLUMN unmarked INTEGER NOT NULL DEFAULT 0;
