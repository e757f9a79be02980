-- hnsw: strings of a nondeterministic collation differ in bytes and are equal: their conditions stay in the filter

-- The second expected result is of a server without ICU.
DO $$
BEGIN
	CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;
SELECT count(*) = 0 AS is_without FROM pg_collation WHERE collname = 'no_case' \gset
\if :is_without
\quit
\endif
CREATE TABLE words (id int, embedding vector(1), word text COLLATE no_case, list text[] COLLATE no_case);
INSERT INTO words SELECT i, ARRAY[i]::vector, (ARRAY['a', 'A', 'b'])[i], ARRAY[(ARRAY['a', 'A', 'b'])[i]] FROM generate_series(1, 3) i;
INSERT INTO words VALUES (4, '[4]', NULL, NULL);
CREATE INDEX ON words USING hnsw (embedding vector_l2_ops, word, list);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM words WHERE word = 'a' ORDER BY embedding <-> '[0]' LIMIT 5;
SELECT id FROM words WHERE word = 'a' ORDER BY embedding <-> '[0]' LIMIT 5;
SELECT id FROM words WHERE word IN ('a', 'c') ORDER BY embedding <-> '[0]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM words WHERE list && '{a}' AND word IS NOT NULL ORDER BY embedding <-> '[0]' LIMIT 5;
SELECT id FROM words WHERE list && '{a}' AND word IS NOT NULL ORDER BY embedding <-> '[0]' LIMIT 5;
SELECT id FROM words WHERE word IS NULL ORDER BY embedding <-> '[0]' LIMIT 5;
RESET enable_seqscan;
DROP TABLE words;
DROP COLLATION no_case;
