-- One for each service, which sees no other. Run at the first start on a volume.
CREATE DATABASE product;
CREATE DATABASE recommendation;
CREATE DATABASE review;
