-- every hnsw.ef_search with every LIMIT: rows are distinct, in exact order, and as many as are asked for

-- 64 dimensions have codes of 4 bits, so that estimates order what is found and rows are measured.
CREATE TABLE t (id int, share float8, embedding vector(64));
INSERT INTO t
	SELECT i, (hashint4(i) & 65535) / 65536.0, (SELECT array_agg(hashint4(i / 4 * 64 + j) % 1000 + hashint4(i * 64 + j) % 200)
		FROM generate_series(1, 64) j)::vector FROM generate_series(1, 3000) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
ANALYZE t;
CREATE TABLE q AS SELECT i AS id, (SELECT embedding + array_fill(3 * i, ARRAY[64])::vector FROM t WHERE id = i * 97) AS embedding
	FROM generate_series(1, 8) i;
SET enable_seqscan = off;
SET enable_sort = off;

-- Searches by the index, of all queries together; the share of the nearest distances that is found.
CREATE FUNCTION search(condition text, count int, OUT rows bigint, OUT distinct_rows bigint, OUT ascending bool, OUT recall numeric)
LANGUAGE plpgsql AS $$
DECLARE
	query record; ids int[]; found float8[]; exact float8[]; hits bigint := 0; asked bigint := 0;
BEGIN
	rows := 0; distinct_rows := 0; ascending := true;
	FOR query IN SELECT embedding FROM q LOOP
		EXECUTE format('SELECT array_agg(id), array_agg(d) FROM (SELECT id, embedding <-> $1 AS d FROM t WHERE %s
			ORDER BY embedding <-> $1 LIMIT %s) s', condition, coalesce(count::text, 'ALL')) INTO ids, found USING query.embedding;
		EXECUTE format('SELECT array_agg(d) FROM (SELECT d FROM (SELECT embedding <-> $1 AS d FROM t WHERE %s OFFSET 0) s
			ORDER BY d LIMIT %s) s', condition, coalesce(count::text, 'ALL')) INTO exact USING query.embedding;
		rows := rows + coalesce(cardinality(ids), 0);
		distinct_rows := distinct_rows + (SELECT count(DISTINCT id) FROM unnest(ids) id);
		ascending := ascending AND found IS NOT DISTINCT FROM (SELECT array_agg(d ORDER BY d) FROM unnest(found) d);
		hits := hits + (SELECT count(*) FROM unnest(found) d WHERE d <= exact[cardinality(exact)]);
		asked := asked + coalesce(cardinality(exact), 0);
	END LOOP;
	recall := hits / asked::numeric;
END $$;

CREATE FUNCTION by_ef(condition text, count int) RETURNS TABLE (ef int, rows bigint, "distinct" bool, ascending bool, recall numeric)
LANGUAGE plpgsql AS $$
BEGIN
	FOREACH ef IN ARRAY ARRAY[1, 2, 10, 40, 200, 1000, 10000] LOOP
		PERFORM set_config('hnsw.ef_search', ef::text, true);
		SELECT s.rows, s.rows = s.distinct_rows, s.ascending, s.recall INTO rows, "distinct", ascending, recall
			FROM search(condition, count) s;
		RETURN NEXT;
	END LOOP;
END $$;

-- in strict order
SELECT ef, rows, "distinct", ascending, recall >= CASE WHEN ef >= 40 THEN 0.97 ELSE 0 END AS recall FROM by_ef('true', 1);
SELECT ef, rows, "distinct", ascending, recall >= CASE WHEN ef >= 40 THEN 0.97 ELSE 0.5 END AS recall FROM by_ef('true', 10);
SELECT ef, rows, "distinct", ascending, recall >= 0.93 AS recall FROM by_ef('true', 1000);
-- without an end: all but the few that came too late
SELECT ef, rows >= 0.98 * 8 * 3000 AS nearly_all, "distinct", ascending FROM by_ef('true', NULL);
-- in relaxed order no row is left out
SET hnsw.iterative_scan = relaxed_order;
SELECT ef, rows, "distinct", recall >= CASE WHEN ef >= 40 THEN 0.97 ELSE 0 END AS recall FROM by_ef('true', 1);
SELECT ef, rows, "distinct", recall >= CASE WHEN ef >= 40 THEN 0.97 ELSE 0.5 END AS recall FROM by_ef('true', 10);
SELECT ef, rows, "distinct" FROM by_ef('true', 1000);
SELECT ef, rows, "distinct" FROM by_ef('true', NULL);
-- Without going on: what it finds and no more, but for the few that come too late.
SET hnsw.iterative_scan = off;
SELECT ef, rows BETWEEN 0.99 * 8 * ef AND 8 * ef AS right, "distinct", ascending FROM by_ef('true', 1000) WHERE ef <= 1000;
RESET hnsw.iterative_scan;

-- filters that leave every second row, one of a hundred, one of a thousand
SELECT count(*) FILTER (WHERE share < 0.5) / 100 AS half, count(*) FILTER (WHERE share < 0.01) AS hundredth,
	count(*) FILTER (WHERE share < 0.001) AS thousandth FROM t;
SELECT condition, count, rows, rows = distinct_rows AS "distinct", ascending, recall >= 0.95 AS recall
	FROM (VALUES ('share < 0.5', 10), ('share < 0.5', 100), ('share < 0.01', 10), ('share < 0.001', 1)) AS v (condition, count),
		search(condition, count);
SET hnsw.iterative_scan = relaxed_order;
SELECT condition, count, rows, rows = distinct_rows AS "distinct", recall >= 0.95 AS recall
	FROM (VALUES ('share < 0.5', 10), ('share < 0.5', 100), ('share < 0.01', 10), ('share < 0.001', 1)) AS v (condition, count),
		search(condition, count);
DROP TABLE t, q;
DROP FUNCTION by_ef, search;
