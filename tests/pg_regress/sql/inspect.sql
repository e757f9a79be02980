-- looking into an index: what is in it, what is wrong with it, and who may ask

CREATE FUNCTION vectors(first int, last int) RETURNS TABLE (id int, embedding vector) LANGUAGE sql AS
	'SELECT i, ARRAY[i, hashint4(i) % 500, hashint4(-i) % 500]::vector FROM generate_series(first, last) i';

-- an empty index, made empty or emptied
CREATE TABLE t (id int, embedding vector(3));
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops) WITH (m = 4, ef_construction = 16);
SELECT * FROM hnsw_check('t_embedding');
SELECT * FROM hnsw_check('t_embedding', heapallindexed => true, raise => true);
\x
SELECT * FROM hnsw_index_info('t_embedding');
\x

-- its first rows, a build, deletes, vacuum
INSERT INTO t SELECT * FROM vectors(1, 3);
SELECT * FROM hnsw_check('t_embedding', true);
SELECT elements, tombstones, rows, levels > 0 AS has_levels, mean_degree, unreachable, built_elements
	FROM hnsw_index_info('t_embedding');
INSERT INTO t SELECT * FROM vectors(4, 500);
INSERT INTO t SELECT i, '[7,7,7]' FROM generate_series(501, 600) i;
INSERT INTO t VALUES (601, NULL);
REINDEX INDEX t_embedding;
SELECT * FROM hnsw_check('t_embedding', true);
SELECT elements, tombstones, rows, levels > 1 AS has_levels, mean_degree BETWEEN 3 AND 8 AS has_links, unreachable,
	element_bytes > 0 AS elements_take_space, upper_bytes > 0 AS so_do_levels, overflow_bytes > 0 AS so_do_rows,
	element_bytes + upper_bytes + overflow_bytes + filter_bytes + other_bytes = pg_relation_size('t_embedding') AS bytes_are_all,
	code_bits, dimensions, m, metric, layout_version, built_elements
	FROM hnsw_index_info('t_embedding');
DELETE FROM t WHERE id % 3 = 0;
SELECT * FROM hnsw_check('t_embedding', true) WHERE severity = 'error';
SELECT elements, rows FROM hnsw_index_info('t_embedding');
SELECT free_slots AS free FROM hnsw_index_info('t_embedding') \gset
VACUUM t;
SELECT * FROM hnsw_check('t_embedding', true) WHERE severity = 'error';
SELECT elements, tombstones, rows, unreachable, free_slots - :free AS freed FROM hnsw_index_info('t_embedding');
INSERT INTO t SELECT * FROM vectors(601, 700);
UPDATE t SET embedding = embedding + '[0.5,0,0]' WHERE id % 5 = 0;
SELECT * FROM hnsw_check('t_embedding', true) WHERE severity = 'error';
TRUNCATE t;
SELECT * FROM hnsw_check('t_embedding', true);

-- rows far away from the others, and from each other: a list may hold nothing that can go, and yet each has to be linked
CREATE TABLE far (id int, embedding vector(40));
INSERT INTO far SELECT i, (SELECT array_agg(hashint4(i * 40 + j) % 100) FROM generate_series(1, 40) j)::vector FROM generate_series(1, 500) i;
CREATE INDEX far_embedding ON far USING hnsw (embedding vector_l2_ops) WITH (m = 4, ef_construction = 16);
INSERT INTO far SELECT i, (SELECT array_agg(hashint4(i * 40 + j) % 10000) FROM generate_series(1, 40) j)::vector
	FROM generate_series(501, 1000) i;
SELECT * FROM hnsw_check('far_embedding', true);
DELETE FROM far WHERE id % 3 > 0;
VACUUM far;
SELECT * FROM hnsw_check('far_embedding', true);

-- each operator class; zero vectors have no direction
CREATE TABLE c (id int, embedding vector(40));
INSERT INTO c SELECT i, (SELECT array_agg(hashint4(i * 40 + j) % 100) FROM generate_series(1, 40) j)::vector FROM generate_series(1, 200) i;
INSERT INTO c VALUES (0, array_fill(0, ARRAY[40])::vector);
CREATE INDEX c_l2 ON c USING hnsw (embedding vector_l2_ops);
CREATE INDEX c_ip ON c USING hnsw (embedding vector_ip_ops);
CREATE INDEX c_cosine ON c USING hnsw (embedding vector_cosine_ops);
CREATE INDEX c_l1 ON c USING hnsw (embedding vector_l1_ops);
SELECT relname, metric, code_bits, rows, (SELECT count(*) FROM hnsw_check(c.oid, true, true)) AS findings
	FROM pg_class c, hnsw_index_info(c.oid) WHERE relname LIKE 'c\_%' ORDER BY relname;

-- partial and expression indexes, temporary and unlogged tables
CREATE INDEX c_partial ON c USING hnsw (embedding vector_l2_ops) WHERE id > 100;
CREATE INDEX c_expression ON c USING hnsw ((subvector(embedding, 1, 3)::vector(3)) vector_l2_ops);
CREATE TEMP TABLE temporary AS SELECT * FROM c;
CREATE INDEX temporary_index ON temporary USING hnsw ((embedding::vector(40)) vector_l2_ops);
CREATE UNLOGGED TABLE unlogged AS SELECT * FROM c;
CREATE INDEX unlogged_index ON unlogged USING hnsw ((embedding::vector(40)) vector_l2_ops);
SELECT name, rows, (SELECT count(*) FROM hnsw_check(name::regclass, true, true)) AS findings
	FROM (VALUES ('c_partial'), ('c_expression'), ('temporary_index'), ('unlogged_index')) v (name), hnsw_index_info(name::regclass);

-- key columns
CREATE TABLE keyed AS SELECT i AS id, ARRAY[i % 17, i % 13, 1]::vector(3) AS embedding, i % 5 AS kind FROM generate_series(1, 1000) i;
CREATE INDEX keyed_embedding ON keyed USING hnsw (embedding vector_l2_ops, kind, (id % 3));
UPDATE keyed SET kind = 7 WHERE id % 10 = 0;
SELECT rows, elements, key_columns, filter_bytes, layout_version FROM hnsw_index_info('keyed_embedding');
SELECT * FROM hnsw_check('keyed_embedding', true);
DELETE FROM keyed WHERE kind = 7;
VACUUM keyed;
SELECT * FROM hnsw_check('keyed_embedding', true);
DROP TABLE keyed;

-- NULL for an index, or none
SELECT * FROM hnsw_check(NULL);
SELECT * FROM hnsw_index_info(NULL);

-- what is no hnsw index
CREATE TABLE parts (id int, embedding vector(3)) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE INDEX parts_embedding ON parts USING hnsw (embedding vector_l2_ops);
CREATE INDEX t_id ON t (id);
DO $$
DECLARE
	name text; statement text; message text; detail text; state text;
BEGIN
	FOREACH name IN ARRAY ARRAY['t', 't_id', 'parts', 'parts_embedding', 'pg_class'] LOOP
		FOREACH statement IN ARRAY ARRAY['hnsw_check', 'hnsw_index_info'] LOOP
			BEGIN
				EXECUTE format('SELECT * FROM %s(%L)', statement, name);
				RAISE 'no error';
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, state = RETURNED_SQLSTATE;
				RAISE INFO '%: %: % %', statement, state, message, detail;
			END;
		END LOOP;
	END LOOP;
END $$;
-- the hint names the table's indexes
SELECT * FROM hnsw_index_info('t');
SELECT count(*) FROM hnsw_check('parts_1_embedding_idx');

-- who may ask: owners of the table, superusers, members of pg_stat_scan_tables
CREATE ROLE regress_owner;
CREATE ROLE regress_monitor IN ROLE pg_stat_scan_tables;
CREATE ROLE regress_nobody;
CREATE TABLE theirs (id int, embedding vector(3));
ALTER TABLE theirs OWNER TO regress_owner;
INSERT INTO theirs SELECT * FROM vectors(1, 20);
CREATE INDEX theirs_embedding ON theirs USING hnsw (embedding vector_l2_ops);
GRANT SELECT ON theirs TO regress_nobody;
SET ROLE regress_owner;
SELECT count(*) FROM hnsw_check('theirs_embedding', true);
SELECT elements FROM hnsw_index_info('theirs_embedding');
SET ROLE regress_monitor;
SELECT count(*) FROM hnsw_check('theirs_embedding', true);
SELECT elements FROM hnsw_index_info('theirs_embedding');
SET ROLE regress_nobody;
DO $$
DECLARE
	statement text; message text; detail text; state text;
BEGIN
	FOREACH statement IN ARRAY ARRAY['hnsw_check', 'hnsw_index_info'] LOOP
		BEGIN
			EXECUTE format('SELECT * FROM %s(%L)', statement, 'theirs_embedding');
			RAISE 'no error';
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, state = RETURNED_SQLSTATE;
			RAISE INFO '%: %: % %', statement, state, message, detail;
		END;
	END LOOP;
END $$;
RESET ROLE;

-- an expression of the index runs as the owner of the table, whoever asks
CREATE FUNCTION who(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RAISE INFO 'as %', current_user; RETURN v; END $$;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET ROLE regress_owner;
CREATE TABLE spy (embedding vector(3));
CREATE INDEX spy_embedding ON spy USING hnsw ((who(embedding)::vector(3)) vector_l2_ops);
INSERT INTO spy VALUES ('[1,2,3]');
RESET ROLE;
SELECT * FROM hnsw_check('spy_embedding', true);
SELECT current_user = session_user AS oneself_again;

-- the same transaction goes on after findings were read in it, and after an error
BEGIN;
INSERT INTO t SELECT * FROM vectors(1, 10);
SELECT * FROM hnsw_check('t_embedding', true);
SAVEPOINT before;
SELECT * FROM hnsw_check('t_id');
ROLLBACK TO before;
SELECT elements FROM hnsw_index_info('t_embedding');
COMMIT;

-- a concurrent build that failed left an index that need not hold all rows
CREATE TABLE broken (id int, embedding vector);
INSERT INTO broken VALUES (1, '[1,2,3]'), (2, '[1,2]');
CREATE INDEX CONCURRENTLY broken_embedding ON broken USING hnsw ((embedding::vector(3)) vector_l2_ops);
SELECT * FROM hnsw_check('broken_embedding', true);

-- an index made while rows had other versions is not for snapshots that see those
CREATE TABLE versions (id int, embedding vector(3)) WITH (fillfactor = 50);
INSERT INTO versions SELECT * FROM vectors(1, 10);
BEGIN;
UPDATE versions SET embedding = embedding + '[1,0,0]';
CREATE INDEX versions_embedding ON versions USING hnsw (embedding vector_l2_ops);
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM hnsw_check('versions_embedding');
SELECT * FROM hnsw_check('t_embedding', true);
SELECT * FROM hnsw_check('versions_embedding', true);
ROLLBACK;
SELECT * FROM hnsw_check('versions_embedding', true);

REVOKE CREATE ON SCHEMA public FROM regress_owner;
DROP TABLE theirs, spy, broken, versions, parts, c, t;
DROP FUNCTION who;
DROP ROLE regress_owner, regress_monitor, regress_nobody;
