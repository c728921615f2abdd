-- Every event that this service has decided on, known by its message id: it takes effect at most once.
CREATE TABLE inbox (
    id          TEXT    NOT NULL PRIMARY KEY,
    outcome     TEXT    NOT NULL DEFAULT 'applied',  -- applied, dead
    generation  INTEGER NOT NULL DEFAULT 0,          -- how often a replay has decided on it anew
    destination TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    decided_at  BIGINT  NOT NULL                     -- milliseconds since 1970
);
CREATE INDEX inbox_by_age ON inbox (decided_at);

-- Every event that was given up, and every event of its key that came after it.
CREATE TABLE dead_letters (
    sequence    BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the order in which they were given up
    id          TEXT    NOT NULL UNIQUE,                                    -- the message id
    destination TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    event_key   INTEGER,                                                    -- null where the message says none
    headers     TEXT    NOT NULL,                                           -- JSON
    origin      TEXT    NOT NULL,                                           -- JSON, in the binder's terms
    body        BYTEA   NOT NULL,
    kind        TEXT    NOT NULL,                                           -- invalid, failed, parked
    cause       TEXT    NOT NULL,
    attempts    INTEGER NOT NULL,
    generation  INTEGER NOT NULL DEFAULT 0,
    state       TEXT    NOT NULL DEFAULT 'unsent',                          -- unsent, waiting, closed
    wanted      TEXT,                                                       -- replay, drop
    created_at  BIGINT  NOT NULL                                            -- milliseconds since 1970
);
-- Which keys are parked, and behind which letter.
CREATE INDEX dead_letters_open ON dead_letters (destination, event_key, sequence) WHERE state <> 'closed';
-- Which letters still need the broker's copy.
CREATE INDEX dead_letters_unsent ON dead_letters (destination, partition) WHERE state = 'unsent';
