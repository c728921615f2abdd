-- A destination. `wanted` differs from `partitions` while a new count waits for the named groups to settle everything.
CREATE TABLE topics (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    wanted     INTEGER NOT NULL
);

-- A partition, with the oldest offset that is kept and the offset that the next message gets.
CREATE TABLE partitions (
    topic        INTEGER NOT NULL,
    partition    INTEGER NOT NULL,
    first_offset INTEGER NOT NULL DEFAULT 0,
    end_offset   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

-- A group that misses nothing. One that `holds` keeps the log from forgetting what it has not settled.
CREATE TABLE topic_groups (
    topic INTEGER NOT NULL,
    name  TEXT    NOT NULL,
    holds INTEGER NOT NULL,
    PRIMARY KEY (topic, name)
) WITHOUT ROWID;

-- The offset that a group reads next.
CREATE TABLE offsets (
    topic     INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    settled   INTEGER NOT NULL,
    PRIMARY KEY (topic, name, partition)
) WITHOUT ROWID;

-- The messages, each partition in one piece and growing at its end.
CREATE TABLE messages (
    topic     INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    id        TEXT    NOT NULL,
    headers   TEXT    NOT NULL,  -- JSON
    body      BLOB    NOT NULL,
    sent_at   INTEGER NOT NULL,  -- milliseconds since 1970
    PRIMARY KEY (topic, partition, position)
) WITHOUT ROWID;
