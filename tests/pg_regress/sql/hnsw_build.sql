-- hnsw: what CREATE INDEX takes, what it refuses, and which rows it leaves out

-- An error as one line: SQLSTATE, message, detail, hint.
CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; details text; state text; hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, details = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', state, message, nullif(details, ''), nullif(hint, ''));
END $$;

-- Ids of the rows that a search through the index finds, nearest first. It fails where the plan uses no index.
CREATE FUNCTION found(name text, operator text, query text, count int DEFAULT 10) RETURNS SETOF int LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
	search text := format('SELECT id FROM %I ORDER BY embedding %s %L LIMIT %s', name, operator, query, count);
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || search LOOP
		IF line ~ 'Index Scan using' THEN
			RETURN QUERY EXECUTE search;
			RETURN;
		END IF;
	END LOOP;
	RAISE 'the plan does not use an index';
END $$;

-- the access method and its operator classes
SELECT opcname, opcintype::regtype, opcdefault, amvalidate(c.oid)
	FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'hnsw' AND opcintype = 'vector'::regtype ORDER BY 1;
SELECT property, pg_indexam_has_property(oid, property)
	FROM pg_am, unnest(ARRAY['can_order', 'can_unique', 'can_multi_col', 'can_exclude', 'can_include']) AS property
	WHERE amname = 'hnsw';

-- options
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t VALUES (0, '[0,0,0]'), (1, '[1,2,3]'), (2, '[1,1,1]'), (3, NULL);
SELECT options, failure(format('CREATE INDEX ON t USING hnsw (embedding vector_l2_ops) WITH (%s)', options))
FROM unnest(ARRAY[
	'm = 1', 'm = 2', 'm = 32', 'm = 33', 'm = 33, ef_construction = 66', 'm = 100, ef_construction = 199',
	'm = 100, ef_construction = 200', 'm = 101', 'm = -1', 'm = x', 'm = 9999999999', 'm = ''''',
	'm = 2, ef_construction = 3', 'm = 2, ef_construction = 4', 'ef_construction = 31', 'ef_construction = 32',
	'ef_construction = 1000', 'ef_construction = 1001', 'lists = 100', 'fillfactor = 50', 'm = 8, m = 16',
	'"m" = "16", ef_construction = ''64'''
]) AS options;
DROP TABLE t;

-- an option changed later: ef_construction at once, m by REINDEX
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT i, ARRAY[i, i % 10, i % 7]::vector FROM generate_series(1, 300) i;
CREATE INDEX t_idx ON t USING hnsw (embedding vector_l2_ops);
SELECT pg_get_indexdef('t_idx'::regclass);
ALTER INDEX t_idx SET (ef_construction = 20, m = 8);
SELECT pg_get_indexdef('t_idx'::regclass);
INSERT INTO t SELECT i, ARRAY[i, i % 10, i % 7]::vector FROM generate_series(301, 400) i;
SELECT found('t', '<->', '[400,0,1]', 1);
REINDEX INDEX t_idx;
SELECT found('t', '<->', '[400,0,1]', 1);
ALTER INDEX t_idx SET (m = 11);
SELECT failure('REINDEX INDEX t_idx');
-- the index is as it was
SELECT found('t', '<->', '[400,0,1]', 1);
INSERT INTO t VALUES (401, '[401,1,2]');
SELECT found('t', '<->', '[401,1,2]', 1);
ALTER INDEX t_idx RESET (m, ef_construction);
SELECT failure('ALTER INDEX t_idx SET (m = 1)');
SELECT failure('ALTER INDEX t_idx SET (lists = 1)');
DROP TABLE t;

-- what cannot be indexed
CREATE TABLE t (id int, n int, s text, embedding vector(3), free vector, many vector[]);
SELECT columns, failure('CREATE INDEX ON t USING hnsw ' || columns) FROM unnest(ARRAY[
	'(embedding)', '(free vector_l2_ops)', '(many vector_l2_ops)', '(n vector_l2_ops)', '(s vector_l2_ops)', '(n)',
	'(embedding vector_ops)', '(embedding no_such_ops)', '(embedding vector_l2_ops DESC)',
	'(embedding vector_l2_ops NULLS FIRST)', '(embedding vector_l2_ops, embedding vector_ip_ops)',
	'(embedding vector_l2_ops) INCLUDE (id)', '((embedding || embedding) vector_l2_ops)',
	'(((embedding || embedding)::vector(6)) vector_l2_ops)', '((free::vector(16001)) vector_l2_ops)'
]) AS columns;
SELECT failure('CREATE UNIQUE INDEX ON t USING hnsw (embedding vector_l2_ops)');
CREATE INDEX t_idx ON t USING hnsw (embedding vector_l2_ops);
SELECT failure('CLUSTER t USING t_idx');
SELECT failure($$ INSERT INTO t (embedding) VALUES ('[1,2]') $$);
DROP TABLE t;

-- operator classes of the user's own making, with functions that are no distances of ours
CREATE TABLE t (id int, n int, embedding vector(3));
CREATE OPERATOR CLASS spherical_ops FOR TYPE vector USING hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops, FUNCTION 1 vector_spherical_distance(vector, vector);
CREATE OPERATOR CLASS without_ops FOR TYPE vector USING hnsw AS OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS int_ops FOR TYPE int USING hnsw AS FUNCTION 1 int4mi(int, int);
SELECT columns, regexp_replace(failure('CREATE INDEX ON t USING hnsw ' || columns), '"t_\w+"', '"..."')
	FROM unnest(ARRAY['(embedding spherical_ops)', '(embedding without_ops)', '(n int_ops)']) AS columns;
DROP OPERATOR FAMILY spherical_ops USING hnsw;
DROP OPERATOR FAMILY without_ops USING hnsw;
DROP OPERATOR FAMILY int_ops USING hnsw;
DROP TABLE t;

-- an empty table, then its first rows
CREATE TABLE t (id int, embedding vector(3));
CREATE INDEX t_idx ON t USING hnsw (embedding vector_l2_ops);
SELECT found('t', '<->', '[1,2,3]');
INSERT INTO t VALUES (1, NULL);
SELECT found('t', '<->', '[1,2,3]');
INSERT INTO t VALUES (2, '[1,2,3]');
SELECT found('t', '<->', '[1,2,3]');
INSERT INTO t VALUES (3, '[1,2,4]'), (4, '[9,9,9]'), (5, '[0,0,0]');
SELECT found('t', '<->', '[1,2,3]');
SELECT failure('SELECT found(''t'', ''<->'', ''[1,2]'')');
-- all gone, and the first row again
DELETE FROM t;
VACUUM t;
SELECT found('t', '<->', '[1,2,3]');
INSERT INTO t VALUES (6, '[3,3,3]');
SELECT found('t', '<->', '[1,2,3]');
DROP TABLE t;

-- NULLs are left out by a build and by an insert, also when a row loses or gains its embedding
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t VALUES (1, '[1,1,1]'), (2, NULL), (3, '[3,3,3]'), (4, NULL);
CREATE INDEX t_idx ON t USING hnsw (embedding vector_l2_ops);
INSERT INTO t VALUES (5, NULL), (6, '[6,6,6]');
UPDATE t SET embedding = '[2,2,2]' WHERE id = 2;
UPDATE t SET embedding = NULL WHERE id = 3;
SELECT found('t', '<->', '[0,0,0]');
VACUUM t;
SELECT found('t', '<->', '[0,0,0]');
DROP TABLE t;

-- a table of nothing but NULLs
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT i FROM generate_series(1, 100) i;
CREATE INDEX t_idx ON t USING hnsw (embedding vector_l2_ops);
SELECT found('t', '<->', '[0,0,0]');
DROP TABLE t;

-- zero vectors have no direction: a cosine index leaves them out, others do not
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t VALUES (1, '[0,0,0]'), (2, '[1,1,1]'), (3, '[-0,0,0]'), (4, '[1,0,0]');
CREATE INDEX t_idx ON t USING hnsw (embedding vector_cosine_ops);
INSERT INTO t VALUES (5, '[0,0,0]'), (6, '[0,1,0]');
SELECT found('t', '<=>', '[1,0,0]');
SELECT count(*) FROM found('t', '<=>', '[0,0,0]');
DROP INDEX t_idx;
CREATE INDEX t_idx ON t USING hnsw (embedding vector_l2_ops);
SELECT count(*) FROM found('t', '<->', '[1,0,0]');
DROP INDEX t_idx;
CREATE INDEX t_idx ON t USING hnsw (embedding vector_ip_ops);
SELECT count(*) FROM found('t', '<#>', '[1,0,0]');
DROP TABLE t;

-- a table of nothing but zero vectors
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT i, '[0,0,0]' FROM generate_series(1, 100) i;
CREATE INDEX t_idx ON t USING hnsw (embedding vector_cosine_ops);
SELECT found('t', '<=>', '[1,2,3]');
INSERT INTO t VALUES (101, '[3,2,1]');
SELECT found('t', '<=>', '[1,2,3]');
DROP INDEX t_idx;
CREATE INDEX t_idx ON t USING hnsw (embedding vector_l2_ops);
SELECT count(*), count(DISTINCT id), max(id) FROM found('t', '<->', '[1,2,3]', 200) AS id;
DROP TABLE t;

-- duplicates: rows of one element, whether by a build, by inserts or by both
CREATE FUNCTION duplicates(built int, inserted int, dimensions int)
RETURNS TABLE (rows bigint, distinct_ids bigint, first_rows bigint, first_distinct_ids bigint)
LANGUAGE plpgsql AS $$
DECLARE
	v text := array_fill(1.5, ARRAY[dimensions])::vector::text;
BEGIN
	EXECUTE format('CREATE TABLE t (id int, embedding vector(%s))', dimensions);
	INSERT INTO t SELECT i, v::vector FROM generate_series(1, built) i;
	CREATE INDEX ON t USING hnsw (embedding vector_l2_ops);
	INSERT INTO t SELECT built + i, v::vector FROM generate_series(1, inserted) i;
	RETURN QUERY SELECT a.*, b.* FROM
		(SELECT count(*), count(DISTINCT id) FROM found('t', '<->', v, 100000) id) a,
		(SELECT count(*), count(DISTINCT id) FROM found('t', '<->', v, 20) id) b;
	DROP TABLE t;
END $$;
SELECT * FROM duplicates(5000, 0, 3);
SELECT * FROM duplicates(0, 1000, 3);
SELECT * FROM duplicates(500, 500, 3);
SELECT * FROM duplicates(2000, 50, 100);

-- the most dimensions, with few and with many neighbors; also through inserts
CREATE FUNCTION wide(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	'SELECT array_agg(hashint4(i * 16000 + j) % 100)::vector FROM generate_series(1, 16000) j';
CREATE TABLE t (id int, embedding vector(16000));
INSERT INTO t SELECT i, wide(i) FROM generate_series(1, 20) i;
SET maintenance_work_mem = '256MB';
SELECT definition, failure(format('CREATE INDEX ON t USING hnsw (embedding %s)', definition)) FROM unnest(ARRAY[
	'vector_l2_ops) WITH (m = 100, ef_construction = 200', 'vector_l1_ops) WITH (m = 100, ef_construction = 200',
	'vector_ip_ops) WITH (m = 2, ef_construction = 4', 'vector_cosine_ops', 'vector_l1_ops'
]) AS definition;
INSERT INTO t SELECT i, wide(i) FROM generate_series(21, 30) i;
SELECT operator, bool_and(nearest = i) AS finds_itself
	FROM unnest(ARRAY['<->', '<=>', '<+>']) AS operator, unnest(ARRAY[1, 20, 21, 30]) AS i,
		found('t', operator, wide(i)::text, 1) AS nearest GROUP BY operator ORDER BY operator;
DROP TABLE t;
-- pages with room are listed, those too that a run of upper lists did not fit into
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT i, ARRAY[i % 97, i % 89, i % 83]::vector FROM generate_series(1, 5000) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops) WITH (m = 2, ef_construction = 4);
SELECT upper_bytes > 2 * 8192 AS several_upper_pages FROM hnsw_index_info('t_embedding');
SELECT * FROM hnsw_check('t_embedding');
DROP TABLE t;
DROP FUNCTION failure, found, duplicates, wide;
