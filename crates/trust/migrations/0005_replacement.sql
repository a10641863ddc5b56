-- Re-placement (docs/protocol.md 5.7). How often a bundle was placed anew.
ALTER TABLE bundle ADD COLUMN replaced INTEGER NOT NULL DEFAULT 0;
-- Slots of a generation that errands have opened.
ALTER TABLE generation ADD COLUMN brought INTEGER NOT NULL DEFAULT 0;

-- Who may give back the fragments of a bundle, of the copy in that generation.
CREATE TABLE give_back (
    nonce      BLOB PRIMARY KEY CHECK (length(nonce) = 16),
    party      BLOB NOT NULL,
    bundle     INTEGER NOT NULL REFERENCES bundle (number),
    generation INTEGER NOT NULL REFERENCES generation (number),
    -- Of an errand: slots that it brings at most. Nothing for what was read.
    errand     INTEGER,
    expires    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX give_back_bundle ON give_back (bundle);

-- Each party's last round, and what it was answered (9.7).
CREATE TABLE round (
    party  BLOB PRIMARY KEY CHECK (length(party) = 16),
    number INTEGER NOT NULL,
    answer TEXT NOT NULL
) WITHOUT ROWID;

-- Retiring (5.7): since when a closed stack is known to hold no bundle; and whether the cloud has confirmed that a
-- retired generation is gone.
ALTER TABLE stack ADD COLUMN emptied INTEGER;
ALTER TABLE generation ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;

-- Errands are drawn from all bundles of a stack, by their lengths.
DROP INDEX bundle_generation;
CREATE INDEX bundle_generation ON bundle (generation, state, id, length(fragments));
