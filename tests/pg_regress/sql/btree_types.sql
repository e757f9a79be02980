-- halfvec and sparsevec: btree operator classes

CREATE TABLE sorted (h halfvec(3), s sparsevec(3));
INSERT INTO sorted SELECT v::vector, v::vector FROM unnest(ARRAY['[0,0,0]', '[1,2,3]', '[1,1,1]', NULL, '[-1,9,9]', '[1,2,3]', '[0,0,-0]', '[0,0,5]', '[0,-5,0]']) v;
SELECT h FROM sorted ORDER BY h, h::text;
SELECT s FROM sorted ORDER BY s DESC NULLS LAST;
SELECT bool_and(h = s::halfvec) AS same_order FROM (SELECT h, row_number() OVER (ORDER BY h) AS n FROM sorted) a JOIN (SELECT s, row_number() OVER (ORDER BY s) AS n FROM sorted) b USING (n);

CREATE INDEX sorted_h ON sorted (h);
CREATE INDEX sorted_s ON sorted (s);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT h FROM sorted WHERE h = '[1,2,3]';
SELECT h FROM sorted WHERE h = '[1,2,3]';
SELECT count(*) FROM sorted WHERE h = '[0,0,0]';
SELECT h FROM sorted WHERE h > '[0,0,0]' ORDER BY h;
SELECT h FROM sorted WHERE h >= '[1,1,1]' AND h < '[1,2,3]';
EXPLAIN (COSTS OFF) SELECT s FROM sorted WHERE s = '{1:1,2:2,3:3}/3';
SELECT s FROM sorted WHERE s = '{1:1,2:2,3:3}/3';
SELECT count(*) FROM sorted WHERE s = '{}/3';
SELECT s FROM sorted WHERE s < '{}/3' ORDER BY s;
SELECT s FROM sorted WHERE s <= '{2:1}/3' AND s > '{}/2' ORDER BY s;
EXPLAIN (COSTS OFF) SELECT s FROM sorted ORDER BY s LIMIT 1;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- dimensions may differ
CREATE TABLE mixed (h halfvec UNIQUE, s sparsevec UNIQUE);
INSERT INTO mixed SELECT v::vector, v::vector FROM unnest(ARRAY['[1]', '[1,0]', '[0,5]', '[2]', '[1,-1]']) v;
SELECT h, s FROM mixed ORDER BY s;
INSERT INTO mixed (h) VALUES ('[1,0]');
INSERT INTO mixed (s) VALUES ('{1:1}/2');
INSERT INTO mixed (s) VALUES ('{1:1}/2') ON CONFLICT DO NOTHING;

-- sorting out-of-line vectors
CREATE TABLE toasted (h halfvec, s sparsevec);
INSERT INTO toasted SELECT v, v FROM (SELECT (SELECT array_agg((i * 7919 + j / 2900) % 1009)::vector FROM generate_series(1, 3000) j) AS v FROM generate_series(1, 100) i) t;
SELECT bool_and(ordered) FROM (SELECT h >= lag(h) OVER (ORDER BY h) AS ordered FROM toasted) t;
SELECT bool_and(ordered) FROM (SELECT s >= lag(s) OVER (ORDER BY s) AS ordered FROM toasted) t;

SELECT opcname, opcintype::regtype, amname, opcdefault FROM pg_opclass JOIN pg_am a ON a.oid = opcmethod
WHERE opcintype IN ('vector'::regtype, 'halfvec'::regtype, 'sparsevec'::regtype) AND amname IN ('btree', 'hash') ORDER BY 1, 3;

DROP TABLE sorted, mixed, toasted;
