-- How a fetch came from the cloud (docs/protocol.md 9.6): by queries, as all did before, or as a stream.
ALTER TABLE fetches ADD COLUMN engine TEXT CHECK (engine IN ('ring', 'stream'));
UPDATE fetches SET engine = 'ring' WHERE source = 'stack';
