-- the index serves who wants the nearest rows, and not who wants all of them

CREATE TABLE t (id int PRIMARY KEY, topic int, embedding vector(16));
INSERT INTO t
	SELECT i, i % 100, (SELECT array_agg(hashint4(i * 16 + j) % 100) FROM generate_series(1, 16) j)::vector
	FROM generate_series(1, 5000) i;
INSERT INTO t SELECT i, i % 100, NULL FROM generate_series(5001, 5100) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
VACUUM ANALYZE t;

CREATE FUNCTION uses_index(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		IF line ~ 'Index Scan using \w+_embedding' THEN RETURN true; END IF;
	END LOOP;
	RETURN false;
END $$;

CREATE TABLE statements (wanted text, statement text);
INSERT INTO statements VALUES
	('all', 'SELECT id FROM t ORDER BY DISTANCE'),
	('all', 'CREATE TABLE c AS SELECT id FROM t ORDER BY DISTANCE'),
	('all', 'CREATE MATERIALIZED VIEW c AS SELECT id FROM t ORDER BY DISTANCE'),
	('all', 'INSERT INTO t (id) SELECT id + 10000 FROM t ORDER BY DISTANCE'),
	('all', 'SELECT array_agg(id ORDER BY DISTANCE) FROM t'),
	('all', 'SELECT array_agg(id ORDER BY DISTANCE) FROM t LIMIT 1'),
	('all', 'SELECT array(SELECT id FROM t ORDER BY DISTANCE)'),
	('all', 'SELECT min(DISTANCE) FROM t'),
	('all', 'SELECT (SELECT min(DISTANCE) FROM t)'),
	('all', 'SELECT min(DISTANCE), max(DISTANCE) FROM t'),
	('all', 'DECLARE c CURSOR FOR SELECT id FROM t ORDER BY DISTANCE'),
	('all', 'DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY DISTANCE'),
	('all', 'DECLARE c CURSOR FOR SELECT * FROM (SELECT id FROM t ORDER BY DISTANCE) s'),
	('all', 'SELECT id FROM t ORDER BY DISTANCE LIMIT NULL'),
	('all', 'SELECT id FROM t ORDER BY DISTANCE LIMIT ALL'),
	('all', 'SELECT id FROM t ORDER BY DISTANCE OFFSET 10'),
	('all', 'SELECT id FROM t ORDER BY DISTANCE LIMIT 5100'),
	('all', 'SELECT id FROM t ORDER BY DISTANCE LIMIT 9223372036854775807'),
	('all', 'WITH s AS MATERIALIZED (SELECT id FROM t ORDER BY DISTANCE) SELECT id FROM s'),
	('all', 'SELECT count(*) FROM (SELECT id FROM t ORDER BY DISTANCE) s'),
	('all', 'SELECT count(*) FROM (SELECT id FROM t ORDER BY DISTANCE) s LIMIT 10'),
	('all', 'SELECT id, count(*) OVER () FROM t ORDER BY DISTANCE LIMIT 10'),
	('all', 'SELECT id, ntile(4) OVER (ORDER BY DISTANCE) FROM t ORDER BY DISTANCE LIMIT 10'),
	('all', 'SELECT id, count(*) OVER (ORDER BY DISTANCE ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) FROM t LIMIT 10'),
	('all', 'SELECT *, count(*) OVER () FROM (SELECT id FROM t ORDER BY DISTANCE) s LIMIT 10'),
	('all', 'SELECT row_number() OVER (ORDER BY DISTANCE), id FROM t'),
	('all', 'SELECT id FROM t, LATERAL (SELECT n.id AS nearest FROM t n ORDER BY n.embedding <-> t.embedding) s'),
	('few', 'SELECT id FROM t ORDER BY DISTANCE LIMIT 10'),
	('few', 'SELECT id FROM t ORDER BY DISTANCE LIMIT 10 OFFSET 10'),
	('few', 'SELECT id FROM t ORDER BY DISTANCE FETCH FIRST 10 ROWS WITH TIES'),
	('few', 'SELECT id FROM t ORDER BY DISTANCE LIMIT 10 FOR UPDATE SKIP LOCKED'),
	('few', 'CREATE TABLE c AS SELECT id FROM t ORDER BY DISTANCE LIMIT 10'),
	('few', 'SELECT array(SELECT id FROM t ORDER BY DISTANCE LIMIT 10)'),
	('few', 'SELECT array_agg(id) FROM (SELECT id FROM t ORDER BY DISTANCE LIMIT 10) s'),
	('few', 'SELECT id, count(*) OVER () FROM (SELECT id FROM t ORDER BY DISTANCE LIMIT 10) s'),
	('few', 'DECLARE c CURSOR FOR SELECT id FROM t ORDER BY DISTANCE LIMIT 10'),
	('few', 'SELECT * FROM (SELECT id FROM t ORDER BY DISTANCE) s LIMIT 10'),
	('few', 'SELECT * FROM (SELECT * FROM (SELECT id, topic FROM t ORDER BY DISTANCE) s OFFSET 0) r LIMIT 10'),
	('few', 'WITH s AS (SELECT id FROM t ORDER BY DISTANCE LIMIT 10) SELECT id FROM s ORDER BY id'),
	('few', 'SELECT id, rank() OVER (ORDER BY DISTANCE) FROM t ORDER BY DISTANCE LIMIT 10'),
	('few', 'SELECT row_number() OVER (ORDER BY DISTANCE), id FROM t LIMIT 10'),
	('few', 'SELECT DISTINCT ON (DISTANCE) id FROM t ORDER BY DISTANCE LIMIT 10'),
	('few', 'SELECT s.id FROM generate_series(1, 3) g, LATERAL (SELECT id FROM t ORDER BY DISTANCE LIMIT 10) s'),
	('few', 'SELECT (SELECT id FROM t ORDER BY DISTANCE LIMIT 1)'),
	('few', 'SELECT id FROM (SELECT * FROM t UNION ALL SELECT * FROM t) t ORDER BY DISTANCE LIMIT 10'),
	('few', '(SELECT id FROM t ORDER BY DISTANCE LIMIT 5) UNION ALL (SELECT id FROM t ORDER BY DISTANCE LIMIT 5)'),
	('few', 'SELECT t.id FROM t JOIN t u USING (id) ORDER BY t.DISTANCE LIMIT 10'),
	('few', 'DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY DISTANCE LIMIT 10)');
UPDATE statements SET statement = replace(statement, 'DISTANCE', $$embedding <-> array_fill(1, ARRAY[16])::vector$$);

-- No row: the planner does as it should, whatever pages cost.
SELECT wanted, statement FROM statements WHERE uses_index(statement) <> (wanted = 'few');
SET random_page_cost = 1.1;
SELECT wanted, statement FROM statements WHERE uses_index(statement) <> (wanted = 'few');
SET random_page_cost = 0;
SET seq_page_cost = 10;
SELECT wanted, statement FROM statements WHERE wanted = 'all' AND uses_index(statement);
RESET seq_page_cost;
SET random_page_cost = 1.1;

-- a LIMIT that comes with the query
PREPARE nearest(bigint) AS SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT $1;
SET plan_cache_mode = force_custom_plan;
SELECT uses_index('EXECUTE nearest(10)') AS ten, uses_index('EXECUTE nearest(NULL)') AS all_rows;
SET plan_cache_mode = force_generic_plan;
SELECT uses_index('EXECUTE nearest(10)') AS any_number;
RESET plan_cache_mode;
CREATE FUNCTION nearest(number int) RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT number;
END $$;
SELECT count(*) FROM generate_series(1, 8) i, LATERAL (SELECT FROM nearest(10 * i)) s;
SELECT count(*) FROM nearest(NULL);
CREATE FUNCTION nearest_inlined(number int) RETURNS SETOF int LANGUAGE sql STABLE AS $$
	SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT number;
$$;
SELECT uses_index('SELECT * FROM nearest_inlined(10)') AS ten, uses_index('SELECT * FROM nearest_inlined(NULL)') AS all_rows;

-- every row, those without a vector as well
CREATE TABLE c AS SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector;
SELECT count(*) FROM c;
SELECT cardinality(array_agg(id ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector)) FROM t;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT NULL) s;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector;
MOVE ALL IN c;
COMMIT;
SELECT DISTINCT total FROM (SELECT count(*) OVER () AS total FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10) s;

-- partitions
CREATE TABLE parted (id int, embedding vector(16)) PARTITION BY RANGE (id);
CREATE TABLE first PARTITION OF parted FOR VALUES FROM (0) TO (2500);
CREATE TABLE second PARTITION OF parted FOR VALUES FROM (2500) TO (10000);
INSERT INTO parted SELECT id, embedding FROM t;
CREATE INDEX parted_embedding ON parted USING hnsw (embedding vector_l2_ops);
ANALYZE parted;
SELECT uses_index('SELECT id FROM parted ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10') AS few,
	uses_index('SELECT id FROM parted ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector') AS all_rows;

-- a partial index that was empty when rows were last counted
CREATE TABLE filled (id int, embedding vector(16));
CREATE INDEX filled_embedding ON filled USING hnsw (embedding vector_l2_ops) WHERE id > 0;
INSERT INTO filled SELECT id, embedding FROM t;
SELECT uses_index('SELECT id FROM filled WHERE id > 0 ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10') AS few,
	uses_index('SELECT id FROM filled WHERE id > 0 ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector') AS all_rows;

-- a cursor of which few rows are read, as the session says
SET cursor_tuple_fraction = 0.001;
SELECT uses_index('DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector') AS few_rows;
RESET cursor_tuple_fraction;
SELECT uses_index('DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector') AS any_number;

-- where no other way is left
SET enable_seqscan = off;
SELECT uses_index('SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector') AS without_limit,
	uses_index('DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector') AS cursor,
	uses_index('SELECT id FROM parted ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector') AS partitions,
	uses_index('EXECUTE nearest(NULL)') AS no_number;
SET plan_cache_mode = force_generic_plan;
PREPARE again(bigint) AS SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT $1;
SELECT uses_index('EXECUTE again(10)') AS any_number;

DROP TABLE t, c, statements, parted, filled;
DROP FUNCTION uses_index, nearest, nearest_inlined;
