-- How often an interrupted retrieval went on (docs/protocol.md 9.5).
ALTER TABLE fetches ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0;
