-- The digest of the slots as they were read back for encoding (docs/protocol.md 6.2, 6.3): what the status tells,
-- never what the request said. What is sealed already was compared with its request, slot by slot.
ALTER TABLE generations ADD COLUMN read_back BLOB CHECK (length(read_back) = 32);
UPDATE generations SET read_back = slots_digest WHERE state = 'sealed';
