-- an index through all that happens to tables: kinds of tables, rewrites, partitions, concurrent builds, rollbacks

-- The rows found through a table's index: their number, whether they are distinct, whether each of some finds itself.
CREATE FUNCTION check_index(name text, OUT rows bigint, OUT "distinct" bool, OUT each_finds_itself bool) LANGUAGE plpgsql
SET enable_seqscan = off SET hnsw.iterative_scan = relaxed_order AS $$
DECLARE
	search text := format('SELECT id FROM %I ORDER BY embedding <-> ''[1,1,1]''', name);
	line text; through_index bool := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || search LOOP
		through_index := through_index OR line ~ 'Index Scan using';
	END LOOP;
	IF NOT through_index THEN RAISE 'the plan does not use an index'; END IF;
	EXECUTE format('SELECT count(*), count(*) = count(DISTINCT id) FROM (%s) s', search) INTO rows, "distinct";
	EXECUTE format('SELECT bool_and((SELECT s.id FROM %I s ORDER BY s.embedding <-> o.embedding LIMIT 1) = o.id)
		FROM (SELECT * FROM %1$I ORDER BY id LIMIT 50) o', name) INTO each_finds_itself;
END $$;
CREATE FUNCTION vectors(first int, last int) RETURNS TABLE (id int, embedding vector) LANGUAGE sql AS
	'SELECT i, ARRAY[i, hashint4(i) % 500, hashint4(-i) % 500]::vector FROM generate_series(first, last) i';

-- a plain table; SELECT and COPY, UPDATE of other columns and of the embedding
CREATE TABLE t (id int PRIMARY KEY, embedding vector(3), note text);
INSERT INTO t SELECT * FROM vectors(1, 500);
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
SELECT * FROM check_index('t');
UPDATE t SET note = 'heap-only' WHERE id % 2 = 0;
SELECT * FROM check_index('t');
UPDATE t SET embedding = embedding + '[0.5,0,0]' WHERE id % 2 = 0;
SELECT * FROM check_index('t');
INSERT INTO t (id, embedding) VALUES (1, '[5,5,5]') ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding;
SELECT * FROM check_index('t');
COPY t (id, embedding) FROM stdin;
501	[501,1,2]
502	[502,3,4]
\.
SELECT * FROM check_index('t');
DELETE FROM t WHERE id % 3 = 0;
SELECT * FROM check_index('t');
VACUUM t;
SELECT * FROM check_index('t');
INSERT INTO t SELECT * FROM vectors(600, 800);
SELECT * FROM check_index('t');

-- space of rows that are gone is used again
SELECT pg_relation_size('t_embedding') AS size \gset
DELETE FROM t WHERE id BETWEEN 600 AND 800;
VACUUM t;
INSERT INTO t SELECT * FROM vectors(600, 800);
SELECT pg_relation_size('t_embedding') <= :size + 8192 AS used_again;
SELECT * FROM check_index('t');

-- rewrites
REINDEX INDEX t_embedding;
SELECT * FROM check_index('t');
REINDEX INDEX CONCURRENTLY t_embedding;
SELECT * FROM check_index('t');
REINDEX TABLE CONCURRENTLY t;
SELECT * FROM check_index('t');
VACUUM FULL t;
SELECT * FROM check_index('t');
CLUSTER t USING t_pkey;
SELECT * FROM check_index('t');
ALTER TABLE t ALTER COLUMN id TYPE bigint;
SELECT * FROM check_index('t');
ALTER TABLE t DROP COLUMN note;
ALTER TABLE t ADD COLUMN other int DEFAULT 7;
INSERT INTO t SELECT * FROM vectors(900, 950);
SELECT * FROM check_index('t');
ALTER INDEX t_embedding RENAME TO t_renamed;
SELECT * FROM check_index('t');
TRUNCATE t;
SELECT * FROM check_index('t');
INSERT INTO t SELECT * FROM vectors(1, 100);
SELECT * FROM check_index('t');
BEGIN;
TRUNCATE t;
INSERT INTO t SELECT * FROM vectors(1, 20);
SELECT * FROM check_index('t');
ROLLBACK;
SELECT * FROM check_index('t');
DROP TABLE t;

-- two indexes side by side, and one dropped
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT * FROM vectors(1, 200);
CREATE INDEX t_l2 ON t USING hnsw (embedding vector_l2_ops);
CREATE INDEX t_cosine ON t USING hnsw (embedding vector_cosine_ops);
INSERT INTO t SELECT * FROM vectors(201, 300);
SELECT * FROM check_index('t');
DROP INDEX t_cosine;
SELECT * FROM check_index('t');
DROP INDEX t_l2;
SELECT check_index('t');
DROP TABLE t;

-- built concurrently, over rows that are there and rows that are not any more
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT * FROM vectors(1, 300);
DELETE FROM t WHERE id > 250;
CREATE INDEX CONCURRENTLY t_embedding ON t USING hnsw (embedding vector_l2_ops);
SELECT indisvalid FROM pg_index WHERE indexrelid = 't_embedding'::regclass;
SELECT * FROM check_index('t');
DROP INDEX CONCURRENTLY t_embedding;
-- on an empty table, and one that fails and leaves an invalid index to drop
TRUNCATE t;
CREATE INDEX CONCURRENTLY t_embedding ON t USING hnsw (embedding vector_l2_ops);
INSERT INTO t SELECT * FROM vectors(1, 100);
SELECT * FROM check_index('t');
CREATE INDEX CONCURRENTLY t_failed ON t USING hnsw ((subvector(embedding, 1, 2)::vector(3)) vector_l2_ops);
DROP INDEX t_failed;
DROP TABLE t;

-- temporary and unlogged tables
CREATE TEMP TABLE temporary (id int, embedding vector(3));
CREATE INDEX ON temporary USING hnsw (embedding vector_l2_ops);
INSERT INTO temporary SELECT * FROM vectors(1, 300);
SELECT * FROM check_index('temporary');
DELETE FROM temporary WHERE id % 2 = 0;
VACUUM temporary;
INSERT INTO temporary SELECT * FROM vectors(301, 400);
SELECT * FROM check_index('temporary');
DROP TABLE temporary;
BEGIN;
CREATE TEMP TABLE fleeting (id int, embedding vector(3)) ON COMMIT DELETE ROWS;
CREATE INDEX ON fleeting USING hnsw (embedding vector_l2_ops);
INSERT INTO fleeting SELECT * FROM vectors(1, 100);
SELECT * FROM check_index('fleeting');
COMMIT;
SELECT * FROM check_index('fleeting');
INSERT INTO fleeting SELECT * FROM vectors(1, 100);
DROP TABLE fleeting;

CREATE UNLOGGED TABLE unlogged (id int, embedding vector(3));
CREATE INDEX unlogged_embedding ON unlogged USING hnsw (embedding vector_l2_ops);
INSERT INTO unlogged SELECT * FROM vectors(1, 300);
SELECT * FROM check_index('unlogged');
SELECT pg_relation_size('unlogged_embedding', 'init') > 0 AS has_init_fork;
DELETE FROM unlogged WHERE id % 2 = 0;
VACUUM unlogged;
SELECT * FROM check_index('unlogged');
ALTER TABLE unlogged SET LOGGED;
SELECT * FROM check_index('unlogged');
SELECT pg_relation_size('unlogged_embedding', 'init') > 0 AS has_init_fork;
ALTER TABLE unlogged SET UNLOGGED;
SELECT * FROM check_index('unlogged');
SELECT pg_relation_size('unlogged_embedding', 'init') > 0 AS has_init_fork;
DROP TABLE unlogged;

-- partitions: each has its index, and a search merges them
CREATE TABLE parts (id int, embedding vector(3)) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (200);
CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (200) TO (400);
INSERT INTO parts SELECT * FROM vectors(1, 300);
CREATE INDEX parts_embedding ON parts USING hnsw (embedding vector_l2_ops);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM parts ORDER BY embedding <-> '[1,1,1]' LIMIT 5;
SELECT * FROM check_index('parts');
CREATE TABLE part_3 PARTITION OF parts FOR VALUES FROM (400) TO (600);
INSERT INTO parts SELECT * FROM vectors(301, 500);
SELECT * FROM check_index('parts');
CREATE TABLE part_4 (id int, embedding vector(3));
INSERT INTO part_4 SELECT * FROM vectors(600, 650);
ALTER TABLE parts ATTACH PARTITION part_4 FOR VALUES FROM (600) TO (800);
SELECT * FROM check_index('parts');
ALTER TABLE parts DETACH PARTITION part_1;
SELECT * FROM check_index('parts');
UPDATE parts SET id = 700 WHERE id = 200;
SELECT * FROM check_index('parts');
DROP TABLE parts, part_1;
RESET enable_seqscan;

-- inheritance
CREATE TABLE parent (id int, embedding vector(3));
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent SELECT * FROM vectors(1, 100);
INSERT INTO child SELECT * FROM vectors(101, 200);
CREATE INDEX ON parent USING hnsw (embedding vector_l2_ops);
CREATE INDEX ON child USING hnsw (embedding vector_l2_ops);
SELECT * FROM check_index('parent');
DROP TABLE parent, child;

-- another tablespace, and back
SET allow_in_place_tablespaces = true;
CREATE TABLESPACE regress_omendb LOCATION '';
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT * FROM vectors(1, 200);
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops) TABLESPACE regress_omendb;
SELECT * FROM check_index('t');
ALTER INDEX t_embedding SET TABLESPACE pg_default;
INSERT INTO t SELECT * FROM vectors(201, 300);
SELECT * FROM check_index('t');
DROP TABLE t;
DROP TABLESPACE regress_omendb;

-- what is rolled back was never there
BEGIN;
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT * FROM vectors(1, 100);
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
SELECT * FROM check_index('t');
ROLLBACK;
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT * FROM vectors(1, 100);
BEGIN;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
SAVEPOINT s;
INSERT INTO t SELECT * FROM vectors(101, 200);
DROP INDEX t_embedding;
ROLLBACK TO s;
SELECT * FROM check_index('t');
SAVEPOINT s;
REINDEX INDEX t_embedding;
ROLLBACK TO s;
SELECT * FROM check_index('t');
COMMIT;
BEGIN;
INSERT INTO t SELECT * FROM vectors(101, 200);
ROLLBACK;
SELECT * FROM check_index('t');
VACUUM t;
SELECT * FROM check_index('t');
INSERT INTO t SELECT * FROM vectors(101, 200);
SELECT * FROM check_index('t');
DROP TABLE t;

-- statistics of use, and of the table as a build and a vacuum leave them
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT * FROM vectors(1, 200);
INSERT INTO t VALUES (201, NULL);
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
SELECT reltuples, relpages = pg_relation_size('t_embedding') / 8192 AS pages_are_right FROM pg_class WHERE relname = 't_embedding';
DELETE FROM t WHERE id % 2 = 0;
VACUUM t;
SELECT reltuples, relpages = pg_relation_size('t_embedding') / 8192 AS pages_are_right FROM pg_class WHERE relname = 't_embedding';
DROP TABLE t;

-- the extension moves to another schema and its indexes go on; it does not drop under them
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT * FROM vectors(1, 100);
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
\set VERBOSITY terse
DROP EXTENSION omendb;
\set VERBOSITY default
CREATE SCHEMA elsewhere;
ALTER EXTENSION omendb SET SCHEMA elsewhere;
SET search_path = public, elsewhere;
INSERT INTO t VALUES (101, '[101,0,0]');
SET enable_seqscan = off;
SELECT id FROM t ORDER BY embedding <-> '[101,0,0]' LIMIT 1;
SET search_path = public;
SELECT id FROM t ORDER BY embedding OPERATOR(elsewhere.<->) '[101,0,0]' LIMIT 1;
RESET search_path;
ALTER EXTENSION omendb SET SCHEMA public;
DROP SCHEMA elsewhere;
DROP TABLE t;
DROP FUNCTION check_index, vectors;
