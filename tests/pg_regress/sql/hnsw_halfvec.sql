-- hnsw on halfvec: the order of rows is that of the operator, in every operator class and for codes of every width

CREATE FUNCTION sample(seed int, i int, dimensions int) RETURNS halfvec LANGUAGE sql IMMUTABLE AS
	'SELECT array_agg(hashint4(seed + 20000 * i + j) % 100)::halfvec FROM generate_series(1, dimensions) j';

-- The distances nearest to a query, through the index or by sorting all rows. It fails where a plan is not what it should be.
CREATE FUNCTION nearest(through_index bool, operator text, query halfvec, count int) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
	search text := format('SELECT embedding %s %L AS distance FROM t ORDER BY embedding %1$s %2$L LIMIT %s', operator, query, count);
	plan text := ''; line text; result float8[];
BEGIN
	PERFORM set_config('enable_seqscan', (NOT $1)::text, true), set_config('enable_indexscan', $1::text, true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || search LOOP plan := plan || line || E'\n'; END LOOP;
	IF (plan ~ 'Index Scan using t_idx') <> $1 OR (plan ~ 'Sort') = $1 THEN RAISE 'plan: %', plan; END IF;
	EXECUTE format('SELECT array_agg(distance) FROM (%s) s', search) INTO result;
	RETURN result;
END $$;

-- Half of the rows by a build, half by inserts. Vectors of up to 32 dimensions are their own codes and come in exact order.
CREATE FUNCTION check_class(class text, operator text, dimensions int, total int)
RETURNS TABLE (same bool, ascending bool, findings bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE t (id int, embedding halfvec(%s))', dimensions);
	INSERT INTO t SELECT i, sample(11, i, dimensions) FROM generate_series(1, total / 2) i;
	EXECUTE format('CREATE INDEX t_idx ON t USING hnsw (embedding %s)', class);
	INSERT INTO t SELECT i, sample(11, i, dimensions) FROM generate_series(total / 2 + 1, total) i;
	PERFORM set_config('hnsw.ef_search', '400', true);
	RETURN QUERY
		WITH results AS MATERIALIZED (
			SELECT nearest(true, operator, sample(-7, q, dimensions), 10) AS f, nearest(false, operator, sample(-7, q, dimensions), 10) AS e
			FROM generate_series(1, 5) q
		)
		SELECT avg((SELECT count(*) FROM unnest(r.f, r.e) d (f, e) WHERE d.f = d.e) / 10.0) >= CASE WHEN dimensions <= 32 THEN 1 ELSE 0.95 END,
			bool_and(r.f = (SELECT array_agg(d ORDER BY d) FROM unnest(r.f) d)),
			(SELECT count(*) FROM hnsw_check('t_idx', heapallindexed => true))
		FROM results r;
	DROP TABLE t;
END $$;

SELECT class, dimensions, checked.*
FROM (VALUES ('halfvec_l2_ops', '<->'), ('halfvec_ip_ops', '<#>'), ('halfvec_cosine_ops', '<=>'), ('halfvec_l1_ops', '<+>')) AS classes (class, operator),
	(VALUES (1, 150), (3, 300), (32, 300), (33, 300), (384, 200), (1536, 100), (16000, 20)) AS sizes (dimensions, total),
	check_class(class, operator, dimensions, total) AS checked
ORDER BY class, dimensions;

-- empty, a null query, zero and null vectors, dimensions
CREATE TABLE t (id int, embedding halfvec(3));
CREATE INDEX t_idx ON t USING hnsw (embedding halfvec_cosine_ops);
SET enable_seqscan = off;
SELECT id FROM t ORDER BY embedding <=> '[1,2,3]';
INSERT INTO t VALUES (1, '[1,2,3]'), (2, '[3,2,0]'), (3, '[0,0,0]'), (4, NULL), (5, '[65504,65504,65504]'), (6, '[6e-08,0,0]');
SELECT id, round((embedding <=> '[1,1,1]')::numeric, 6) AS distance FROM t ORDER BY embedding <=> '[1,1,1]';
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <=> (SELECT NULL::halfvec)) s;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <=> '[0,0,0]') s;
SELECT id FROM t ORDER BY embedding <=> '[1,2]';
SELECT count(*) FROM hnsw_check('t_idx', heapallindexed => true);
SELECT elements, dimensions, metric FROM hnsw_index_info('t_idx');
DROP INDEX t_idx;

-- a vector indexed as halves; columns without dimensions; the wrong class
CREATE TABLE wide (id int, embedding vector(3));
INSERT INTO wide SELECT i, ARRAY[i, i % 7, i % 11] FROM generate_series(1, 100) i;
CREATE INDEX wide_idx ON wide USING hnsw ((embedding::halfvec(3)) halfvec_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM wide ORDER BY embedding::halfvec(3) <-> '[50,1,6]' LIMIT 3;
SELECT id FROM wide ORDER BY embedding::halfvec(3) <-> '[50,1,6]' LIMIT 1;
CREATE INDEX ON wide USING hnsw ((embedding::halfvec) halfvec_l2_ops);
CREATE INDEX ON wide USING hnsw (embedding halfvec_l2_ops);
CREATE INDEX ON t USING hnsw (embedding);
RESET enable_seqscan;

SELECT opcname, opcintype::regtype, opcdefault, amopopr::regoperator, amproc
FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod JOIN pg_amop o ON amopfamily = opcfamily JOIN pg_amproc p ON amprocfamily = opcfamily AND amprocnum = 1
WHERE amname = 'hnsw' AND amoppurpose = 'o' AND opcintype = 'halfvec'::regtype ORDER BY 1;

DROP TABLE t, wide;
DROP FUNCTION check_class, nearest, sample;
