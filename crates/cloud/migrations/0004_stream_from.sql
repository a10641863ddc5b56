-- The slot at which the last stream with a ticket began (docs/protocol.md 9.6): it may go on from there or later, never
-- from before.
ALTER TABLE tickets ADD COLUMN stream_from INTEGER NOT NULL DEFAULT 0;
