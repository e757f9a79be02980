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
-- in less memory than the rows that pass take: they come in portions, in exact order, each once
ALTER TABLE t ADD g int;
UPDATE t SET g = id % 50;
CREATE INDEX t_g ON t USING hnsw (v vector_l2_ops, g);
SET work_mem = '64kB';
CREATE FUNCTION by(index bool, OUT seqscan text, OUT indexscan text, OUT sort text) LANGUAGE sql AS $$
	SELECT set_config('enable_seqscan', (NOT index)::text, true), set_config('enable_indexscan', index::text, true),
		set_config('enable_sort', (NOT index)::text, true)
$$;
CREATE FUNCTION distances(filter text, number int, by_index bool) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
	found float8[];
BEGIN
	PERFORM by(by_index);
	EXECUTE format($q$SELECT array_agg(d) FROM (SELECT v <-> '[0,0,0]' AS d FROM t WHERE %s ORDER BY d LIMIT %s) s$q$, filter, number) INTO found;
	RETURN found;
END $$;
SELECT filter, number, distances(filter, number, true) = distances(filter, number, false) AS equal, (hnsw_last_scan()).ended_by
	FROM (VALUES ('g = 7', 10), ('g = 7', 1000), ('g = 7', 30000)) v (filter, number);
SET hnsw.iterative_scan = relaxed_order;
CREATE FUNCTION rows_of(filter text, by_index bool) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	PERFORM by(by_index);
	EXECUTE format($q$SELECT count(*) || ' ' || count(DISTINCT id) FROM (SELECT id FROM t WHERE %s ORDER BY v <-> '[0,0,0]' LIMIT 60000) s$q$, filter) INTO found;
	RETURN found;
END $$;
SELECT filter, rows_of(filter, true) AS by_index, rows_of(filter, false) AS by_table
	FROM (VALUES ('k = 1'), ('k = 1 AND id % 100 = 7'), ('g < 20')) v (filter);
RESET work_mem;
RESET hnsw.iterative_scan;
DROP FUNCTION distances, rows_of, by;
DROP TABLE t, a;
