-- The cloud's key for what passes through the relay (docs/protocol.md 9.8), and since when it is told to gateways.
CREATE TABLE relay_key (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    key   TEXT NOT NULL,
    since INTEGER NOT NULL
);
