-- What a spent ticket bought, so that its retrieval can be resumed for exactly that and nothing else
-- (docs/protocol.md 9.5): `queries` with the SHA-256 of each in order, or the whole `stack`. Tickets spent before this
-- was recorded buy nothing more.
ALTER TABLE tickets ADD COLUMN bought TEXT CHECK (bought IN ('queries', 'stack'));
ALTER TABLE tickets ADD COLUMN queries BLOB CHECK (length(queries) % 32 = 0);
ALTER TABLE tickets ADD COLUMN resumptions INTEGER NOT NULL DEFAULT 0;
