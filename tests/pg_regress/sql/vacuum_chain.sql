-- rows of one vector hang at their element in a chain of slots of 20; vacuum takes the empty ones out, wherever they are
SET enable_seqscan = off;
SET hnsw.max_scan_tuples = 1000000;
CREATE TABLE t (id int, embedding vector(2));
CREATE INDEX ON t USING hnsw (embedding vector_l2_ops);
CREATE FUNCTION after_vacuum() RETURNS TABLE (rows bigint, found bigint, findings bigint) LANGUAGE sql AS $$
  SELECT (SELECT count(*) FROM t), (SELECT count(DISTINCT id) FROM (SELECT id FROM t ORDER BY embedding <-> '[1,1]' LIMIT 5000) s),
    (SELECT count(*) FROM hnsw_check('t_embedding_idx', heapallindexed => true)) $$;
INSERT INTO t SELECT i, '[1,1]' FROM generate_series(1, 2000) i;
-- at the end of the chain, in the middle, at its head
DELETE FROM t WHERE id <= 300;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM after_vacuum();
DELETE FROM t WHERE id BETWEEN 601 AND 900 OR id BETWEEN 1001 AND 1060;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM after_vacuum();
DELETE FROM t WHERE id > 1500;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM after_vacuum();
-- freed slots are taken again
SELECT pg_relation_size('t_embedding_idx') AS size \gset
INSERT INTO t SELECT i, '[1,1]' FROM generate_series(2001, 2500) i;
SELECT pg_relation_size('t_embedding_idx') = :size AS same_size;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM after_vacuum();
-- every second slot, then all but a row at the head
DELETE FROM t WHERE id / 20 % 2 = 0;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM after_vacuum();
INSERT INTO t VALUES (0, '[1,1]');
DELETE FROM t WHERE id > 0;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM after_vacuum();
-- all
DELETE FROM t;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM after_vacuum();
INSERT INTO t SELECT i, '[1,1]' FROM generate_series(1, 100) i;
SELECT * FROM after_vacuum();
