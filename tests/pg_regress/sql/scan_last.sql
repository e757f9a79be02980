-- what a session remembers of scans: hnsw_last_scan() says what the last one did, and hints where pages were grow stale

CREATE TABLE t (id int PRIMARY KEY, embedding vector(4));
CREATE FUNCTION vector_of(i int) RETURNS vector LANGUAGE sql AS
	'SELECT array_agg(hashint4(i * 4 + j) % 1000)::vector FROM generate_series(1, 4) j';
INSERT INTO t SELECT i, vector_of(i) FROM generate_series(1, 2000) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
SET enable_seqscan = off;
SET enable_sort = off;

-- before the first scan
SELECT * FROM hnsw_last_scan();

-- One walk; it reads at least as many codes as it gives rows, and measures little more than it hands out.
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10) s;
SELECT walks, expansions BETWEEN 10 AND evaluations AS expands, evaluations BETWEEN 50 AND 2000 AS evaluates,
	pages > 0 AS pins, rows BETWEEN 10 AND 40 AS measures FROM hnsw_last_scan();
-- asking changes nothing
SELECT walks FROM hnsw_last_scan();
-- Once pages are known, codes and neighbors are read without pin or lock: pins are for the entry point and for row pointers.
DO $$ BEGIN FOR i IN 1..8 LOOP PERFORM id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10; END LOOP; END $$;
SELECT pages < evaluations / 2 AS glances FROM hnsw_last_scan();
-- each further walk counts
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 500) s;
SELECT walks > 1 AS walks_on, rows >= 500 AS measures FROM hnsw_last_scan();
RESET hnsw.iterative_scan;
-- Scans that never begin, and searches of hnsw_recall and hnsw_calibrate, leave the counts as they are.
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10) s;
CREATE TABLE last AS SELECT * FROM hnsw_last_scan();
SELECT v.n, count(s.id) FROM (VALUES (10), (0)) v (n), LATERAL (SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT v.n) s GROUP BY v.n;
SELECT l.evaluations = n.evaluations AND l.walks = n.walks AND l.rows = n.rows AS same FROM last l, hnsw_last_scan() n;
SELECT recall > 0 AS measured FROM hnsw_recall('t_embedding');
SELECT hnsw_calibrate('t_embedding') > 0 AS traced;
SELECT l.evaluations = n.evaluations AND l.walks = n.walks AND l.rows = n.rows AS same FROM last l, hnsw_last_scan() n;
DROP TABLE last;
-- Searches of this session whose rows are not the nearest: none, whatever has become of the pages that it remembers.
CREATE FUNCTION wrong(of regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	nearest float8[]; found float8[]; wrong bigint := 0;
BEGIN
	FOR i IN 1..40 LOOP
		EXECUTE format('SELECT array_agg(d) FROM (SELECT embedding <-> $1 AS d FROM %s ORDER BY embedding <-> $1 LIMIT 5) s', of)
			INTO found USING vector_of(-i);
		EXECUTE format('SELECT array_agg(d) FROM (SELECT d FROM
			(SELECT embedding <-> $1 AS d FROM %s OFFSET 0) s ORDER BY d LIMIT 5) s', of) INTO nearest USING vector_of(-i);
		wrong := wrong + (found IS DISTINCT FROM nearest)::int;
	END LOOP;
	RETURN wrong;
END $$;
SET hnsw.ef_search = 100;
SELECT wrong('t');
DELETE FROM t WHERE id % 3 = 0;
SELECT wrong('t');
VACUUM t;
SELECT wrong('t');
-- freed slots are taken again
INSERT INTO t SELECT i, vector_of(i) FROM generate_series(3001, 3600) i;
SELECT wrong('t');
UPDATE t SET embedding = vector_of(id + 10000) WHERE id % 5 = 0;
SELECT wrong('t');
VACUUM FULL t;
SELECT wrong('t');
REINDEX INDEX t_embedding;
SELECT wrong('t');
TRUNCATE t;
SELECT wrong('t');
INSERT INTO t SELECT i, vector_of(i) FROM generate_series(1, 1500) i;
SELECT wrong('t');
BEGIN;
TRUNCATE t;
INSERT INTO t SELECT i, vector_of(i) FROM generate_series(5001, 5200) i;
SELECT wrong('t');
ROLLBACK;
SELECT wrong('t');
-- Truncated by the transaction that made it, a table keeps its file: the same pages hold other things.
BEGIN;
CREATE TABLE fresh (id int, embedding vector(4));
CREATE INDEX fresh_embedding ON fresh USING hnsw (embedding vector_l2_ops) WITH (m = 4);
INSERT INTO fresh SELECT i, vector_of(i) FROM generate_series(1, 1200) i;
SELECT wrong('fresh');
TRUNCATE fresh;
SELECT wrong('fresh');
INSERT INTO fresh SELECT i, vector_of(i) FROM generate_series(2000, 2700) i;
SELECT wrong('fresh');
COMMIT;
-- A temporary table's pages are in local buffers, at which nobody glances.
CREATE TEMP TABLE own AS SELECT * FROM t;
CREATE INDEX ON own USING hnsw (embedding vector_l2_ops);
SELECT wrong('own');
TRUNCATE own;
INSERT INTO own SELECT i, vector_of(i) FROM generate_series(1, 800) i;
SELECT wrong('own');
SELECT * FROM hnsw_check('t_embedding', heapallindexed => true);
SELECT * FROM hnsw_check('fresh_embedding', heapallindexed => true) WHERE severity = 'error';
DROP TABLE t, fresh;
DROP FUNCTION wrong(regclass), vector_of(int);
