-- What marks of a bundle are made and judged with (docs/protocol.md 10.2): written by its producer when
-- it is sealed, and by a consumer when it is opened. Stays when the local copy goes: marked pictures
-- last longer than copies.
CREATE TABLE bundle_keys (
    bundle          TEXT PRIMARY KEY,
    study           TEXT NOT NULL,
    origin          TEXT NOT NULL,
    origin_name     TEXT NOT NULL,
    -- Verifies the attestation: from the credential that trust signed.
    origin_key      TEXT NOT NULL,
    mark_key        BLOB NOT NULL,
    trace_key       BLOB NOT NULL,
    -- Signed by the producer.
    attestation     TEXT NOT NULL
) STRICT;
CREATE INDEX bundle_keys_by_study ON bundle_keys (study);

-- What left this gateway for taking away, and who took it (docs/protocol.md 10.3). Never deleted: a
-- tracing mark can be told only from what stands here.
CREATE TABLE exports (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB NOT NULL UNIQUE,
    bundle          TEXT NOT NULL,
    study           TEXT NOT NULL,
    statement       TEXT NOT NULL
) STRICT;
CREATE INDEX exports_by_bundle ON exports (bundle);
