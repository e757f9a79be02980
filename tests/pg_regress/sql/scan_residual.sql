-- filters that the index does not answer: a scan walks on in steps that double, so it compares few more codes than one search for as many
-- rows as the filter asks for in the end, and reads few more rows

\getenv tests PG_ABS_SRCDIR
\set demo :tests '/../../demo'
\set load :demo '/load.sql'
\i :load
CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_l2_ops);
SET enable_seqscan = off;
SET enable_sort = off;

-- Sums over 20 queries: rows returned, rows read from the table, codes compared and searches. `nth` places in the order of distance pass.
CREATE FUNCTION scans(condition text, number int, ef int, OUT returned bigint, OUT rows bigint, OUT evaluations bigint, OUT walks bigint) LANGUAGE plpgsql AS $$
DECLARE
	q wordnet_query; count bigint; last record;
BEGIN
	PERFORM set_config('hnsw.ef_search', ef::text, true);
	returned := 0; rows := 0; evaluations := 0; walks := 0;
	FOR q IN SELECT * FROM wordnet_query ORDER BY id LIMIT 20 LOOP
		EXECUTE format('SELECT count(*) FROM (SELECT id FROM wordnet WHERE %s ORDER BY embedding <-> $1 LIMIT %s) s', condition, number) INTO count USING q.embedding;
		SELECT * INTO last FROM hnsw_last_scan();
		returned := returned + count;
		rows := rows + last.rows;
		evaluations := evaluations + last.evaluations;
		walks := walks + last.walks;
	END LOOP;
END $$;
-- A function that passes each n-th row that it is asked about, in the order of distance. For 400 of 5,000 rows a scan compares all codes in the end.
CREATE SEQUENCE asked;
CREATE FUNCTION each(n int) RETURNS bool LANGUAGE sql VOLATILE AS $$ SELECT nextval('asked') % n = 0 $$;
SELECT n, f.returned, f.rows <= 1.6 * 20 * 10 * n AS few_rows, f.evaluations <= 1.5 * one.evaluations + 20 * codes AS few_codes, f.walks <= most AS few_walks
	FROM (VALUES (2, 30, 0), (10, 50, 0), (40, 70, 5000)) v (n, most, codes), scans(format('each(%s)', n), 10, 40) f, scans('true', 10 * n, 10 * n) one;
RESET enable_seqscan;
RESET enable_sort;
DROP TABLE wordnet, wordnet_query;
DROP FUNCTION scans, each;
DROP SEQUENCE asked;
