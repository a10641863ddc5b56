-- When the slots of a closed generation begin to leave (docs/protocol.md 5.5); at once, if it is not said.
ALTER TABLE generation ADD COLUMN leaves INTEGER;
-- The cloud did not prove a slot (5.6): from then on it must prove all of them.
ALTER TABLE generation ADD COLUMN doubted INTEGER NOT NULL DEFAULT 0;
