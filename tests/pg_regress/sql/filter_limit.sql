-- a LIMIT is met although the executor rejects many of the rows that an index with key columns returns, without iterative scans too
SET enable_seqscan = off;
SET enable_sort = off;
SET hnsw.iterative_scan = off;
-- more rows pass than a scan keeps, and the nearest element has 3,000 equal rows, most of other keys
CREATE TABLE t (id int, v vector(3), k int);
INSERT INTO t SELECT i, ARRAY[(i % 150) / 3, i / 150, 0]::vector, i % 3 FROM generate_series(0, 59999) i;
INSERT INTO t SELECT i, '[0,0,0]', CASE WHEN i % 50 = 0 THEN 1 ELSE 7 END FROM generate_series(60000, 63000) i;
CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops, k);
SELECT count(DISTINCT id) FROM (SELECT id FROM t WHERE k = 1 ORDER BY v <-> '[0,0,0]' LIMIT 60) s;
SELECT count(DISTINCT id) FROM (SELECT id FROM t WHERE k < 7 ORDER BY v <-> '[0,0,0]' LIMIT 100) s;
-- arrays whose signatures pass all conditions
CREATE TABLE a (id int, v vector(3), tags int[]);
INSERT INTO a SELECT i, ARRAY[i % 100, i / 100, 0]::vector,
	CASE WHEN i % 1000 = 999 THEN ARRAY[-5] ELSE '{}'::int[] END || array(SELECT generate_series(1, 60)) FROM generate_series(0, 9999) i;
CREATE INDEX a_v ON a USING hnsw (v vector_l2_ops, tags);
SELECT id FROM a WHERE tags @> ARRAY[-5] ORDER BY v <-> '[0,0,0]' LIMIT 5;
DROP TABLE t, a;
