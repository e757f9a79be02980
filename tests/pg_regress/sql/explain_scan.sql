-- From PostgreSQL 18 on EXPLAIN ANALYZE shows the work of an index scan, the counts of hnsw_last_scan. Before, it shows none.
CREATE TABLE explained (id int, category int, embedding vector(3));
INSERT INTO explained SELECT i, i % 7, ARRAY[i % 100, i / 100, i % 13]::vector FROM generate_series(1, 2000) i;
CREATE INDEX explained_embedding ON explained USING hnsw (embedding vector_l2_ops, category);
CREATE INDEX explained_id ON explained (id);
SET enable_seqscan = off;
SET enable_bitmapscan = off;

CREATE FUNCTION shows() RETURNS boolean LANGUAGE sql AS $$ SELECT current_setting('server_version_num')::int >= 180000 $$;
-- The first line about an index of ours, with its numbers; NULL if there is none.
CREATE FUNCTION shown(options text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (' || options || ') ' || statement LOOP
		IF line ~ 'HNSW' THEN RETURN trim(line); END IF;
	END LOOP;
	RETURN NULL;
END $$;
-- True if EXPLAIN ANALYZE shows the same as hnsw_last_scan() after it: as text, and as a group in JSON.
CREATE FUNCTION agrees(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text; plan jsonb; last jsonb; words text;
BEGIN
	line := shown('ANALYZE', statement);
	-- the columns in their order, without those that are NULL
	SELECT string_agg(key || '=' || CASE key WHEN 'recall' THEN to_char(value::float8, 'FM0.000') ELSE value END, ' ') INTO words
		FROM hnsw_last_scan() l, json_each_text(to_json(l)) WITH ORDINALITY j (key, value, at) WHERE value IS NOT NULL;
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || statement INTO plan;
	plan := jsonb_path_query_first(plan, '$.**.HNSW');
	SELECT jsonb_strip_nulls(to_jsonb(l)) INTO last FROM hnsw_last_scan() l;
	IF NOT shows() THEN RETURN line IS NULL AND plan IS NULL; END IF;
	RETURN line = 'HNSW: ' || words AND plan = last;
END $$;

SELECT agrees($$SELECT id FROM explained ORDER BY embedding <-> '[50,10,5]' LIMIT 5$$) AS search;
SELECT agrees($$SELECT id FROM explained WHERE category = 3 ORDER BY embedding <-> '[50,10,5]' LIMIT 5$$) AS filtered;
SELECT agrees($$SELECT id FROM explained WHERE category = 77 ORDER BY embedding <-> '[50,10,5]' LIMIT 5$$) AS none_match;

-- Several queries in one plan have their sums shown.
SELECT shown('ANALYZE', $$SELECT n.id FROM generate_series(1, 3) i, LATERAL (SELECT id FROM explained ORDER BY embedding <-> ARRAY[i, 10, 5]::vector LIMIT 5) n$$)
	~ '^HNSW: walks=3 ' IS NOT DISTINCT FROM CASE WHEN shows() THEN true END AS three_loops;
BEGIN;
SET LOCAL omendb.target_recall = 0.9;
SELECT shown('ANALYZE', $$SELECT id FROM explained ORDER BY embedding <-> '[50,10,5]' LIMIT 5$$)
	~ ' ended_by=target_recall slack=-?\d+\.\d\d\d method=graph recall=0\.\d\d\d$' IS NOT DISTINCT FROM CASE WHEN shows() THEN true END AS target;
COMMIT;

-- Without work to show, nothing is shown.
SELECT shown('COSTS OFF', $$SELECT id FROM explained ORDER BY embedding <-> '[50,10,5]' LIMIT 5$$) AS not_run;
SELECT shown('ANALYZE', $$SELECT id FROM explained ORDER BY embedding <-> '[50,10,5]' LIMIT 0$$) AS no_row_wanted;
SELECT shown('ANALYZE', $$SELECT id FROM explained WHERE id = 7$$) AS another_method;
DROP TABLE explained;
DROP FUNCTION agrees, shown, shows;
