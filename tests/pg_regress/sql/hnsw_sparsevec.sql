-- hnsw on sparsevec: the order of rows is that of the operator, in every operator class, however many elements vectors have

-- Elements at indices that are drawn from the first places of as many classes as there are elements.
CREATE FUNCTION sample(seed int, i int, elements int, dimensions int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS
	'SELECT (''{'' || string_agg((dimensions / elements * (j - 1) + abs(hashint4(seed + 2000 * i + j) % least(7, dimensions / elements)) + 1)
			|| '':'' || abs(hashint4(seed - 2000 * i - j) % 100) / 10.0 + 0.1, '','') || ''}/'' || dimensions)::sparsevec
		FROM generate_series(1, elements) j';

-- The distances nearest to a query, through the index or by sorting all rows. It fails where a plan is not what it should be.
CREATE FUNCTION nearest(through_index bool, operator text, query sparsevec, count int) RETURNS float8[] LANGUAGE plpgsql AS $$
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

-- Half of the rows by a build, half by inserts.
CREATE FUNCTION check_class(class text, operator text, elements int, dimensions int, total int)
RETURNS TABLE (same bool, ascending bool, findings bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE t (id int, embedding sparsevec(%s))', dimensions);
	INSERT INTO t SELECT i, sample(11, i, elements, dimensions) FROM generate_series(1, total / 2) i;
	EXECUTE format('CREATE INDEX t_idx ON t USING hnsw (embedding %s)', class);
	INSERT INTO t SELECT i, sample(11, i, elements, dimensions) FROM generate_series(total / 2 + 1, total) i;
	PERFORM set_config('hnsw.ef_search', '400', true);
	RETURN QUERY
		WITH results AS MATERIALIZED (
			SELECT nearest(true, operator, sample(-7, q, elements, dimensions), 10) AS f, nearest(false, operator, sample(-7, q, elements, dimensions), 10) AS e
			FROM generate_series(1, 5) q
		)
		SELECT avg((SELECT count(*) FROM unnest(r.f, r.e) d (f, e) WHERE d.f = d.e) / 10.0) >= 0.95,
			bool_and(r.f = (SELECT array_agg(d ORDER BY d) FROM unnest(r.f) d)),
			(SELECT count(*) FROM hnsw_check('t_idx', heapallindexed => true))
		FROM results r;
	DROP TABLE t;
END $$;

SELECT class, elements, dimensions, checked.*
FROM (VALUES ('sparsevec_l2_ops', '<->'), ('sparsevec_ip_ops', '<#>'), ('sparsevec_cosine_ops', '<=>'), ('sparsevec_l1_ops', '<+>')) AS classes (class, operator),
	(VALUES (1, 3, 20), (3, 3, 300), (10, 1000, 300), (100, 30000, 200), (10, 1000000000, 300), (1000, 100000, 40)) AS sizes (elements, dimensions, total),
	check_class(class, operator, elements, dimensions, total) AS checked
ORDER BY class, elements, dimensions;

-- empty, a null query, zero and null vectors, dimensions
CREATE TABLE t (id int, embedding sparsevec(30000));
CREATE INDEX t_idx ON t USING hnsw (embedding sparsevec_cosine_ops);
SET enable_seqscan = off;
SELECT id FROM t ORDER BY embedding <=> '{1:1}/30000';
INSERT INTO t VALUES (1, '{1:1,2:2,3:3}/30000'), (2, '{1:3,30000:2}/30000'), (3, '{}/30000'), (4, NULL), (5, '{1:3e38,2:3e38}/30000'), (6, '{3:9.094947e-13}/30000');
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY embedding <=> '{1:1,2:1,3:1}/30000';
SELECT id, round((embedding <=> '{1:1,2:1,3:1}/30000')::numeric, 6) AS distance FROM t ORDER BY embedding <=> '{1:1,2:1,3:1}/30000';
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <=> (SELECT NULL::sparsevec)) s;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <=> '{}/30000') s;
SELECT id FROM t ORDER BY embedding <=> '{1:1}/3';
INSERT INTO t VALUES (7, '{1:1}/3');
SELECT count(*) FROM hnsw_check('t_idx', heapallindexed => true);
SELECT elements, rows, code_bits, dimensions, metric FROM hnsw_index_info('t_idx');
DELETE FROM t WHERE id = 1;
VACUUM t;
SELECT id FROM t ORDER BY embedding <=> '{1:1,2:1,3:1}/30000' LIMIT 1;
SELECT count(*) FROM hnsw_check('t_idx', heapallindexed => true);
DROP INDEX t_idx;

-- vectors of zero have distances of other measures
CREATE INDEX t_idx ON t USING hnsw (embedding sparsevec_l2_ops);
SELECT id, embedding <-> '{}/30000' AS distance FROM t ORDER BY embedding <-> '{}/30000' LIMIT 3;
SELECT elements, rows FROM hnsw_index_info('t_idx');
DROP INDEX t_idx;

-- a thousand elements in a row and no more; queries may have more
CREATE FUNCTION ones(count int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS
	'SELECT (''{'' || string_agg(j || '':1'', '','') || ''}/30000'')::sparsevec FROM generate_series(1, count) j';
INSERT INTO t VALUES (1000, ones(1000));
CREATE INDEX t_idx ON t USING hnsw (embedding sparsevec_l1_ops);
INSERT INTO t VALUES (1001, ones(1001));
SELECT id, embedding <+> ones(1500) AS distance FROM t ORDER BY embedding <+> ones(1500) LIMIT 1;
DROP INDEX t_idx;
INSERT INTO t VALUES (1001, ones(1001));
CREATE INDEX t_idx ON t USING hnsw (embedding sparsevec_l1_ops);

-- codes have room for what most rows of a build have, and for 256 elements where there are few rows; the heaviest elements
-- of a row that has more are in the index, and its distance is exact nevertheless
CREATE TABLE u (id int, embedding sparsevec(30000));
INSERT INTO u SELECT i, sample(3, i, 20, 30000) FROM generate_series(1, 1100) i;
CREATE INDEX u_idx ON u USING hnsw (embedding sparsevec_ip_ops);
SELECT elements / (element_bytes / 8192) AS "elements of a page" FROM hnsw_index_info('u_idx');
INSERT INTO u SELECT 2000 + i, sample(3, i, 200, 30000) FROM generate_series(1, 50) i;
SELECT count(*) FROM hnsw_check('u_idx', heapallindexed => true);
SELECT id, abs((embedding <#> sample(3, 7, 200, 30000)) + l2_norm(embedding) ^ 2) < 0.1 AS exact
	FROM u ORDER BY embedding <#> sample(3, 7, 200, 30000) LIMIT 1;
DELETE FROM u WHERE id > 100;
VACUUM u;
REINDEX INDEX u_idx;
SELECT elements / (element_bytes / 8192) AS "elements of a page" FROM hnsw_index_info('u_idx');
RESET enable_seqscan;

-- a vector indexed as a sparse one; columns without dimensions; the wrong class
CREATE TABLE dense (id int, embedding vector(3), free sparsevec);
INSERT INTO dense SELECT i, ARRAY[i, 0, i % 11] FROM generate_series(1, 100) i;
CREATE INDEX dense_idx ON dense USING hnsw ((embedding::sparsevec(3)) sparsevec_l2_ops);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM dense ORDER BY embedding::sparsevec(3) <-> '{1:50,3:6}/3' LIMIT 3;
SELECT id FROM dense ORDER BY embedding::sparsevec(3) <-> '{1:50,3:6}/3' LIMIT 1;
RESET enable_seqscan;
CREATE INDEX ON dense USING hnsw (free sparsevec_l2_ops);
CREATE INDEX ON dense USING hnsw (embedding sparsevec_l2_ops);
CREATE INDEX ON dense USING hnsw (free);

SELECT opcname, opcintype::regtype, opcdefault, amopopr::regoperator, amprocnum, amproc, amvalidate(c.oid)
FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod JOIN pg_amop o ON amopfamily = opcfamily JOIN pg_amproc p ON amprocfamily = opcfamily
WHERE amname = 'hnsw' AND amoppurpose = 'o' AND opcintype = 'sparsevec'::regtype ORDER BY opcname, amprocnum;

DROP TABLE t, u, dense;
DROP FUNCTION check_class, nearest, sample, ones;
