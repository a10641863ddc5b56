-- A relay may join (docs/protocol.md 9.8). What a column may hold cannot be changed where it stands: both tables are made
-- anew. Deposits refer to parties all the while, and are looked at when this is done.
PRAGMA defer_foreign_keys = ON;

CREATE TABLE party_before AS SELECT id, role, name, enrolled, revoked, credential FROM party;
CREATE TABLE enrol_code_before AS SELECT secret, role, name, expires, party, request, answer FROM enrol_code;
DROP TABLE enrol_code;
DROP TABLE party;

CREATE TABLE party (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    role       TEXT NOT NULL CHECK (role IN ('cloud', 'gateway', 'relay')),
    name       TEXT NOT NULL,
    enrolled   INTEGER NOT NULL,
    revoked    INTEGER,
    -- Signed<Credential>, gateways only.
    credential TEXT
) WITHOUT ROWID;

CREATE TABLE enrol_code (
    secret  BLOB PRIMARY KEY CHECK (length(secret) = 32),
    role    TEXT NOT NULL CHECK (role IN ('cloud', 'gateway', 'relay')),
    name    TEXT NOT NULL,
    expires INTEGER NOT NULL,
    -- Once spent: by whom, and digest of the request, so that its repeat gets the same answer.
    party   BLOB REFERENCES party (id),
    request BLOB,
    answer  TEXT
) WITHOUT ROWID;

INSERT INTO party SELECT id, role, name, enrolled, revoked, credential FROM party_before;
INSERT INTO enrol_code SELECT secret, role, name, expires, party, request, answer FROM enrol_code_before;
DROP TABLE enrol_code_before;
DROP TABLE party_before;
