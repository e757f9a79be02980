-- halfvec and sparsevec: hash operator classes

-- equal vectors have equal hashes, different ones hardly ever
SELECT halfvec_hash('[0]') = halfvec_hash('[-0]') AS zeroes, halfvec_hash('[1,2]') = halfvec_hash('[2,1]') AS swapped, halfvec_hash('[1]') = halfvec_hash('[1,0]') AS longer;
SELECT sparsevec_hash('{1:0}/2') = sparsevec_hash('{}/2') AS zeroes, sparsevec_hash('{1:1}/2') = sparsevec_hash('{2:1}/2') AS moved, sparsevec_hash('{}/1') = sparsevec_hash('{}/2') AS longer,
	sparsevec_hash('{2:1,1:2}/2') = sparsevec_hash('{1:2,2:1}/2') AS sorted;
SELECT bool_and(halfvec_hash_extended(v, 0) & 4294967295 = halfvec_hash(v)::bigint & 4294967295) AS lower_half,
	count(DISTINCT halfvec_hash(v)) > 990 AS spread, count(DISTINCT halfvec_hash_extended(v, 42)) > 990 AS spread_extended
FROM (SELECT ARRAY[i, i % 10]::halfvec AS v FROM generate_series(1, 1000) i) s;
SELECT bool_and(sparsevec_hash_extended(v, 0) & 4294967295 = sparsevec_hash(v)::bigint & 4294967295) AS lower_half,
	count(DISTINCT sparsevec_hash(v)) > 990 AS spread, count(DISTINCT sparsevec_hash_extended(v, 42)) > 990 AS spread_extended
FROM (SELECT ARRAY[0, i, i % 10]::sparsevec AS v FROM generate_series(1, 1000) i) s;

CREATE TABLE duplicates (id int, h halfvec(3), s sparsevec(3));
INSERT INTO duplicates SELECT i, v, v FROM generate_series(1, 1000) i, LATERAL (SELECT ARRAY[i % 10, i % 5, 0]::vector AS v) v;
INSERT INTO duplicates VALUES (1001, '[0,0,-0]', '{1:-0}/3'), (1002, NULL, NULL), (1003, NULL, NULL);
ANALYZE duplicates;

SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT h, count(*) FROM duplicates GROUP BY h;
EXPLAIN (COSTS OFF) SELECT s, count(*) FROM duplicates GROUP BY s;
SELECT (SELECT count(*) FROM (SELECT DISTINCT h FROM duplicates) t) AS halfvec, (SELECT count(*) FROM (SELECT DISTINCT s FROM duplicates) t) AS sparsevec;
RESET enable_sort;

SET enable_mergejoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM duplicates a JOIN duplicates b ON a.s = b.s;
SELECT (SELECT count(*) FROM duplicates a JOIN duplicates b ON a.h = b.h) AS halfvec, (SELECT count(*) FROM duplicates a JOIN duplicates b ON a.s = b.s) AS sparsevec;
SET enable_mergejoin = on;
SET enable_hashjoin = off;
SELECT (SELECT count(*) FROM duplicates a JOIN duplicates b ON a.h = b.h) AS halfvec, (SELECT count(*) FROM duplicates a JOIN duplicates b ON a.s = b.s) AS sparsevec;
RESET enable_mergejoin;
RESET enable_hashjoin;
RESET enable_nestloop;

-- hash indexes
CREATE INDEX ON duplicates USING hash (h);
CREATE INDEX ON duplicates USING hash (s);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM duplicates WHERE s = '{1:3,2:3}/3';
SELECT (SELECT count(*) FROM duplicates WHERE h = '[3,3,0]') AS halfvec, (SELECT count(*) FROM duplicates WHERE s = '{1:3,2:3}/3') AS sparsevec,
	(SELECT count(*) FROM duplicates WHERE h = '[0,0,-0]') AS halfvec_zero, (SELECT count(*) FROM duplicates WHERE s = '{}/3') AS sparsevec_zero;
RESET enable_seqscan;

DROP TABLE duplicates;
