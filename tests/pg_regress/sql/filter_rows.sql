-- rows of the table that a LIMIT of 10 reads under conditions on key columns, counted: at most 16, and 32 where the filter is left to the executor

\getenv tests PG_ABS_SRCDIR
\set demo :tests '/../../demo'
\set load :demo '/load.sql'
\i :load
CREATE TABLE keyed AS SELECT id, embedding, id % 2 AS half, id % 10 AS tenth, id % 100 AS hundredth, id % 1000 AS thousandth, topic FROM wordnet;
CREATE INDEX keyed_embedding ON keyed USING hnsw (embedding vector_l2_ops, half, tenth, hundredth, thousandth, topic);
ANALYZE keyed;
SET enable_seqscan = off;
SET enable_sort = off;

-- The mean over 50 queries of the rows read, and the share of the nearest rows found; `own` is the topic of the nearest row.
CREATE FUNCTION scans(condition text, OUT rows numeric, OUT recall numeric, OUT missing bigint) LANGUAGE plpgsql AS $$
DECLARE
	q wordnet_query; own text; found int[]; nearest int[]; hits int := 0; asked int := 0; read bigint := 0; scans int := 0;
BEGIN
	missing := 0;
	FOR q IN SELECT * FROM wordnet_query ORDER BY id LIMIT 50 LOOP
		SELECT topic INTO own FROM wordnet WHERE id = q.nearest[1];
		EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM keyed WHERE %s ORDER BY embedding <-> $1 LIMIT 10) s', replace(condition, 'own', quote_literal(own)))
			INTO found USING q.embedding;
		read := read + (hnsw_last_scan()).rows;
		scans := scans + 1;
		EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM (SELECT id, embedding <-> $1 AS d FROM keyed WHERE %s OFFSET 0) s ORDER BY d LIMIT 10) s',
			replace(condition, 'own', quote_literal(own))) INTO nearest USING q.embedding;
		asked := asked + cardinality(nearest);
		missing := missing + cardinality(nearest) - cardinality(found);
		hits := hits + cardinality(array(SELECT unnest(found) INTERSECT SELECT unnest(nearest)));
	END LOOP;
	rows := read::numeric / scans;
	recall := hits::numeric / asked;
END $$;
SELECT condition, rows <= CASE WHEN condition = 'half = 1' THEN 32 ELSE 16 END AS few_rows, recall >= .97 AS recall, missing
	FROM (VALUES ('true'), ('half = 1'), ('tenth IN (1, 2, 3)'), ('tenth = 1'), ('tenth = 1 AND half = 1'), ('hundredth = 1'), ('thousandth < 3'),
		('thousandth = 1'), ('topic = own'), ('hundredth < 0')) v (condition), scans(condition);
RESET enable_seqscan;
RESET enable_sort;
DROP TABLE keyed, wordnet, wordnet_query;
DROP FUNCTION scans;
