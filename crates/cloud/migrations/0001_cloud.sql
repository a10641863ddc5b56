-- What the cloud knows: generations, slots by digest, and spent tickets. No table names a reader.
CREATE TABLE generations (
    id            BLOB    PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    state         TEXT    NOT NULL CHECK (state IN ('open', 'sealing', 'sealed', 'retired')),
    slot_bytes    INTEGER NOT NULL CHECK (slot_bytes > 0),
    -- Set when sealing begins (docs/protocol.md 6.2).
    slots         INTEGER,
    parameter_set INTEGER,
    interleave    INTEGER,
    seed          BLOB UNIQUE CHECK (length(seed) = 32),
    slots_digest  BLOB CHECK (length(slots_digest) = 32),
    -- Set when it is sealed.
    hint_digest   BLOB CHECK (length(hint_digest) = 32),
    hint_bytes    INTEGER,
    sealed_order  INTEGER UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE slots (
    generation BLOB    NOT NULL REFERENCES generations (id),
    slot       INTEGER NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (generation, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE tickets (
    nonce   BLOB    PRIMARY KEY NOT NULL CHECK (length(nonce) = 16),
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tickets_by_expiry ON tickets (expires);

-- Tickets that expire at or before this moment may have been forgotten: none of them is accepted,
-- even if the clock is set back.
CREATE TABLE ticket_horizon (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    expires INTEGER NOT NULL
) STRICT;
INSERT INTO ticket_horizon VALUES (1, 0);
