-- Every effect in its order, with a constraint that an event can violate and none that tells events apart: a second effect
-- or an inversion is seen here.
CREATE TABLE effects (
    number BIGINT  NOT NULL PRIMARY KEY,
    key    INTEGER NOT NULL,
    seq    BIGINT  NOT NULL,
    id     TEXT    NOT NULL,
    value  TEXT    NOT NULL CHECK (value <> 'forbidden')
);

-- The number of the last effect, in a row: numbers that count up by themselves have no common word on all databases, and
-- say nothing about the order of commits where many write at the same time.
CREATE TABLE numbers (
    last BIGINT NOT NULL
);
INSERT INTO numbers (last) VALUES (0);

-- What stands, one row for each key.
CREATE TABLE things (
    key   INTEGER NOT NULL PRIMARY KEY,
    value TEXT    NOT NULL
);
