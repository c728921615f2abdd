CREATE TABLE products (
    product_id INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    weight     INTEGER NOT NULL
);
