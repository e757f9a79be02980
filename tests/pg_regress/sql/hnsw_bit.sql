-- hnsw on bit: the order of rows is that of the operator, for strings of every length

CREATE FUNCTION sample(seed int, i int, bits int, share int) RETURNS varbit LANGUAGE sql IMMUTABLE AS
	'SELECT string_agg(CASE WHEN abs(hashint4(seed + 70000 * i + j) % 100) < share THEN ''1'' ELSE ''0'' END, '''')::varbit FROM generate_series(1, bits) j';

-- The distances nearest to a query, through the index or by sorting all rows. It fails where a plan is not what it should be.
CREATE FUNCTION nearest(through_index bool, operator text, query varbit, count int) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
	search text := format('SELECT hash %s %L AS distance FROM t ORDER BY hash %1$s %2$L LIMIT %s', operator, query, count);
	plan text := ''; line text; result float8[];
BEGIN
	PERFORM set_config('enable_seqscan', (NOT $1)::text, true), set_config('enable_indexscan', $1::text, true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || search LOOP plan := plan || line || E'\n'; END LOOP;
	IF (plan ~ 'Index Scan using t_idx') <> $1 OR (plan ~ 'Sort') = $1 THEN RAISE 'plan: %', plan; END IF;
	EXECUTE format('SELECT array_agg(distance) FROM (%s) s', search) INTO result;
	RETURN result;
END $$;

-- Half of the rows by a build, half by inserts. Where codes hold whole strings, what is found comes in exact order.
CREATE FUNCTION check_class(class text, operator text, bits int, total int, options text DEFAULT '')
RETURNS TABLE (same bool, ascending bool, findings bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE t (id int, hash bit(%s))', bits);
	INSERT INTO t SELECT i, sample(11, i, bits, 40) FROM generate_series(1, total / 2) i;
	EXECUTE format('CREATE INDEX t_idx ON t USING hnsw (hash %s) %s', class, options);
	INSERT INTO t SELECT i, sample(11, i, bits, 40) FROM generate_series(total / 2 + 1, total) i;
	PERFORM set_config('hnsw.ef_search', '400', true);
	RETURN QUERY
		WITH results AS MATERIALIZED (
			SELECT nearest(true, operator, sample(-7, q, bits, 40), 10) AS f, nearest(false, operator, sample(-7, q, bits, 40), 10) AS e
			FROM generate_series(1, 5) q
		)
		SELECT bool_and(r.f = r.e), bool_and(r.f = (SELECT array_agg(d ORDER BY d) FROM unnest(r.f) d)),
			(SELECT count(*) FROM hnsw_check('t_idx', heapallindexed => true))
		FROM results r;
	DROP TABLE t;
END $$;

SELECT class, bits, checked.*
FROM (VALUES ('bit_hamming_ops', '<~>'), ('bit_jaccard_ops', '<%>')) AS classes (class, operator),
	(VALUES (1, 20), (7, 300), (64, 300), (65, 300), (1000, 200), (64000, 12)) AS sizes (bits, total),
	check_class(class, operator, bits, total) AS checked
ORDER BY class, bits;
-- with so many neighbors only the beginnings of long strings fit in a page
SELECT class, checked.*
FROM (VALUES ('bit_hamming_ops', '<~>'), ('bit_jaccard_ops', '<%>')) AS classes (class, operator),
	check_class(class, operator, 64000, 12, 'WITH (m = 100, ef_construction = 200)') AS checked
ORDER BY class;

-- empty, a null query, strings of zeros and nulls, lengths; equal strings share an element
CREATE TABLE t (id int, hash bit(8));
CREATE INDEX hamming ON t USING hnsw (hash bit_hamming_ops);
CREATE INDEX jaccard ON t USING hnsw (hash bit_jaccard_ops);
SET enable_seqscan = off;
SELECT id FROM t ORDER BY hash <~> B'00000000';
INSERT INTO t VALUES (1, B'11110000'), (2, B'11111100'), (3, B'00000000'), (4, NULL), (5, B'00000001'), (6, B'11110000');
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY hash <~> B'11110000';
SELECT * FROM (SELECT id, hash <~> B'11110001' AS distance FROM t ORDER BY hash <~> B'11110001' OFFSET 0) s ORDER BY distance, id;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY hash <%> B'11110000';
SELECT * FROM (SELECT id, round((hash <%> B'11110001')::numeric, 6) AS distance FROM t ORDER BY hash <%> B'11110001' OFFSET 0) s ORDER BY distance, id;
SELECT count(*) FROM (SELECT id FROM t ORDER BY hash <%> B'00000000') s;
SELECT count(*) FROM (SELECT id FROM t ORDER BY hash <~> (SELECT NULL::bit(8))) s;
SELECT id FROM t ORDER BY hash <~> B'1111000';
SELECT id FROM t ORDER BY hash <%> B'111100001';
INSERT INTO t VALUES (7, B'1');
SELECT name, count(*) FROM unnest(ARRAY['hamming', 'jaccard']) name, hnsw_check(name::regclass, heapallindexed => true) GROUP BY 1;
SELECT elements, rows, code_bits, dimensions, metric FROM unnest(ARRAY['hamming', 'jaccard']) name, hnsw_index_info(name::regclass);
DELETE FROM t WHERE id IN (1, 2, 3);
VACUUM t;
SELECT * FROM (SELECT id, hash <~> B'11110001' AS distance FROM t ORDER BY hash <~> B'11110001' OFFSET 0) s ORDER BY distance, id;
SELECT count(*) FROM hnsw_check('hamming', heapallindexed => true);
DROP TABLE t;

-- a vector indexed by its signs, measured exactly afterwards
CREATE TABLE items (id int, embedding vector(16));
INSERT INTO items SELECT i, (SELECT array_agg(sin(i * j + j)) FROM generate_series(1, 16) j) FROM generate_series(1, 200) i;
CREATE INDEX items_idx ON items USING hnsw ((binary_quantize(embedding)::bit(16)) bit_hamming_ops);
SET hnsw.ef_search = 200;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY binary_quantize(embedding)::bit(16) <~> B'1010101010101010' LIMIT 3;
SELECT id FROM (SELECT * FROM items ORDER BY binary_quantize(embedding)::bit(16) <~>
	binary_quantize((SELECT embedding FROM items WHERE id = 77)) LIMIT 20) s
	ORDER BY embedding <=> (SELECT embedding FROM items WHERE id = 77) LIMIT 1;
RESET hnsw.ef_search;
RESET enable_seqscan;

-- what cannot be indexed
CREATE TABLE t (short bit, free varbit, limited varbit(3), longest bit(64000), longer bit(64001), n int);
CREATE INDEX ON t USING hnsw (short bit_hamming_ops);
CREATE INDEX ON t USING hnsw (free bit_hamming_ops);
CREATE INDEX ON t USING hnsw (limited bit_jaccard_ops);
CREATE INDEX ON t USING hnsw (longest bit_hamming_ops);
CREATE INDEX ON t USING hnsw (longer bit_hamming_ops);
CREATE INDEX ON t USING hnsw ((free::bit(3)) bit_hamming_ops);
CREATE INDEX ON t USING hnsw ((substring(longest, 1, 3)) bit_hamming_ops);
CREATE INDEX ON t USING hnsw (n bit_hamming_ops);
CREATE INDEX ON t USING hnsw (short);
CREATE INDEX ON t USING hnsw (short vector_l2_ops);
CREATE INDEX ON items USING hnsw (embedding bit_hamming_ops);

SELECT opcname, opcintype::regtype, opcdefault, amopopr::regoperator, amprocnum, amproc, amvalidate(c.oid)
FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod JOIN pg_amop o ON amopfamily = opcfamily JOIN pg_amproc p ON amprocfamily = opcfamily
WHERE amname = 'hnsw' AND amoppurpose = 'o' AND opcintype = 'bit'::regtype ORDER BY opcname, amprocnum;
SELECT oid::regprocedure, prorettype::regtype FROM pg_proc WHERE proname ~ '^hnsw_.*_support$' ORDER BY 1;

DROP TABLE t, items;
DROP FUNCTION check_class, nearest, sample;
