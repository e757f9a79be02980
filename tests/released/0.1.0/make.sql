-- The table and the indexes of a release's fixture: rows that a build met, rows inserted later, rows that vacuum removed.
-- ./dev freeze runs it and keeps the bytes of the indexes. A restore runs the copy beside those bytes, with a newer library,
-- and must come to rows of the same TIDs: nothing here may depend on the library, on hash functions or on chance.

CREATE FUNCTION fixture_numbers(i int, count int) RETURNS int[] LANGUAGE sql IMMUTABLE AS
	'SELECT array_agg((i * i * 31 + j * j * 17 + i * j * 101) % 1009 - 500 ORDER BY j) FROM generate_series(1, count) j';
CREATE TABLE fixture (id int, category int, short vector(3), long vector(64), half halfvec(64), sparse sparsevec(64), bits bit(64))
	WITH (autovacuum_enabled = off);
CREATE FUNCTION fixture_rows(first int, last int) RETURNS SETOF fixture LANGUAGE sql AS $$
	SELECT i, i % 2, (numbers[1:3])::vector, numbers::vector, numbers::halfvec,
		(SELECT array_agg(CASE WHEN number % 3 = 0 THEN number ELSE 0 END ORDER BY at) FROM unnest(numbers) WITH ORDINALITY u (number, at))::vector::sparsevec,
		(SELECT string_agg((number > 0)::int::text, '' ORDER BY at) FROM unnest(numbers) WITH ORDINALITY u (number, at))::bit(64)
		FROM generate_series(first, last) i,
			-- from 1000 on all are equal, and from 2000 on without a vector
			fixture_numbers(CASE WHEN i < 1000 THEN i ELSE 1000 END, 64) all_numbers,
			CAST(CASE WHEN i < 2000 THEN all_numbers END AS int[]) numbers
$$;

-- Made empty: it learns its centers.
CREATE INDEX fixture_learned ON fixture USING hnsw (long vector_l2_ops) WITH (m = 4, ef_construction = 16);

INSERT INTO fixture SELECT * FROM fixture_rows(1, 150);
INSERT INTO fixture SELECT * FROM fixture_rows(1000, 1029);
INSERT INTO fixture SELECT * FROM fixture_rows(2000, 2001);

CREATE INDEX fixture_short ON fixture USING hnsw (short vector_l2_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_l2 ON fixture USING hnsw (long vector_l2_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_ip ON fixture USING hnsw (long vector_ip_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_cosine ON fixture USING hnsw (long vector_cosine_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_l1 ON fixture USING hnsw (long vector_l1_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_half ON fixture USING hnsw (half halfvec_l2_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_sparse ON fixture USING hnsw (sparse sparsevec_l2_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_hamming ON fixture USING hnsw (bits bit_hamming_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_jaccard ON fixture USING hnsw (bits bit_jaccard_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_keyed ON fixture USING hnsw (long vector_l2_ops, id, (id % 3)) WITH (m = 4, ef_construction = 16);
CREATE INDEX fixture_graphs ON fixture USING hnsw (long vector_l2_ops, category, id) WITH (m = 4, ef_construction = 16, graphs = category);
CREATE INDEX fixture_lists ON fixture USING ivfflat (long vector_l2_ops) WITH (lists = 5);

-- The column and the operator that an index serves, and a condition that it answers.
COMMENT ON INDEX fixture_learned IS 'long <->';
COMMENT ON INDEX fixture_short IS 'short <->';
COMMENT ON INDEX fixture_l2 IS 'long <->';
COMMENT ON INDEX fixture_ip IS 'long <#>';
COMMENT ON INDEX fixture_cosine IS 'long <=>';
COMMENT ON INDEX fixture_l1 IS 'long <+>';
COMMENT ON INDEX fixture_half IS 'half <->';
COMMENT ON INDEX fixture_sparse IS 'sparse <->';
COMMENT ON INDEX fixture_hamming IS 'bits <~>';
COMMENT ON INDEX fixture_jaccard IS 'bits <%>';
COMMENT ON INDEX fixture_keyed IS 'long <->';
COMMENT ON INDEX fixture_graphs IS 'long <-> category = 1';
COMMENT ON INDEX fixture_lists IS 'long <->';

INSERT INTO fixture SELECT * FROM fixture_rows(151, 200);
INSERT INTO fixture SELECT * FROM fixture_rows(1030, 1059);
DELETE FROM fixture WHERE id % 9 = 0 OR id BETWEEN 1005 AND 1024;
VACUUM fixture;
