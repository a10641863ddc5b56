-- Sealed generations are grouped into stacks (docs/protocol.md 7.1). What was sealed before is put into
-- stacks when the service starts.
ALTER TABLE generation ADD COLUMN stack INTEGER;
-- Its place in the stack: the order of sealing.
ALTER TABLE generation ADD COLUMN place INTEGER;
CREATE UNIQUE INDEX generation_stack ON generation (stack, place) WHERE stack IS NOT NULL;

-- Signed<StackDescriptor> of each stack, oldest first.
CREATE TABLE stack (
    number INTEGER PRIMARY KEY,
    signed TEXT NOT NULL
);
DROP TABLE descriptor;
