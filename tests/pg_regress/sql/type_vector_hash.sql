-- vector: hash operator class

-- equal vectors have equal hashes, different ones hardly ever
SELECT vector_hash('[0]') = vector_hash('[-0]') AS zeroes, vector_hash('[1,2]') = vector_hash('[2,1]') AS swapped,
	vector_hash('[1]') = vector_hash('[1,0]') AS longer;
SELECT bool_and(vector_hash_extended(v, 0) & 4294967295 = vector_hash(v)::bigint & 4294967295) AS lower_half,
	count(DISTINCT vector_hash(v)) > 990 AS spread, count(DISTINCT vector_hash_extended(v, 42)) > 990 AS spread_extended
FROM (SELECT ARRAY[i, i % 10]::vector AS v FROM generate_series(1, 1000) i) s;
SELECT vector_hash_extended('[1]', 1) = vector_hash_extended('[1]', 2) AS seed_ignored;

CREATE TABLE duplicates (id int, v vector(3));
INSERT INTO duplicates SELECT i, ARRAY[i % 10, i % 5, 0]::vector FROM generate_series(1, 1000) i;
INSERT INTO duplicates VALUES (1001, '[0,0,-0]'), (1002, NULL), (1003, NULL);
ANALYZE duplicates;

SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT v, count(*) FROM duplicates GROUP BY v;
SELECT count(*), sum(count) FROM (SELECT v, count(*) FROM duplicates GROUP BY v) s;
SELECT count(*) FROM (SELECT DISTINCT v FROM duplicates) s;
SELECT count(*) FROM (SELECT v FROM duplicates UNION SELECT '[7,7,7]') s;
RESET enable_sort;

SET enable_mergejoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM duplicates a JOIN duplicates b ON a.v = b.v;
SELECT count(*) FROM duplicates a JOIN duplicates b ON a.v = b.v;
RESET enable_mergejoin;
RESET enable_nestloop;
SET enable_hashjoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM duplicates a JOIN duplicates b ON a.v = b.v;
SELECT count(*) FROM duplicates a JOIN duplicates b ON a.v = b.v;
RESET enable_hashjoin;
RESET enable_nestloop;

-- a hash index
CREATE INDEX ON duplicates USING hash (v);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM duplicates WHERE v = '[3,3,0]';
SELECT count(*) FROM duplicates WHERE v = '[3,3,0]';
SELECT count(*) FROM duplicates WHERE v = '[0,0,-0]';
RESET enable_seqscan;

-- partitions by hash
CREATE TABLE parts (v vector(2)) PARTITION BY HASH (v);
CREATE TABLE parts0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT ARRAY[i, i]::vector FROM generate_series(1, 100) i;
SELECT (SELECT count(*) FROM parts0) + (SELECT count(*) FROM parts1) AS total, (SELECT count(*) FROM parts0) BETWEEN 20 AND 80 AS spread;

DROP TABLE duplicates, parts;
