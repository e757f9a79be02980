-- vector: btree operator class

CREATE TABLE sorted (v vector(3));
INSERT INTO sorted VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL), ('[-1,9,9]'), ('[1,2,3]'), ('[0,0,-0]');
SELECT v FROM sorted ORDER BY v, v::text;
SELECT v FROM sorted ORDER BY v DESC NULLS LAST, v::text;

CREATE INDEX sorted_v ON sorted (v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM sorted WHERE v = '[1,2,3]';
SELECT * FROM sorted WHERE v = '[1,2,3]';
SELECT count(*) FROM sorted WHERE v = '[0,0,0]';
SELECT * FROM sorted WHERE v > '[0,0,0]' ORDER BY v;
SELECT * FROM sorted WHERE v >= '[1,1,1]' AND v < '[1,2,3]';
SELECT * FROM sorted WHERE v < '[0,0]';
EXPLAIN (COSTS OFF) SELECT * FROM sorted ORDER BY v LIMIT 1;
SELECT * FROM sorted ORDER BY v LIMIT 1;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- dimensions may differ
CREATE TABLE mixed (v vector UNIQUE);
INSERT INTO mixed VALUES ('[1]'), ('[1,0]'), ('[0,5]'), ('[2]'), ('[1,-1]');
SELECT * FROM mixed ORDER BY v;
INSERT INTO mixed VALUES ('[1,0]');
INSERT INTO mixed VALUES ('[1,0]') ON CONFLICT DO NOTHING;
SELECT max(v::text) FROM mixed WHERE v IN ('[1]', '[2]');

-- core's limit for a btree entry
CREATE TABLE wide (v vector PRIMARY KEY);
INSERT INTO wide SELECT array_agg(sqrt(i)::real)::vector FROM generate_series(1, 600) i;
INSERT INTO wide SELECT array_agg(sqrt(i)::real)::vector FROM generate_series(1, 700) i;

-- sorting out-of-line vectors
CREATE TABLE toasted (id int, v vector);
INSERT INTO toasted SELECT i, (SELECT array_agg((i * 7919 + j / 2900) % 1009)::vector FROM generate_series(1, 3000) j) FROM generate_series(1, 300) i;
SELECT bool_and(ordered) FROM (SELECT v >= lag(v) OVER (ORDER BY v) AS ordered FROM toasted) s;
SELECT count(DISTINCT v) FROM toasted;

DROP TABLE sorted, mixed, wide, toasted;
