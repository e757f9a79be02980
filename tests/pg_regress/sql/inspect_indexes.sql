-- hnsw_indexes: every index that the user may see

CREATE TABLE t (id int PRIMARY KEY, embedding vector(3), second halfvec(3));
INSERT INTO t SELECT i, ARRAY[i, 1, 2]::vector, ARRAY[i, 2, 3]::halfvec FROM generate_series(1, 500) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
CREATE INDEX t_second ON t USING hnsw (second halfvec_cosine_ops) WITH (m = 8, ef_construction = 100);
CREATE INDEX t_lists ON t USING ivfflat (embedding vector_l2_ops) WITH (lists = 10);
CREATE SCHEMA apart
	CREATE TABLE parts (embedding vector(3)) PARTITION BY HASH (embedding);
CREATE TABLE apart.part PARTITION OF apart.parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE INDEX parts_embedding ON apart.parts USING hnsw (embedding vector_l2_ops) WITH (ef_construction = 200);
CREATE TEMP TABLE mine (embedding vector(3));
CREATE INDEX mine_embedding ON mine USING hnsw (embedding vector_l2_ops);
CREATE INDEX not_listed ON t USING hash (embedding);
SELECT CASE WHEN schemaname ~ '^pg_temp' THEN 'temporary' ELSE schemaname END AS schema, tablename, indexname, method, valid,
	m, ef_construction, bytes = pg_relation_size(indexrelid) AS size_is_right, rows, built_elements
	FROM hnsw_indexes WHERE tablename IN ('mine', 'part', 't') ORDER BY indexname;

-- rows that arrive later, and go
INSERT INTO t SELECT i, ARRAY[i, 1, 2]::vector, ARRAY[i, 2, 3]::halfvec FROM generate_series(501, 700) i;
DELETE FROM t WHERE id <= 100;
VACUUM ANALYZE t;
SELECT indexname, rows, built_elements FROM hnsw_indexes WHERE tablename = 't' ORDER BY indexname;
REINDEX TABLE t;
SELECT indexname, rows, built_elements FROM hnsw_indexes WHERE tablename = 't' ORDER BY indexname;

-- scans of all sessions, as Postgres counts them
DROP INDEX t_lists;
SELECT count(*) FROM (SELECT FROM t ORDER BY embedding <-> '[1,2,3]' LIMIT 5) nearest;
SELECT count(*) FROM (SELECT FROM t ORDER BY second <=> '[1,2,3]' LIMIT 7) nearest;
SELECT pg_stat_force_next_flush();
SELECT indexname, scans, rows_returned, pages_missed >= 0 AS pages_are_counted
	FROM hnsw_indexes WHERE tablename = 't' AND scans > 0 ORDER BY indexname;

-- the number behind it, of something else
SELECT hnsw_built_elements('t_pkey'), hnsw_built_elements('t'), hnsw_built_elements('apart.parts_embedding'),
	hnsw_built_elements(0), hnsw_built_elements(NULL);

-- who sees what: tables of which a column may be read
CREATE ROLE regress_indexes_nobody;
SET ROLE regress_indexes_nobody;
SELECT indexname FROM hnsw_indexes ORDER BY indexname;
RESET ROLE;
GRANT SELECT (id) ON t TO regress_indexes_nobody;
SET ROLE regress_indexes_nobody;
SELECT indexname, rows, built_elements FROM hnsw_indexes ORDER BY indexname;
RESET ROLE;
REVOKE ALL ON t FROM regress_indexes_nobody;
DROP ROLE regress_indexes_nobody;

SET client_min_messages = warning;
DROP SCHEMA apart CASCADE;
DROP TABLE t;
