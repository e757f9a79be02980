-- rows whose vectors are kept out of line: searches fetch them in a way of their own

CREATE TABLE t (id int, embedding vector(700));
CREATE FUNCTION vector_of(i int, dimensions int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	'SELECT array_agg(hashint4(i * 3000 + j) % 1000)::vector FROM generate_series(1, dimensions) j';
INSERT INTO t SELECT i, vector_of(i, 700) FROM generate_series(1, 300) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
SET enable_seqscan = off;
SET enable_sort = off;
SET hnsw.ef_search = 100;

-- The number of chunks of a table's values.
CREATE FUNCTION chunks(of regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	chunks bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM ' || (SELECT reltoastrelid::regclass FROM pg_class WHERE oid = of) INTO chunks;
	RETURN chunks;
END $$;
-- Searches whose rows are not the nearest, with distances that are not theirs: none.
CREATE FUNCTION wrong(of regclass, operator text, dimensions int, element text DEFAULT 'vector') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	nearest float8[]; found float8[]; ids int[]; distances float8[]; wrong bigint := 0; query vector;
BEGIN
	FOR i IN 1..6 LOOP
		query := vector_of(-i, dimensions);
		EXECUTE format('SELECT array_agg(id), array_agg(d) FROM (SELECT id, embedding %s $1::%s AS d FROM %s
			ORDER BY embedding %1$s $1::%2$s LIMIT 7) s', operator, element, of) INTO ids, found USING query;
		EXECUTE format('SELECT array_agg(d) FROM (SELECT d FROM
			(SELECT embedding %s $1::%s AS d FROM %s OFFSET 0) s ORDER BY d LIMIT 7) s', operator, element, of)
			INTO nearest USING query;
		EXECUTE format('SELECT array_agg(embedding %s $1::%s ORDER BY n) FROM unnest($2) WITH ORDINALITY AS f (id, n)
			JOIN %s USING (id)', operator, element, of) INTO distances USING query, ids;
		wrong := wrong + (found IS DISTINCT FROM nearest OR found IS DISTINCT FROM distances)::int;
	END LOOP;
	RETURN wrong;
END $$;
SELECT chunks('t');
SELECT wrong('t', '<->', 700);

-- The chunks of a value in shared buffers are found without a scan of their index, and fetched once, though the query asks for the
-- distances of the rows that it is handed. (The first scan after an invalidation reads the root of the index.)
SELECT indexrelid AS toast_index FROM pg_index JOIN pg_class t ON t.reltoastrelid = indrelid WHERE t.oid = 't'::regclass \gset
SELECT vector_of(-1, 700) AS q \gset
BEGIN;
SELECT pg_stat_get_xact_numscans(:toast_index) AS before \gset
SELECT count(d) FROM (SELECT id, embedding <-> :'q' AS d FROM t ORDER BY embedding <-> :'q' LIMIT 10) s;
SELECT rows >= 10 AS measured, pg_stat_get_xact_numscans(:toast_index) - :before <= 1 AS found_without_scans FROM hnsw_last_scan();
COMMIT;

-- beside values that are kept in line
ALTER TABLE t ALTER embedding SET STORAGE MAIN;
UPDATE t SET embedding = vector_of(id + 1000, 700) WHERE id % 3 = 0;
SELECT chunks('t');
SELECT wrong('t', '<->', 700);
-- some changed, some deleted, some taken away
ALTER TABLE t ALTER embedding SET STORAGE EXTERNAL;
UPDATE t SET embedding = vector_of(id + 2000, 700) WHERE id % 4 = 0;
DELETE FROM t WHERE id % 5 = 0;
SELECT wrong('t', '<->', 700);
VACUUM t;
SELECT wrong('t', '<->', 700);
INSERT INTO t SELECT i, vector_of(i, 700) FROM generate_series(1001, 1050) i;
SELECT wrong('t', '<->', 700);
-- a new TOAST table
VACUUM FULL t;
SELECT wrong('t', '<->', 700);
TRUNCATE t;
INSERT INTO t SELECT i, vector_of(i, 700) FROM generate_series(1, 60) i;
SELECT wrong('t', '<->', 700);

-- cursors that stand while values go and others come, and the searches of a transaction that is taken back
BEGIN;
DECLARE c CURSOR FOR SELECT id, embedding <-> vector_of(-1, 700) AS d FROM t ORDER BY embedding <-> vector_of(-1, 700);
MOVE 3 IN c;
CREATE TABLE before AS SELECT id, embedding <-> vector_of(-1, 700) AS d FROM t;
UPDATE t SET embedding = vector_of(id + 5000, 700);
SAVEPOINT s;
DELETE FROM t WHERE id < 30;
SELECT wrong('t', '<->', 700);
ROLLBACK TO s;
DECLARE d CURSOR FOR SELECT id FROM t ORDER BY embedding <-> vector_of(-1, 700);
MOVE 2 IN d;
SELECT 1 / 0 FROM t ORDER BY embedding <-> vector_of(-1, 700) LIMIT 3;
ROLLBACK TO s;
CREATE FUNCTION rest(cursor refcursor, OUT rows int, OUT wrong int) LANGUAGE plpgsql AS $$
DECLARE
	row record;
BEGIN
	rows := 0;
	wrong := 0;
	LOOP
		FETCH cursor INTO row;
		EXIT WHEN NOT FOUND;
		rows := rows + 1;
		wrong := wrong + (row.d IS DISTINCT FROM (SELECT d FROM before WHERE id = row.id))::int;
	END LOOP;
END $$;
SELECT * FROM rest('c');
ROLLBACK;
SELECT wrong('t', '<->', 700);
-- a search within a search, over two TOAST tables; a search for each of many queries
CREATE TABLE other (LIKE t);
INSERT INTO other SELECT id + 1, embedding FROM t;
CREATE INDEX other_embedding ON other USING hnsw (embedding vector_l2_ops);
SELECT count(*), sum((o.id + 1 = n.id AND n.d = 0)::int) AS right
	FROM (SELECT id, embedding FROM t ORDER BY embedding <-> vector_of(-1, 700) LIMIT 20) o
	CROSS JOIN LATERAL (SELECT id, other.embedding <-> o.embedding AS d FROM other ORDER BY other.embedding <-> o.embedding LIMIT 1) n;
DROP TABLE t, other;

-- long ones, in many chunks, of another type and metric
CREATE TABLE t (id int, embedding halfvec(3000));
INSERT INTO t SELECT i, vector_of(i, 3000) FROM generate_series(1, 60) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding halfvec_cosine_ops);
SELECT chunks('t');
SELECT wrong('t', '<=>', 3000, 'halfvec');
DROP TABLE t;
-- compressed ones: in line, and out of line
CREATE TABLE t (id int, embedding vector(2000));
ALTER TABLE t ALTER embedding SET STORAGE EXTENDED;
INSERT INTO t SELECT i, (vector_of(i, 700) || array_fill(i, ARRAY[1300])::vector)::vector(2000) FROM generate_series(1, 40) i;
INSERT INTO t SELECT i, array_fill(i, ARRAY[2000])::vector FROM generate_series(41, 60) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l1_ops);
SELECT chunks('t') BETWEEN 80 AND 120 AS compressed;
SELECT wrong('t', '<+>', 2000);
DROP TABLE t;
-- temporary and unlogged ones
CREATE TEMP TABLE own AS SELECT i AS id, vector_of(i, 600)::vector(600) AS embedding FROM generate_series(1, 50) i;
CREATE INDEX ON own USING hnsw (embedding vector_l2_ops);
SELECT wrong('own', '<->', 600);
CREATE UNLOGGED TABLE aside AS SELECT * FROM own;
CREATE INDEX ON aside USING hnsw (embedding vector_ip_ops);
SELECT wrong('aside', '<#>', 600);
DROP TABLE own, aside;
DROP FUNCTION wrong, chunks, vector_of;
