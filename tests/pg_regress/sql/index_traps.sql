-- options and types that would leave an index which cannot be built anew

CREATE TABLE t (id int, v vector(3));
INSERT INTO t SELECT i, ARRAY[i, i % 5, i % 7]::vector FROM generate_series(1, 100) i;
CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops);

-- A column that loses its dimensions would keep the index as it is.
ALTER TABLE t ALTER COLUMN v TYPE vector;
\d t
CREATE TABLE unindexed (v vector(3));
ALTER TABLE unindexed ALTER COLUMN v TYPE vector;
CREATE INDEX ON unindexed USING hnsw (v vector_l2_ops);
DROP TABLE unindexed;
-- Other changes go through.
ALTER TABLE t ALTER COLUMN v SET STORAGE PLAIN;
ALTER TABLE t ALTER COLUMN v TYPE halfvec(3);
ALTER TABLE t ALTER COLUMN v TYPE vector(3);
DROP INDEX t_v;
ALTER TABLE t ALTER COLUMN v TYPE vector;
ALTER TABLE t ALTER COLUMN v TYPE vector(3);

-- m and ef_construction are checked together, whichever is set.
CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops);
ALTER INDEX t_v SET (m = 50);
ALTER INDEX t_v SET (ef_construction = 20);
ALTER INDEX t_v SET (m = 50, ef_construction = 100);
ALTER INDEX t_v SET (ef_construction = 99);
ALTER INDEX t_v RESET (ef_construction);
ALTER INDEX t_v SET (m = 32, ef_construction = 64);
ALTER INDEX t_v RESET (ef_construction);
CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (m = 33);
TRUNCATE t;
INSERT INTO t SELECT i, ARRAY[i, i % 5, i % 7]::vector FROM generate_series(1, 100) i;
VACUUM FULL t;
REINDEX INDEX t_v;
CREATE TABLE alike (LIKE t INCLUDING ALL);
\d alike
DROP TABLE alike;
SELECT m FROM hnsw_index_info('t_v');
DROP TABLE t;

-- Columns of domains, also over domains, and of each type.
CREATE DOMAIN three AS vector(3);
CREATE DOMAIN nonzero AS three CHECK (l2_norm(VALUE) > 0);
CREATE DOMAIN half AS halfvec(3);
CREATE DOMAIN sparse AS sparsevec(3);
CREATE DOMAIN bits AS bit(3);
CREATE DOMAIN anything AS vector;
CREATE TABLE d (id int, three three, nonzero nonzero, half half, sparse sparse, bits bits, anything anything);
INSERT INTO d SELECT i, v, v, v::vector, v::vector::sparsevec, b, v FROM generate_series(1, 200) i,
	LATERAL (SELECT ARRAY[i, i % 5, i % 7]::vector(3) AS v, (i % 8)::bit(3) AS b) s;
CREATE INDEX d_three ON d USING hnsw (three vector_l2_ops);
CREATE INDEX d_nonzero ON d USING hnsw (nonzero vector_cosine_ops);
CREATE INDEX d_half ON d USING hnsw (half halfvec_l2_ops);
CREATE INDEX d_sparse ON d USING hnsw (sparse sparsevec_l2_ops);
CREATE INDEX d_bits ON d USING hnsw (bits bit_hamming_ops);
CREATE INDEX d_anything ON d USING hnsw (anything vector_l2_ops);
INSERT INTO d VALUES (1000, '[50.1,0,1]', '[50.1,0,1]', '[50.1,0,1]', '{1:50.1,3:1}/3', '101', '[1,2]');
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM d ORDER BY three <-> '[50.1,0,1]' LIMIT 2;
SELECT id FROM d ORDER BY three <-> '[50.1,0,1]' LIMIT 2;
SELECT id FROM d ORDER BY nonzero <=> '[50.1,0,1]' LIMIT 2;
SELECT id FROM d ORDER BY half <-> '[50.1,0,1]' LIMIT 2;
SELECT id FROM d ORDER BY sparse <-> '{1:50.1,3:1}/3' LIMIT 2;
SELECT count(*) FROM (SELECT bits FROM d ORDER BY bits <~> '101' LIMIT 10) s WHERE bits = '101';
DELETE FROM d WHERE id % 2 = 0;
VACUUM d;
REINDEX TABLE d;
SELECT id FROM d ORDER BY three <-> '[50.1,0,1]' LIMIT 2;
SELECT relname, severity, finding FROM pg_class, LATERAL hnsw_check(oid, heapallindexed => true)
	WHERE relname IN ('d_three', 'd_nonzero', 'd_half', 'd_sparse', 'd_bits');
DROP TABLE d;
DROP DOMAIN nonzero, three, half, sparse, bits, anything;
