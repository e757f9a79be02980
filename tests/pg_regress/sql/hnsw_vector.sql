-- hnsw: the order of rows is that of the operator, in every operator class and for codes of every width

CREATE FUNCTION sample(seed int, i int, dimensions int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	'SELECT array_agg(hashint4(seed + 20000 * i + j) % 100)::vector FROM generate_series(1, dimensions) j';

-- Distances of the rows nearest to a query as the index gives them, without sorting, and as sorting all rows gives
-- them. It fails where a plan is not what it should be.
CREATE FUNCTION nearest(through_index bool, operator text, query vector, count int)
RETURNS TABLE (ids int[], distances float8[]) LANGUAGE plpgsql AS $$
DECLARE
	search text := format('SELECT id, embedding %s %L AS distance FROM t ORDER BY embedding %1$s %2$L LIMIT %s',
		operator, query, count);
	plan text := ''; line text;
BEGIN
	PERFORM set_config('enable_seqscan', (NOT $1)::text, true), set_config('enable_indexscan', $1::text, true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || search LOOP plan := plan || line || E'\n'; END LOOP;
	IF (plan ~ 'Index Scan using t_idx') <> $1 OR (plan ~ 'Sort') = $1 THEN RAISE 'plan: %', plan; END IF;
	RETURN QUERY EXECUTE format('SELECT array_agg(id), array_agg(distance) FROM (%s) s', search);
END $$;

-- Results of searches for 10 rows and for all rows, over some queries: the share of distances that are those of the
-- exact order at their place, whether distances ascend, whether rows are distinct, and how many come of all.
CREATE FUNCTION check_order(operator text, dimensions int, count int)
RETURNS TABLE (same numeric, ascending bool, "distinct" bool, rows int) LANGUAGE sql VOLATILE AS $$
	WITH results AS MATERIALIZED (
		SELECT q, n.ids, n.distances FROM generate_series(1, 5) q, nearest(true, operator, sample(-7, q, dimensions), count) n
	), exact AS MATERIALIZED (
		SELECT q, n.distances FROM generate_series(1, 5) q, nearest(false, operator, sample(-7, q, dimensions), count) n
	)
	SELECT avg((SELECT count(*) FROM unnest(r.distances) WITH ORDINALITY f(d, n) JOIN unnest(e.distances) WITH ORDINALITY x(d, n)
			USING (n) WHERE f.d = x.d)::numeric / cardinality(e.distances)),
		bool_and(r.distances = (SELECT array_agg(d ORDER BY d) FROM unnest(r.distances) d)),
		bool_and(cardinality(r.ids) = (SELECT count(DISTINCT id) FROM unnest(r.ids) id)),
		min(cardinality(r.ids))
	FROM results r JOIN exact e USING (q)
$$;

-- Half of the rows by a build, half by inserts. What is not asserted comes as null: the exact order of all rows where codes
-- are short of the vectors, and all rows by inner product in few dimensions, where some rows are nobody's neighbors.
CREATE FUNCTION check_class(class text, operator text, reaches_all_from int, dimensions int, total int)
RETURNS TABLE (near_same bool, near_ascending bool, near_distinct bool, all_same bool, all_ascending bool, all_distinct bool,
	all_rows bool) LANGUAGE plpgsql AS $$
DECLARE
	-- Vectors of up to 32 dimensions are kept as they are. Of others some rows may come at the wrong place.
	least float8 := CASE WHEN dimensions <= 32 THEN 1 ELSE 0.95 END;
BEGIN
	EXECUTE format('CREATE TABLE t (id int, embedding vector(%s))', dimensions);
	INSERT INTO t SELECT i, sample(11, i, dimensions) FROM generate_series(1, total / 2) i;
	EXECUTE format('CREATE INDEX t_idx ON t USING hnsw (embedding %s)', class);
	INSERT INTO t SELECT i, sample(11, i, dimensions) FROM generate_series(total / 2 + 1, total) i;
	PERFORM set_config('hnsw.ef_search', '400', true);
	RETURN QUERY SELECT n.same >= least, n.ascending, n.distinct,
			CASE WHEN dimensions BETWEEN reaches_all_from AND 32 THEN a.same = 1 END, a.ascending, a.distinct,
			CASE WHEN dimensions >= reaches_all_from THEN a.rows >= least * total END
		FROM check_order(operator, dimensions, 10) n, check_order(operator, dimensions, total) a;
	DROP TABLE t;
END $$;

SELECT class, dimensions, checked.*
FROM (VALUES ('vector_l2_ops', '<->', 1), ('vector_ip_ops', '<#>', 17), ('vector_cosine_ops', '<=>', 1), ('vector_l1_ops', '<+>', 1))
		AS classes (class, operator, reaches_all_from),
	(VALUES (1, 150), (2, 300), (3, 300), (17, 300), (32, 300), (33, 300), (64, 300), (100, 300), (384, 200), (1536, 100))
		AS sizes (dimensions, total),
	check_class(class, operator, reaches_all_from, dimensions, total) AS checked
ORDER BY class, dimensions;

-- an index serves its own operator only
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT i, sample(3, i, 3) FROM generate_series(1, 100) i;
CREATE INDEX t_idx ON t USING hnsw (embedding vector_ip_ops);
CREATE FUNCTION uses_index(ordering text) RETURNS bool LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY %s LIMIT 3', ordering) LOOP
		IF line ~ 'Index Scan using t_idx' THEN RETURN true; END IF;
	END LOOP;
	RETURN false;
END $$;
-- The operator commutes; a descending order is not an index's.
SELECT ordering, uses_index(ordering) FROM unnest(ARRAY[
	'embedding <#> ''[1,2,3]''', 'embedding <-> ''[1,2,3]''', 'embedding <=> ''[1,2,3]''', 'embedding <+> ''[1,2,3]''',
	'''[1,2,3]'' <#> embedding', 'embedding <#> ''[1,2,3]'' DESC', '-(embedding <#> ''[1,2,3]'')', 'embedding'
]) AS ordering;

-- large and small components
CREATE TABLE extremes (id int, embedding vector(3));
INSERT INTO extremes VALUES (1, '[3e38,3e38,3e38]'), (2, '[-3e38,0,0]'), (3, '[1e-45,0,0]'), (4, '[1,1,1]'), (5, '[1e20,0,0]');
CREATE INDEX extremes_idx ON extremes USING hnsw (embedding vector_l2_ops);
INSERT INTO extremes VALUES (6, '[2e38,2e38,2e38]'), (7, '[0,0,0]');
SET enable_seqscan = off;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM extremes ORDER BY embedding <-> '[1,1,1]' LIMIT 10) s;
SELECT id FROM extremes ORDER BY embedding <-> '[1,1,1]' LIMIT 1;
DROP TABLE t, extremes;
DROP FUNCTION uses_index, check_class, check_order, nearest, sample;
