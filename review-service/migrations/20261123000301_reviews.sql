CREATE TABLE reviews (
    product_id INTEGER NOT NULL,
    review_id  INTEGER NOT NULL,
    author     TEXT,
    subject    TEXT,
    content    TEXT,
    PRIMARY KEY (product_id, review_id)
);
