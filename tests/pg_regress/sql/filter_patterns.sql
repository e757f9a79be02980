-- patterns on a key column of text_pattern_ops: the range of their prefix is answered by the index, the pattern by a filter

CREATE TABLE words (id int, embedding vector(3), word text, other text);
INSERT INTO words SELECT i, ARRAY[i % 31, i % 37, i % 41]::vector, w, w FROM generate_series(1, 3000) i,
	LATERAL (SELECT CASE i % 5 WHEN 0 THEN 'wörter ' WHEN 1 THEN 'Wort ' WHEN 2 THEN 'a long prefix ' ELSE 'wort ' END || i AS w) w;
INSERT INTO words VALUES (0, '[1,1,1]', NULL, NULL), (-1, '[1,1,1]', '', ''), (-2, '[1,1,1]', 'wort 12%', 'wort 12%');
CREATE INDEX words_embedding ON words USING hnsw (embedding vector_l2_ops, word text_pattern_ops, other);
VACUUM ANALYZE words;

-- The conditions that the index answers, and the filter.
CREATE FUNCTION conditions(condition text) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
	line text; found text[] := '{}';
BEGIN
	FOR line IN EXECUTE format($q$EXPLAIN (COSTS OFF) SELECT id FROM words WHERE %s ORDER BY embedding <-> '[1,2,3]' LIMIT 5$q$, condition) LOOP
		IF line ~ 'Index Cond|Filter' THEN found := found || trim(line); END IF;
	END LOOP;
	RETURN array_to_string(found, '; ');
END $$;
CREATE FUNCTION ids(condition text, by_index bool) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	found int[];
BEGIN
	PERFORM set_config('enable_seqscan', (NOT by_index)::text, true), set_config('enable_sort', (NOT by_index)::text, true),
		set_config('enable_indexscan', by_index::text, true);
	EXECUTE format($q$SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM words WHERE %s ORDER BY embedding <-> '[1,2,3]' LIMIT 5000) s$q$, condition) INTO found;
	RETURN found;
END $$;
CREATE TABLE patterns (number serial, condition text);
INSERT INTO patterns (condition) VALUES ($$word LIKE 'wort 12%'$$), ($$word LIKE 'wort 12_'$$), ($$word LIKE 'wort 12\%'$$), ($$word LIKE 'wort 1%2%'$$),
	($$word LIKE 'wörter 1%'$$), ($$word LIKE 'a long prefix 22%'$$), ($$word LIKE 'wort 123'$$), ($$word LIKE ''$$), ($$word LIKE '%'$$), ($$word LIKE '%12'$$),
	($$word ~ '^wort 12'$$), ($$word ~ '^(wort 12)$'$$), ($$word ~ 'wort 12'$$), ($$word ^@ 'wort 12'$$), ($$word LIKE 'wort 1%' AND word < 'wort 2'$$),
	($$word NOT LIKE 'wort%'$$), ($$word ILIKE 'wort 12%'$$), ($$word LIKE NULL$$), ($$other LIKE 'wort 12%'$$), ($$other LIKE 'wort 123'$$),
	($$word LIKE 'wort 12%' AND other = 'wort 123'$$);
SELECT condition, conditions(condition) FROM patterns ORDER BY number;
SELECT condition, cardinality(ids(condition, true)) AS by_index, cardinality(ids(condition, false)) AS by_table
	FROM patterns WHERE ids(condition, true) IS DISTINCT FROM ids(condition, false);
SELECT count(*) AS found FROM patterns WHERE cardinality(ids(condition, true)) > 0;
-- rows that the index leaves out are not read
SELECT cardinality(ids($$word LIKE 'wort 12%'$$, true));
SELECT rows, matches FROM hnsw_last_scan();
-- a pattern that is not known when the query is planned stays a filter
SET plan_cache_mode = force_generic_plan;
PREPARE by_pattern(text) AS SELECT id FROM words WHERE word LIKE $1 ORDER BY embedding <-> '[1,2,3]' LIMIT 5;
SET enable_seqscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) EXECUTE by_pattern('wort 12%');
RESET enable_seqscan;
RESET enable_sort;
DROP TABLE words, patterns;
DROP FUNCTION conditions, ids;
