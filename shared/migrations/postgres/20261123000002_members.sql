-- Who is in a group of consumers; its beat grows while a member is there.
CREATE TABLE members (
    id             TEXT   NOT NULL PRIMARY KEY,
    destination    TEXT   NOT NULL,
    group_name     TEXT   NOT NULL,
    instance_index BIGINT,                 -- null where the member has none
    beat           BIGINT NOT NULL
);
