-- What the trusted third party knows. Identifiers and digests are raw bytes; times are milliseconds
-- since the Unix epoch; JSON is text.

-- Parties that were enrolled (docs/protocol.md 2.3).
CREATE TABLE party (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    role       TEXT NOT NULL CHECK (role IN ('cloud', 'gateway')),
    name       TEXT NOT NULL,
    enrolled   INTEGER NOT NULL,
    revoked    INTEGER,
    -- Signed<Credential>, gateways only.
    credential TEXT
) WITHOUT ROWID;

-- Enrolment codes (2.2). The secret itself is never stored.
CREATE TABLE enrol_code (
    secret  BLOB PRIMARY KEY CHECK (length(secret) = 32),
    role    TEXT NOT NULL CHECK (role IN ('cloud', 'gateway')),
    name    TEXT NOT NULL,
    expires INTEGER NOT NULL,
    -- Once spent: by whom, and digest of the request, so that its repeat gets the same answer.
    party   BLOB REFERENCES party (id),
    request BLOB,
    answer  TEXT
) WITHOUT ROWID;

-- Generations (5, 6). Exactly one is open.
CREATE TABLE generation (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    id            BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    -- open: takes deposits; sealing: its slots leave; encoding: all have left, the cloud was asked to
    -- seal; sealed: in the stack; retired: gone.
    state         TEXT NOT NULL CHECK (state IN ('open', 'sealing', 'encoding', 'sealed', 'retired')),
    opened        INTEGER NOT NULL,
    first_deposit INTEGER,
    sealed        INTEGER,
    -- The operator asked to seal it now.
    asked         INTEGER NOT NULL DEFAULT 0,
    slots         INTEGER NOT NULL,
    cells         INTEGER NOT NULL,
    cell_bytes    INTEGER NOT NULL,
    -- SealRequest, fixed when all slots have left.
    request       TEXT,
    hint          BLOB,
    hint_bytes    INTEGER,
    -- Whether fragments of it may still be in the upload cache.
    cached        INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX one_open ON generation (state) WHERE state = 'open';

-- Slots that hold fragments or have left. A slot without a row is free.
CREATE TABLE slot (
    generation INTEGER NOT NULL REFERENCES generation (number),
    slot       INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    leaves     INTEGER,
    -- 0: takes fragments; 1: leaving, its bytes are fixed; 2: the cloud has it.
    progress   INTEGER NOT NULL DEFAULT 0 CHECK (progress IN (0, 1, 2)),
    -- Keys of its unused cells are derived from it until the generation is sealed.
    cover      BLOB,
    -- SHA-256 of its bytes.
    digest     BLOB,
    PRIMARY KEY (generation, slot)
) WITHOUT ROWID;

-- Bundles (3, 4).
CREATE TABLE bundle (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    origin      BLOB NOT NULL REFERENCES party (id),
    -- receiving: fragments are coming; placed: deposited; erased: its keys are destroyed.
    state       TEXT NOT NULL CHECK (state IN ('receiving', 'placed', 'erased')),
    begun       INTEGER NOT NULL,
    placed      INTEGER,
    -- Signed<Manifest> and its digest.
    manifest    TEXT,
    digest      BLOB NOT NULL,
    -- Wrapped to trust (3.4); destroyed by erasure.
    content_key TEXT,
    -- SHA-256 of each fragment, one after another.
    fragments   BLOB NOT NULL,
    generation  INTEGER REFERENCES generation (number),
    -- Signed<Receipt>.
    receipt     TEXT,
    -- The catalogue.
    study       TEXT NOT NULL,
    patient     TEXT NOT NULL,
    study_date  TEXT NOT NULL,
    accession   TEXT NOT NULL,
    modalities  TEXT NOT NULL,
    instances   INTEGER NOT NULL,
    attributes  TEXT NOT NULL
);
CREATE INDEX bundle_study ON bundle (study);
CREATE INDEX bundle_patient ON bundle (patient);
CREATE INDEX bundle_date ON bundle (study_date);
CREATE INDEX bundle_accession ON bundle (accession);
CREATE INDEX bundle_generation ON bundle (generation);

CREATE TABLE series (
    bundle     INTEGER NOT NULL REFERENCES bundle (number),
    position   INTEGER NOT NULL,
    uid        TEXT NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (bundle, position)
) WITHOUT ROWID;

CREATE TABLE instance (
    bundle     INTEGER NOT NULL REFERENCES bundle (number),
    position   INTEGER NOT NULL,
    series     INTEGER NOT NULL,
    uid        TEXT NOT NULL,
    class      TEXT NOT NULL,
    dataset_sha256 BLOB NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (bundle, position)
) WITHOUT ROWID;
CREATE INDEX instance_uid ON instance (uid);

-- Where fragments are, and the placement keys (5.2).
CREATE TABLE cell (
    generation INTEGER NOT NULL,
    slot       INTEGER NOT NULL,
    cell       INTEGER NOT NULL,
    bundle     INTEGER NOT NULL REFERENCES bundle (number),
    fragment   INTEGER NOT NULL,
    key        BLOB NOT NULL CHECK (length(key) = 32),
    PRIMARY KEY (generation, slot, cell)
) WITHOUT ROWID;
CREATE INDEX cell_bundle ON cell (bundle, fragment);

-- Permits to read from the upload cache (8.5).
CREATE TABLE permit (
    nonce   BLOB PRIMARY KEY CHECK (length(nonce) = 16),
    party   BLOB NOT NULL,
    bundle  BLOB NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;

-- Notices to parties (8.7), numbered for each party.
CREATE TABLE notice (
    party  BLOB NOT NULL,
    number INTEGER NOT NULL,
    notice TEXT NOT NULL,
    PRIMARY KEY (party, number)
) WITHOUT ROWID;

-- Patients' consent. An empty origin stands for every hospital that uses the identifier.
CREATE TABLE consent (
    patient TEXT NOT NULL,
    origin  BLOB NOT NULL,
    consent TEXT NOT NULL CHECK (consent IN ('permit', 'deny')),
    PRIMARY KEY (patient, origin)
) WITHOUT ROWID;

-- The audit log (11) and its signed head.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    entry  TEXT NOT NULL,
    hash   BLOB NOT NULL CHECK (length(hash) = 32)
);
CREATE TABLE checkpoint (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    signed TEXT NOT NULL
);

-- The signed stack descriptor (7.1).
CREATE TABLE descriptor (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    signed TEXT NOT NULL
);
