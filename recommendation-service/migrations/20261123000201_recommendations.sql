CREATE TABLE recommendations (
    product_id        INTEGER NOT NULL,
    recommendation_id INTEGER NOT NULL,
    author            TEXT,
    rate              INTEGER NOT NULL,
    content           TEXT,
    PRIMARY KEY (product_id, recommendation_id)
);
