-- scans that begin again, stand still, or meet rows that their snapshot cannot see

CREATE TABLE t (id int PRIMARY KEY, topic int, embedding vector(4));
INSERT INTO t
	SELECT i, i % 5, (SELECT array_agg(hashint4(i * 4 + j) % 1000) FROM generate_series(1, 4) j)::vector
	FROM generate_series(1, 1000) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
ANALYZE t;
CREATE TABLE q (id int PRIMARY KEY, embedding vector(4));
INSERT INTO q SELECT i, (SELECT array_agg(hashint4(-i * 4 - j) % 1000) FROM generate_series(1, 4) j)::vector FROM generate_series(1, 50) i;
INSERT INTO q VALUES (51, NULL);
ANALYZE q;
-- The nearest distances by sorting all rows.
CREATE TABLE exact AS
	SELECT q.id, n.* FROM q, LATERAL (SELECT array_agg(d) AS distances FROM
		(SELECT d FROM (SELECT t.embedding <-> q.embedding AS d FROM t OFFSET 0) s ORDER BY d LIMIT 5) s) n;
SET enable_seqscan = off;

-- The nodes of a plan, from the top down.
CREATE FUNCTION plan(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text; nodes text[] := '{}';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		IF line !~ ': ' THEN nodes := nodes || regexp_replace(line, '^[ >-]+', ''); END IF;
	END LOOP;
	RETURN array_to_string(nodes, ' > ');
END $$;

-- LATERAL: a search for each query
SET enable_memoize = off;
SELECT plan($s$ SELECT q.id, n.id FROM q CROSS JOIN LATERAL (SELECT id FROM t ORDER BY t.embedding <-> q.embedding LIMIT 5) n $s$);
CREATE TEMP TABLE found AS
	SELECT q.id, n.id AS neighbor, n.d FROM q CROSS JOIN LATERAL
		(SELECT t.id, t.embedding <-> q.embedding AS d FROM t ORDER BY t.embedding <-> q.embedding LIMIT 5) n;
SELECT count(*), count(DISTINCT (id, neighbor)) FROM found WHERE id <= 50;
SELECT count(*) AS queries, sum((f.distances = e.distances)::int) >= 48 AS mostly_exact
	FROM (SELECT id, array_agg(d ORDER BY d) AS distances FROM found GROUP BY id) f JOIN exact e USING (id) WHERE id <= 50;
-- a null query: any rows
SELECT count(*), count(DISTINCT neighbor), count(d) FROM found WHERE id = 51;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY embedding <-> (SELECT NULL::vector) LIMIT 7) s;
-- which have no order, so that none comes too late for it
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> (SELECT NULL::vector)) s;
-- a zero query
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY embedding <-> '[0,0,0,0]' LIMIT 7) s;

-- a search inside a search, over the same index
SELECT count(*), count(DISTINCT (o.id, i.id)), bool_and(i.id = o.id) FILTER (WHERE i.n = 1) AS each_finds_itself
	FROM (SELECT id, embedding FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 20) o
	CROSS JOIN LATERAL (SELECT id, row_number() OVER () AS n FROM
		(SELECT id FROM t ORDER BY t.embedding <-> o.embedding LIMIT 3) s) i;

-- a correlated subquery
SELECT count(*), count(DISTINCT nearest) > 30 AS differ FROM
	(SELECT (SELECT t.id FROM t ORDER BY t.embedding <-> q.embedding LIMIT 1) AS nearest FROM q) s;

-- the inner side of a nested loop, read again to its end with the same query
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
SELECT count(*), count(DISTINCT (a, b.id)) FROM generate_series(1, 3) a
	CROSS JOIN LATERAL (SELECT id FROM t WHERE a > 0 ORDER BY embedding <-> '[1,2,3,4]' LIMIT 100) b;
RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_material; RESET enable_memoize;

-- cursors: in pieces, back to the start, beyond the end
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]';
CREATE TEMP TABLE pieces (id int);
CREATE FUNCTION take(cursor refcursor, count int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	row int; rows int := 0;
BEGIN
	WHILE rows < count LOOP
		FETCH cursor INTO row;
		EXIT WHEN NOT FOUND;
		INSERT INTO pieces VALUES (row);
		rows := rows + 1;
	END LOOP;
	RETURN rows;
END $$;
SELECT take('c', 10), take('c', 100), take('c', 300);
SELECT count(*), count(DISTINCT id) FROM pieces;
SELECT take('c', 1000) BETWEEN 570 AND 590 AS the_rest;
SELECT take('c', 10);
SELECT count(*) = count(DISTINCT id) AS "distinct", count(*) >= 980 AS nearly_all FROM pieces;
MOVE BACKWARD 1 IN c;
ROLLBACK;

BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT embedding <-> '[1,2,3,4]' AS d FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 3;
FETCH ALL c;
FETCH BACKWARD ALL c;
FETCH FIRST c;
COMMIT;

-- a cursor sees the rows of its snapshot, whatever is deleted, changed or added while it stands
CREATE FUNCTION fetch_all(cursor refcursor, OUT rows int, OUT "distinct" bool, OUT newest int) LANGUAGE plpgsql AS $$
DECLARE
	row int; seen int[] := '{}';
BEGIN
	LOOP
		FETCH cursor INTO row;
		EXIT WHEN NOT FOUND;
		seen := seen || row;
	END LOOP;
	SELECT cardinality(seen), cardinality(seen) = count(DISTINCT id), max(id) INTO rows, "distinct", newest FROM unnest(seen) id;
END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 300;
MOVE 10 IN c;
DELETE FROM t WHERE id % 2 = 0;
UPDATE t SET embedding = '[1,2,3,4]' WHERE id % 10 = 1;
INSERT INTO t SELECT 1000 + i, i % 5, '[1,2,3,4]' FROM generate_series(1, 100) i;
SELECT rows, "distinct", newest <= 1000 AS old_ones FROM fetch_all('c');
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id <= 1000 AND id % 2 = 0) AS deleted,
	count(*) FILTER (WHERE id > 1000) AS added, count(*) FILTER (WHERE id % 10 = 1 AND id <= 1000) AS changed FROM
	(SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 200) s;
ROLLBACK;
SELECT count(*), count(DISTINCT id), max(id) <= 1000 AS old_ones FROM (SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 200) s;

-- WITH HOLD outlives its transaction
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 50;
MOVE 5 IN held;
COMMIT;
DELETE FROM t WHERE id % 3 = 0;
VACUUM t;
BEGIN;
SELECT rows, "distinct" FROM fetch_all('held');
COMMIT;
CLOSE held;
SELECT count(*), count(DISTINCT id), bool_and(id % 3 <> 0) AS none_deleted FROM
	(SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 600) s;

-- the same element, once dead and once alive: rows that were updated to what they were
UPDATE t SET topic = topic + 1;
UPDATE t SET embedding = (embedding * '[1,1,1,1]')::vector(4);
SELECT count(*) BETWEEN 640 AND 667 AS nearly_all, count(*) = count(DISTINCT id) AS "distinct" FROM
	(SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 2000) s;
VACUUM t;
SELECT count(*) BETWEEN 640 AND 667 AS nearly_all, count(*) = count(DISTINCT id) AS "distinct" FROM
	(SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 2000) s;

-- rows that a savepoint took back
BEGIN;
SAVEPOINT s;
INSERT INTO t SELECT 2000 + i, 0, '[7,7,7,7]' FROM generate_series(1, 50) i;
SELECT count(*) FROM (SELECT id FROM t WHERE embedding = '[7,7,7,7]' ORDER BY embedding <-> '[7,7,7,7]' LIMIT 50) s;
ROLLBACK TO s;
SELECT count(*) FILTER (WHERE id > 2000) FROM (SELECT id FROM t ORDER BY embedding <-> '[7,7,7,7]' LIMIT 50) s;
INSERT INTO t VALUES (3000, 0, '[7,7,7,7]');
SELECT id FROM t ORDER BY embedding <-> '[7,7,7,7]' LIMIT 1;
COMMIT;
SELECT id FROM t ORDER BY embedding <-> '[7,7,7,7]' LIMIT 1;

-- a loop in plpgsql over a search, changing the rows it reads
DO $$
DECLARE
	r record; n int := 0;
BEGIN
	FOR r IN SELECT id FROM t ORDER BY embedding <-> '[5,5,5,5]' LIMIT 100 LOOP
		UPDATE t SET embedding = '[5,5,5,5]' WHERE id = r.id;
		n := n + 1;
	END LOOP;
	RAISE NOTICE '% rows', n;
END $$;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t WHERE embedding = '[5,5,5,5]' ORDER BY embedding <-> '[5,5,5,5]' LIMIT 200) s;

-- an error inside a search leaves the index as it was
SELECT 1 / (id - id) FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 5;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> '[1,2,3,4]' LIMIT 5) s;
SELECT id FROM t ORDER BY embedding <-> '[1,2,3]' LIMIT 5;
DROP TABLE t, q, exact;

-- partial index: only for queries that imply its condition
CREATE TABLE t (id int, topic int, embedding vector(3));
INSERT INTO t SELECT i, i % 4, ARRAY[i, i, i]::vector FROM generate_series(1, 400) i;
CREATE INDEX t_partial ON t USING hnsw (embedding vector_l2_ops) WHERE topic = 1;
SELECT plan($s$ SELECT id FROM t WHERE topic = 1 ORDER BY embedding <-> '[10,10,10]' LIMIT 3 $s$);
SELECT plan($s$ SELECT id FROM t ORDER BY embedding <-> '[10,10,10]' LIMIT 3 $s$);
SELECT id FROM t WHERE topic = 1 ORDER BY embedding <-> '[8,8,8]' LIMIT 3;
UPDATE t SET topic = 1 WHERE id = 8;
UPDATE t SET topic = 2 WHERE id = 9;
INSERT INTO t VALUES (401, 1, '[8.1,8,8]'), (402, 2, '[8,8,8]');
SELECT id FROM t WHERE topic = 1 ORDER BY embedding <-> '[8,8,8]' LIMIT 3;
SELECT count(*) FROM (SELECT id FROM t WHERE topic = 1 ORDER BY embedding <-> '[8,8,8]' LIMIT 1000) s;
DROP TABLE t;

-- expression index: a column of another type, a part of a vector
CREATE TABLE t (id int, numbers float8[], embedding vector);
INSERT INTO t SELECT i, ARRAY[i, 2 * i, 0], ARRAY[i, i, -i, 1, 1]::vector FROM generate_series(1, 300) i;
INSERT INTO t VALUES (301, NULL, NULL);
CREATE INDEX t_numbers ON t USING hnsw ((numbers::vector(3)) vector_l2_ops);
CREATE INDEX t_part ON t USING hnsw ((subvector(embedding, 1, 3)::vector(3)) vector_cosine_ops);
SELECT plan($s$ SELECT id FROM t ORDER BY numbers::vector(3) <-> '[10,20,0]' LIMIT 3 $s$);
SELECT id, numbers::vector(3) <-> '[10,20,0]' AS d FROM t ORDER BY numbers::vector(3) <-> '[10,20,0]' LIMIT 1;
INSERT INTO t VALUES (302, '{10,20,0.5}', '[1,2,3,4]'), (303, '{9,9,9}', '[3,2,1]');
SELECT id FROM t ORDER BY numbers::vector(3) <-> '[10,20,0.5]' LIMIT 2;
SELECT plan($s$ SELECT id FROM t ORDER BY subvector(embedding, 1, 3)::vector(3) <=> '[3,2,1]' LIMIT 1 $s$);
SELECT id FROM t ORDER BY subvector(embedding, 1, 3)::vector(3) <=> '[3,2,1]' LIMIT 1;
INSERT INTO t VALUES (304, '{1,2}', '[1,2,3]');
INSERT INTO t VALUES (305, '{1,2,3}', '[1,2]');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY numbers::vector(3) <-> '[10,20,0]' LIMIT 1000) s;
DROP TABLE t;

-- vectors of several dimensions in one column, a partial expression index for each
CREATE TABLE t (id int, model int, embedding vector);
CREATE INDEX t_3 ON t USING hnsw ((embedding::vector(3)) vector_l2_ops) WHERE model = 3;
CREATE INDEX t_2 ON t USING hnsw ((embedding::vector(2)) vector_l2_ops) WHERE model = 2;
INSERT INTO t SELECT i, 3, ARRAY[i, i, i]::vector FROM generate_series(1, 100) i;
INSERT INTO t SELECT 100 + i, 2, ARRAY[i, i]::vector FROM generate_series(1, 100) i;
SELECT id FROM t WHERE model = 3 ORDER BY embedding::vector(3) <-> '[50,50,50]' LIMIT 1;
SELECT id FROM t WHERE model = 2 ORDER BY embedding::vector(2) <-> '[50,50]' LIMIT 1;
DROP TABLE t;

-- an index expression that itself searches the index
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT i, ARRAY[i, i, i]::vector FROM generate_series(1, 100) i;
CREATE INDEX t_plain ON t USING hnsw (embedding vector_l2_ops);
CREATE FUNCTION snapped(v vector) RETURNS vector LANGUAGE sql IMMUTABLE SET enable_seqscan = off AS
	'SELECT embedding FROM public.t ORDER BY embedding OPERATOR(public.<->) v LIMIT 1';
CREATE INDEX t_snapped ON t USING hnsw ((snapped(embedding)::vector(3)) vector_l2_ops);
SELECT id FROM t ORDER BY snapped(embedding)::vector(3) <-> '[42,42,42]' LIMIT 1;
DROP TABLE t;
DROP FUNCTION snapped, fetch_all, plan;
