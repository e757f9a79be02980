-- scans go on: filters that reject rows, LIMITs above ef_search, and what stops a scan

-- Short vectors, whose codes are exact; distances repeat, so distances are compared and not ids.
CREATE TABLE t (id int, topic int, embedding vector(8));
INSERT INTO t
	SELECT i, i % 100, (SELECT array_agg(hashint4(i * 8 + j) % 100) FROM generate_series(1, 8) j)::vector
	FROM generate_series(1, 5000) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
ANALYZE t;
\set q '''[10,-20,30,-40,50,-60,70,-80]'''

-- Compares a search through the index with sorting all rows.
CREATE FUNCTION check_search(condition text, count int)
RETURNS TABLE (rows int, "distinct" bool, ascending bool, nearest_share numeric) LANGUAGE plpgsql AS $$
DECLARE
	search text := format('SELECT id, embedding <-> %L AS d FROM t WHERE %s ORDER BY embedding <-> %1$L LIMIT %3$s',
		'[10,-20,30,-40,50,-60,70,-80]', condition, count);
	line text; through_index bool := false;
	ids int[]; found float8[]; exact float8[];
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || search LOOP
		through_index := through_index OR line ~ 'Index Scan using t_embedding';
	END LOOP;
	IF NOT through_index THEN RAISE 'the plan does not use the index'; END IF;
	EXECUTE format('SELECT array_agg(id), array_agg(d) FROM (%s) s', search) INTO ids, found;
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true);
	EXECUTE format('SELECT array_agg(d) FROM (%s) s', search) INTO exact;
	PERFORM set_config('enable_indexscan', 'on', true);
	RETURN QUERY SELECT coalesce(cardinality(ids), 0),
		coalesce(cardinality(ids), 0) = (SELECT count(DISTINCT id) FROM unnest(ids) id),
		found IS NOT DISTINCT FROM (SELECT array_agg(d ORDER BY d) FROM unnest(found) d),
		coalesce((SELECT count(*) FROM unnest(found) d WHERE d <= exact[cardinality(exact)])::numeric / cardinality(exact), 1);
END $$;

-- the default: as many rows as are asked for, in the order of their distance
SHOW hnsw.iterative_scan;
SELECT condition, count, rows, "distinct", ascending, nearest_share >= 0.9 AS mostly_nearest
FROM (VALUES ('true', 10), ('true', 41), ('true', 200), ('true', 1000), ('topic = 7', 1), ('topic = 7', 15), ('id = 1234', 1),
	('topic < 50', 100), ('topic = 100', 10), ('true', 0)) AS v (condition, count), check_search(condition, count);
SELECT rows >= 4950 AS nearly_all, "distinct", ascending FROM check_search('true', 6000);
SELECT rows >= 49 AS nearly_all, "distinct", ascending FROM check_search('topic = 7', 6000);

-- a scan that has seen a good part of the index compares the rest of the codes as they lie: it expands few elements, with a filter too
SELECT rows, "distinct", ascending, nearest_share >= 0.97 AS nearest FROM check_search('true', 1000);
SELECT expansions < 1000 AS expands_few, evaluations < 2 * 5000 AS compares_once, method FROM hnsw_last_scan();
SELECT rows, "distinct", ascending, nearest_share >= 0.97 AS nearest FROM check_search('topic < 3', 100);
SELECT expansions < 1000 AS expands_few, evaluations < 2 * 5000 AS compares_once, method FROM hnsw_last_scan();

-- with a small ef_search all comes from going on
SET hnsw.ef_search = 1;
SELECT condition, count, rows, "distinct", ascending
FROM (VALUES ('true', 10), ('true', 200), ('topic = 7', 5)) AS v (condition, count), check_search(condition, count);
SET hnsw.ef_search = 10;

-- relaxed order: every row, some of them later than their distance says
SET hnsw.iterative_scan = relaxed_order;
SELECT condition, count, rows, "distinct", nearest_share >= 0.8 AS mostly_nearest
FROM (VALUES ('true', 10), ('true', 200), ('true', 6000), ('topic = 7', 10), ('topic = 7', 6000), ('id = 1234', 1))
	AS v (condition, count), check_search(condition, count);
-- by pgvector's recipe a CTE puts them in order
WITH relaxed AS MATERIALIZED (
	SELECT id, embedding <-> :q AS d FROM t WHERE topic < 10 ORDER BY d LIMIT 100
)
SELECT count(*), count(DISTINCT id), bool_and(d >= previous) AS ascending
	FROM (SELECT id, d, lag(d) OVER () AS previous FROM (SELECT * FROM relaxed ORDER BY d + 0) s) s;

-- off: no more than ef_search rows, before the filter
SET hnsw.iterative_scan = off;
SELECT condition, count, rows <= 10 AS at_most_ef, rows > 0 AS some, "distinct", ascending
FROM (VALUES ('true', 5), ('true', 200)) AS v (condition, count), check_search(condition, count);
SELECT rows FROM check_search('true', 200);
SELECT rows < 15 AS too_few FROM check_search('topic < 30', 15);
SELECT rows FROM check_search('embedding <-> ''[10,-20,30,-40,50,-60,70,-80]'' > 200', 1);
SET hnsw.ef_search = 300;
SELECT rows, "distinct", ascending FROM check_search('true', 200);
SET hnsw.ef_search = 10;

-- a scan stops walking on after max_scan_tuples; what it has met on the way it still gives
RESET hnsw.iterative_scan;
SET hnsw.max_scan_tuples = 1;
SELECT rows BETWEEN 10 AND 1500 AS stopped, "distinct", ascending FROM check_search('true', 6000);
SET hnsw.iterative_scan = relaxed_order;
SELECT rows BETWEEN 10 AND 1500 AS stopped, "distinct" FROM check_search('true', 6000);
SET hnsw.max_scan_tuples = 1000;
SELECT rows BETWEEN 500 AND 4999 AS stopped, "distinct" FROM check_search('true', 6000);
SET hnsw.max_scan_tuples = 100000;
SELECT rows, "distinct" FROM check_search('true', 6000);
RESET hnsw.max_scan_tuples;

-- and when it would take more memory than scan_mem_multiplier times work_mem
SET work_mem = '64kB';
SELECT rows < 5000 AS stopped, rows >= 10 AS some, "distinct" FROM check_search('true', 6000);
SET hnsw.scan_mem_multiplier = 100;
SELECT rows, "distinct" FROM check_search('true', 6000);
RESET work_mem;
RESET hnsw.scan_mem_multiplier;
RESET hnsw.iterative_scan;
RESET hnsw.ef_search;

-- a distance as a filter, an offset, an aggregate over a search, two searches at once
SET enable_seqscan = off;
SELECT count(*) = least(5, (SELECT count(*) FROM t WHERE embedding <-> :q < 90)) AS right_count
	FROM (SELECT id FROM t WHERE embedding <-> :q < 90 ORDER BY embedding <-> :q LIMIT 5) s;
SELECT (SELECT array_agg(d) FROM (SELECT embedding <-> :q AS d FROM t ORDER BY d LIMIT 5 OFFSET 5) s)
	= (SELECT (array_agg(d))[6:10] FROM (SELECT embedding <-> :q AS d FROM t ORDER BY d LIMIT 10) s) AS offset_skips;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> :q LIMIT 10) a
	JOIN (SELECT id FROM t ORDER BY embedding <-> :q LIMIT 20) b USING (id);
(SELECT 'near' AS which, count(*) FROM (SELECT id FROM t ORDER BY embedding <-> :q LIMIT 7) s)
	UNION ALL (SELECT 'opposite', count(*) FROM (SELECT id FROM t ORDER BY embedding <-> '[-10,20,-30,40,-50,60,-70,80]' LIMIT 8) s);

-- a prepared statement keeps its plan and takes new values and new settings
SET plan_cache_mode = force_generic_plan;
PREPARE search (vector, int) AS SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY embedding <-> $1 LIMIT $2) s;
EXECUTE search (:q, 10);
SET hnsw.iterative_scan = off;
EXECUTE search (:q, 100);
SET hnsw.ef_search = 60;
EXECUTE search ('[1,2,3,4,5,6,7,8]', 100);
RESET hnsw.iterative_scan;
EXECUTE search ('[1,2,3,4,5,6,7,8]', 100);
EXECUTE search ('[1,2,3]', 100);
EXECUTE search (:q, 100);
DROP TABLE t;
DROP FUNCTION check_search;
