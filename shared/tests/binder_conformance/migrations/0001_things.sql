-- What stands, and a constraint that an event can violate.
CREATE TABLE things (
    key   INTEGER NOT NULL PRIMARY KEY,
    value TEXT    NOT NULL CHECK (value <> 'forbidden'),
    at    BIGINT  NOT NULL
);

-- Every effect in its order, without any constraint: a second effect or an inversion is seen here.
CREATE TABLE effects (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    key    INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    id     TEXT    NOT NULL
);
