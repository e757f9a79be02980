-- A shard of the demo's table: run in its database before the coordinator's shards.sql. The index is there before the rows here;
-- with more rows, load first and create it then.

CREATE EXTENSION IF NOT EXISTS omendb;
CREATE TABLE wordnet (
  id int PRIMARY KEY,
  topic text NOT NULL,
  text text NOT NULL,
  embedding vector(384) NOT NULL
);
CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_cosine_ops);
