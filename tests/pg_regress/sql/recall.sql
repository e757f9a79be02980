-- hnsw_recall: the recall of an index on its present rows, and who may ask for what

CREATE FUNCTION vector_of(i int, dimensions int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	'SELECT array_agg(hashint4(i * 64 + j) % 1000)::vector FROM generate_series(1, dimensions) j';
CREATE TABLE t (id int PRIMARY KEY, part int, embedding vector(8));
INSERT INTO t SELECT i, i % 10, vector_of(i, 8) FROM generate_series(1, 3000) i;
CREATE TABLE q (id int, embedding vector(8));
INSERT INTO q SELECT i, vector_of(-i, 8) FROM generate_series(1, 20) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);

-- The recall of k rows, by a scan of the table: the numbers that hnsw_recall has to return.
CREATE FUNCTION recall_of(operator text, k int, condition text, OUT recall numeric, OUT worst numeric) LANGUAGE plpgsql
	SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
	query text; nearest float8[]; distances float8[]; hits int; sum float8 := 0; asked int := 0;
BEGIN
	worst := 1;
	FOR query IN SELECT embedding::text FROM q LOOP
		EXECUTE format('SELECT array_agg(d) FROM (SELECT embedding %1$s %2$L AS d FROM t WHERE %3$s ORDER BY embedding %1$s %2$L LIMIT %4$s) s',
			operator, query, condition, k) INTO distances;
		EXECUTE format('SELECT array_agg(d ORDER BY d) FROM (SELECT d FROM (SELECT embedding %1$s %2$L AS d FROM t WHERE %3$s OFFSET 0) s
			ORDER BY d LIMIT %4$s) s', operator, query, condition, k) INTO nearest;
		hits := (SELECT count(*) FROM unnest(distances) d WHERE d <= nearest[cardinality(nearest)]);
		sum := sum + hits::float8 / cardinality(nearest);
		worst := least(worst, hits::numeric / cardinality(nearest));
		asked := asked + 1;
	END LOOP;
	recall := sum / asked;
END $$;
CREATE FUNCTION same(index regclass, operator text, k int, condition text DEFAULT 'true') RETURNS TABLE (same bool, asked bigint, sound bool)
	LANGUAGE sql AS $$
	SELECT abs(r.recall - s.recall) < 1e-9 AND abs(r.worst - s.worst) < 1e-9, r.asked,
		r.recall BETWEEN low AND high AND r.worst <= r.recall AND below_half BETWEEN 0 AND 1
			AND evaluations > 0 AND milliseconds > 0 AND exact_milliseconds > 0
	FROM hnsw_recall(index, k, queries => 'SELECT embedding FROM q', filter => condition) r, recall_of(operator, k, condition) s
$$;

-- the same as by a scan of the table, with any setting and number of rows
SELECT ef, k, s.* FROM unnest(ARRAY[1, 10, 40]) ef, unnest(ARRAY[1, 10, 50]) k,
	LATERAL (SELECT set_config('hnsw.ef_search', ef::text, false)) c, same('t_embedding', '<->', k) s ORDER BY ef, k;
SET hnsw.iterative_scan = off;
SET hnsw.ef_search = 5;
SELECT * FROM same('t_embedding', '<->', 10);
RESET hnsw.iterative_scan;
SET omendb.target_recall = 0.9;
SELECT * FROM same('t_embedding', '<->', 10);
RESET omendb.target_recall;
RESET hnsw.ef_search;

-- the arguments stand for settings
SET hnsw.iterative_scan = off;
SELECT low.recall < high.recall AS is_better, low.evaluations < high.evaluations AS takes_more
	FROM hnsw_recall('t_embedding', ef_search => 1) low, hnsw_recall('t_embedding', ef_search => 200) high;
RESET hnsw.iterative_scan;
SELECT low.recall >= 0.88 AS at_90, high.recall >= 0.97 AS at_99, low.evaluations < high.evaluations AS takes_more
	FROM hnsw_recall('t_embedding', target_recall => 0.9) low, hnsw_recall('t_embedding', target_recall => 0.99) high;
SELECT a.evaluations = b.evaluations AS zero_is_off FROM hnsw_recall('t_embedding', target_recall => 0) a, hnsw_recall('t_embedding') b;

-- conditions: any, none and few of the rows
SELECT part, s.* FROM unnest(ARRAY['part = 3', 'part < 5 OR id = 17', 'id <= 15', 'embedding <-> ''[0,0,0,0,0,0,0,0]'' < 1500']) part,
	same('t_embedding', '<->', 10, part) s;
SELECT * FROM hnsw_recall('t_embedding', filter => 'id < 0');
SELECT * FROM hnsw_recall('t_embedding', filter => 'NULL');

-- rows as queries: themselves left out, and more of them asked for than there are
SELECT recall, worst, asked FROM hnsw_recall('t_embedding', sample => 50, ef_search => 1000);
SELECT asked FROM hnsw_recall('t_embedding', 1, 5000);
-- a sample is the same each time
SELECT a.recall = b.recall AND a.evaluations = b.evaluations AS same FROM hnsw_recall('t_embedding') a, hnsw_recall('t_embedding') b;

-- other metrics
CREATE INDEX t_ip ON t USING hnsw (embedding vector_ip_ops);
CREATE INDEX t_cosine ON t USING hnsw (embedding vector_cosine_ops);
CREATE INDEX t_l1 ON t USING hnsw (embedding vector_l1_ops);
SET hnsw.ef_search = 10;
SELECT index, s.* FROM (VALUES ('t_ip', '<#>'), ('t_cosine', '<=>'), ('t_l1', '<+>')) v (index, operator), same(index::regclass, operator, 10) s;
DROP INDEX t_ip, t_cosine, t_l1;

-- long vectors, whose codes are estimates; other types
CREATE TABLE long (id int, embedding vector(64), half halfvec(64), sparse sparsevec(64), bits bit(64));
INSERT INTO long (id, embedding) SELECT i, vector_of(i, 64) FROM generate_series(1, 1500) i;
UPDATE long SET half = embedding, sparse = embedding::sparsevec, bits = binary_quantize(embedding);
CREATE TABLE long_q AS SELECT * FROM long WHERE id % 70 = 0;
DELETE FROM long WHERE id % 70 = 0;
VACUUM long;
CREATE INDEX long_vector ON long USING hnsw (embedding vector_l2_ops);
CREATE INDEX long_ip ON long USING hnsw (embedding vector_ip_ops);
CREATE INDEX long_cosine ON long USING hnsw (embedding vector_cosine_ops);
CREATE INDEX long_l1 ON long USING hnsw (embedding vector_l1_ops);
CREATE INDEX long_half ON long USING hnsw (half halfvec_cosine_ops);
CREATE INDEX long_sparse ON long USING hnsw (sparse sparsevec_l2_ops);
CREATE INDEX long_bits ON long USING hnsw (bits bit_hamming_ops);
CREATE INDEX long_jaccard ON long USING hnsw (bits bit_jaccard_ops);
CREATE INDEX long_part ON long USING ivfflat (embedding vector_l2_ops) WHERE id > 700;
CREATE INDEX long_expression ON long USING hnsw ((subvector(embedding, 1, 40)::vector(40)) vector_l2_ops);
CREATE FUNCTION exact(term text, operator text, condition text) RETURNS numeric LANGUAGE plpgsql
	SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
	query text; nearest float8[]; distances float8[]; hits int := 0;
BEGIN
	FOR query IN EXECUTE format('SELECT %s::text FROM long_q ORDER BY id', term) LOOP
		EXECUTE format('SELECT array_agg(d) FROM (SELECT %1$s %2$s %3$L AS d FROM long WHERE %4$s ORDER BY %1$s %2$s %3$L LIMIT 10) s',
			term, operator, query, condition) INTO distances;
		EXECUTE format('SELECT array_agg(d ORDER BY d) FROM (SELECT d FROM (SELECT %1$s %2$s %3$L AS d FROM long WHERE %4$s OFFSET 0) s
			ORDER BY d LIMIT 10) s', term, operator, query, condition) INTO nearest;
		hits := hits + (SELECT count(*) FROM unnest(distances) d WHERE d <= nearest[10]);
	END LOOP;
	RETURN hits / (10.0 * (SELECT count(*) FROM long_q));
END $$;
SELECT index, abs(r.recall - exact(term, operator, condition)) < 1e-9 AS same, asked, r.recall > 0.5 AS finds
	FROM (VALUES ('long_ip', 'embedding', '<#>', 'true'), ('long_cosine', 'embedding', '<=>', 'true'), ('long_l1', 'embedding', '<+>', 'true'),
		('long_half', 'half', '<=>', 'true'), ('long_sparse', 'sparse', '<->', 'true'), ('long_bits', 'bits', '<~>', 'true'),
		('long_jaccard', 'bits', '<%>', 'true'), ('long_expression', 'subvector(embedding, 1, 40)::vector(40)', '<->', 'true'))
		v (index, term, operator, condition),
		hnsw_recall(index::regclass, queries => format('SELECT %s FROM long_q', term)) r;
DROP INDEX long_vector;
SELECT abs(r.recall - exact('embedding', '<->', 'id > 700')) < 1e-9 AS same, asked
	FROM hnsw_recall('long_part', queries => 'SELECT embedding FROM long_q') r;

-- many rows with one vector, deleted rows, rows of this transaction, NULL and zero vectors
CREATE TABLE d (id int, embedding vector(2));
INSERT INTO d SELECT i, '[1,2]' FROM generate_series(1, 500) i;
INSERT INTO d SELECT i, ARRAY[i, 0] FROM generate_series(501, 900) i;
INSERT INTO d VALUES (0, NULL), (0, '[0,0]');
CREATE INDEX d_l2 ON d USING hnsw (embedding vector_l2_ops);
CREATE INDEX d_cosine ON d USING hnsw (embedding vector_cosine_ops);
SELECT recall, worst, asked FROM hnsw_recall('d_l2', 20, queries => $$VALUES ('[1,2]'::vector), ('[1,3]'), (NULL), ('[700.2,0]')$$);
SELECT recall, worst, asked FROM hnsw_recall('d_cosine', 3, queries => $$VALUES ('[1,2]'::vector), ('[0,0]')$$);
SELECT recall, worst, asked FROM hnsw_recall('d_l2', 3, sample => 1000);
DELETE FROM d WHERE id > 10 AND id <> 700;
SELECT recall, worst, asked FROM hnsw_recall('d_l2', 10000, sample => 1000);
BEGIN;
UPDATE d SET embedding = embedding + '[3,3]' WHERE id = 5;
DELETE FROM d WHERE id = 6;
SELECT recall, worst, asked FROM hnsw_recall('d_l2', 10, queries => 'SELECT embedding FROM d WHERE id = 5');
ROLLBACK;
SELECT * FROM same('t_embedding', '<->', 10);
-- versions that changed without the index
ALTER TABLE t SET (fillfactor = 50);
UPDATE t SET part = part + 100 WHERE id % 3 = 0;
SELECT * FROM same('t_embedding', '<->', 10, 'part > 100');

-- none, and NULL
CREATE TABLE none (id int, embedding vector(3));
CREATE INDEX none_embedding ON none USING hnsw (embedding vector_l2_ops);
SELECT * FROM hnsw_recall('none_embedding');
SELECT * FROM hnsw_recall('none_embedding', queries => $$SELECT '[1,2,3]'::vector$$);
SELECT * FROM hnsw_recall('t_embedding', queries => 'SELECT embedding FROM q WHERE false');
SELECT * FROM hnsw_recall(NULL);
SELECT * FROM hnsw_recall('t_embedding', NULL);

-- partitions
CREATE TABLE parts (id int, embedding vector(8)) PARTITION BY HASH (id);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 2) PARTITION BY RANGE (id);
CREATE TABLE parts_2_low PARTITION OF parts_2 FOR VALUES FROM (0) TO (1000);
CREATE TABLE parts_2_high PARTITION OF parts_2 FOR VALUES FROM (1000) TO (5000);
INSERT INTO parts SELECT id, embedding FROM t;
CREATE INDEX parts_embedding ON parts USING hnsw (embedding vector_l2_ops);
SELECT r.recall > 0.9 AS finds, r.recall = s.recall AS same, asked FROM hnsw_recall('parts_embedding', 10, queries => 'SELECT embedding FROM q') r,
	LATERAL (SELECT avg((SELECT count(*) FROM unnest(
			ARRAY(SELECT embedding <-> q.embedding AS d FROM parts ORDER BY d LIMIT 10)) d
		WHERE d <= (SELECT max(d) FROM (SELECT l2_distance(embedding, q.embedding) AS d FROM parts ORDER BY d LIMIT 10) e)) / 10.0) AS recall FROM q) s;
SELECT asked, recall > 0.9 AS finds FROM hnsw_recall('parts_embedding', sample => 200);
SELECT count(*) FROM hnsw_recall('parts_embedding', filter => 'id < 1500');
CREATE TABLE parts_more (LIKE parts);
CREATE INDEX only_parts ON ONLY parts USING hnsw (embedding vector_l2_ops);
SELECT * FROM hnsw_recall('only_parts');

-- the option of an index stands where neither settings nor arguments say otherwise, each partition's for itself
CREATE FUNCTION work(arguments text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE result float8;
BEGIN EXECUTE format('SELECT evaluations FROM hnsw_recall(%s)', arguments) INTO result; RETURN result; END $$;
RESET hnsw.ef_search;
SELECT work($$'t_embedding'$$) AS by_ef, work($$'t_embedding', target_recall => 0.99$$) AS by_target,
	work($$'parts_embedding', target_recall => 0$$) AS parts_by_ef, work($$'parts_embedding', target_recall => 0.99$$) AS parts_by_target \gset
ALTER INDEX t_embedding SET (target_recall = 0.99);
SELECT :by_ef <> :by_target AS differ, work($$'t_embedding'$$) = :by_target AS option, work($$'t_embedding', ef_search => 40$$) = :by_ef AS ef,
	work($$'t_embedding', target_recall => 0$$) = :by_ef AS none;
SET omendb.target_recall = 0;
SELECT work($$'t_embedding'$$) = :by_ef AS session;
RESET omendb.target_recall;
SET hnsw.ef_search = 10;
SELECT work($$'t_embedding'$$) = work($$'t_embedding', ef_search => 10$$) AS session;
RESET hnsw.ef_search;
ALTER INDEX t_embedding RESET (target_recall);
ALTER INDEX parts_0_embedding_idx SET (target_recall = 0.99);
SELECT work($$'parts_embedding'$$) NOT IN (:parts_by_ef, :parts_by_target) AS one_of_four;
ALTER INDEX parts_1_embedding_idx SET (target_recall = 0.99);
ALTER INDEX parts_2_low_embedding_idx SET (target_recall = 0.99);
ALTER INDEX parts_2_high_embedding_idx SET (target_recall = 0.99);
SELECT work($$'parts_embedding'$$) = :parts_by_target AS all_of_four;
DROP FUNCTION work;

-- a curve: the last setting of a kind finds no less than the first, and takes more
CREATE TABLE curve AS SELECT * FROM hnsw_recall_curve('t_embedding', 10, 40);
SELECT setting, value, recall BETWEEN low AND high AS sound, worst <= recall AS worst, evaluations > 0 AND milliseconds > 0 AS work FROM curve;
SELECT low.setting, low.recall <= high.recall AS finds, low.evaluations < high.evaluations AS takes_more FROM curve low, curve high
	WHERE low.setting = high.setting AND (low.value, high.value) IN ((10, 400), (0.9, 0.99));
-- settings of one's own
SELECT setting, value, worst <= worst_percent AND worst_percent <= recall AS sound
	FROM hnsw_recall_curve('t_embedding', ef_search => '{7,70}', target_recall => NULL);
SELECT setting, value FROM hnsw_recall_curve('t_embedding', ef_search => '{}', target_recall => '{0.5,0.9999,0}');
SELECT * FROM hnsw_recall_curve('t_embedding', ef_search => NULL, target_recall => NULL);

-- bad input
CREATE FUNCTION attempt(arguments text, function text DEFAULT 'hnsw_recall') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; detail text; hint text;
BEGIN
	EXECUTE format('SELECT * FROM %s(%s)', function, arguments);
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(': ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''));
END $$;
CREATE INDEX t_part ON t (part);
CREATE TABLE secret (embedding vector(8));
SELECT arguments, attempt(arguments) FROM unnest(ARRAY[
	$$'t_embedding', 0$$, $$'t_embedding', -1$$, $$'t_embedding', 10001$$, $$'t_embedding', 10000$$,
	$$'t_embedding', sample => 0$$, $$'t_embedding', sample => -5$$, $$'t_embedding', sample => 10001$$,
	$$'t_embedding', target_recall => 1$$, $$'t_embedding', target_recall => 'NaN'$$, $$'t_embedding', target_recall => -1$$,
	$$'t_embedding', target_recall => 0.3$$, $$'t_embedding', target_recall => 'Infinity'$$,
	$$'t_embedding', ef_search => 0$$, $$'t_embedding', ef_search => 10001$$, $$'t_embedding', ef_search => 10, target_recall => 0.9$$,
	$$'t_embedding', ef_search => 10, target_recall => 0$$,
	$$'t'$$, $$'t_part'$$, $$'pg_class'$$, $$0$$, $$1234567$$,
	$$'t_embedding', queries => 'nonsense'$$, $$'t_embedding', queries => ''$$, $$'t_embedding', queries => 'SELECT 1'$$,
	$$'t_embedding', queries => 'SELECT 1, 2'$$, $$'t_embedding', queries => 'SELECT'$$, $$'t_embedding', queries => 'SELECT id FROM q'$$,
	$$'t_embedding', queries => 'SELECT embedding::text FROM q'$$, $$'t_embedding', queries => 'SELECT half FROM long'$$,
	$$'t_embedding', queries => 'SELECT embedding FROM long'$$, $$'t_embedding', queries => 'SELECT NULL'$$,
	$$'t_embedding', queries => 'DELETE FROM q RETURNING embedding'$$, $$'t_embedding', queries => 'DROP TABLE q'$$,
	$$'t_embedding', queries => 'SELECT embedding FROM q; DROP TABLE q'$$, $$'t_embedding', queries => 'SELECT embedding FROM nowhere'$$,
	$$'long_bits', queries => 'SELECT B''101'''$$, $$'t_embedding', queries => 'SELECT embedding FROM q FOR UPDATE'$$,
	$$'t_embedding', filter => ''$$, $$'t_embedding', filter => 'id'$$, $$'t_embedding', filter => 'id = 1) OR (true'$$,
	$$'t_embedding', filter => 'true) ORDER BY (id'$$, $$'t_embedding', filter => 'true) LIMIT (1'$$,
	$$'t_embedding', filter => 'true) UNION SELECT ctid FROM q WHERE (true'$$, $$'t_embedding', filter => 'true); DROP TABLE q; SELECT (true'$$,
	$$'t_embedding', filter => 'true) FOR UPDATE --'$$, $$'t_embedding', filter => 'true --'$$, $$'t_embedding', filter => 'true /*'$$,
	$$'t_embedding', filter => 'true) GROUP BY ctid HAVING (true'$$, $$'t_embedding', filter => 'nothing = 1'$$, $$'t_embedding', filter => '1/0 = id'$$,
	$$'t_embedding', filter => 'count(*) > 1'$$, $$'t_embedding', filter => 'id IN (SELECT id FROM q)'$$
	]) arguments;
SELECT attempt('''t_embedding'', 0', 'hnsw_recall_curve'), attempt('''t''', 'hnsw_recall_curve');
SELECT attempt($$'t_embedding', ef_search => '{10,NULL}'$$, 'hnsw_recall_curve');
SELECT attempt($$'t_embedding', ef_search => '{0}'$$, 'hnsw_recall_curve'), attempt($$'t_embedding', target_recall => '{NaN}'$$, 'hnsw_recall_curve');
SELECT count(*) FROM q;
-- memory
SET maintenance_work_mem = '1MB';
SELECT attempt($$'t_embedding', k => 10000, sample => 1000$$);
-- of all partitions together
CREATE TABLE wide (part int, embedding vector(3)) PARTITION BY LIST (part);
CREATE TABLE wide_0 PARTITION OF wide FOR VALUES IN (0);
CREATE TABLE wide_1 PARTITION OF wide FOR VALUES IN (1);
CREATE TABLE wide_2 PARTITION OF wide FOR VALUES IN (2);
INSERT INTO wide SELECT i % 3, CASE WHEN i <= 30 THEN vector_of(i, 3) END FROM generate_series(1, 180000) i;
CREATE INDEX wide_embedding ON wide USING hnsw (embedding vector_l2_ops);
SELECT attempt($$'wide_1_embedding_idx', filter => 'true'$$), attempt($$'wide_embedding', filter => 'part = 0'$$),
	attempt($$'wide_embedding', filter => 'true'$$);
DROP TABLE wide;
RESET maintenance_work_mem;
-- an index left by a build that failed
CREATE TABLE bad (id int, embedding vector(3));
INSERT INTO bad VALUES (1, '[1,2,3]'), (1, '[1,2,4]');
CREATE FUNCTION broken(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'on purpose'; END $$;
CREATE INDEX CONCURRENTLY bad_embedding ON bad USING hnsw ((broken(embedding)::vector(3)) vector_l2_ops);
SELECT attempt($$'bad_embedding'$$);

-- who may ask: owners, superusers, members of pg_stat_scan_tables; for queries and conditions they need the right to read
CREATE ROLE regress_recall_owner;
CREATE ROLE regress_recall_monitor IN ROLE pg_stat_scan_tables;
CREATE ROLE regress_recall_nobody;
CREATE TABLE theirs AS SELECT * FROM t LIMIT 100;
ALTER TABLE theirs OWNER TO regress_recall_owner;
CREATE INDEX theirs_embedding ON theirs USING hnsw ((embedding::vector(8)) vector_l2_ops);
GRANT SELECT ON theirs TO regress_recall_nobody;
GRANT EXECUTE ON FUNCTION attempt TO PUBLIC;
SET ROLE regress_recall_owner;
SELECT attempt($$'theirs_embedding', filter => 'id > 0'$$);
SELECT attempt($$'theirs_embedding', queries => 'SELECT embedding FROM secret'$$);
SET ROLE regress_recall_monitor;
SELECT attempt($$'theirs_embedding'$$), attempt($$'theirs_embedding'$$, 'hnsw_recall_curve');
SELECT attempt($$'theirs_embedding', filter => 'id > 0'$$);
SELECT attempt($$'theirs_embedding', queries => 'SELECT embedding FROM theirs'$$);
SET ROLE regress_recall_nobody;
SELECT attempt($$'theirs_embedding'$$);
SELECT attempt($$'theirs_embedding'$$, 'hnsw_recall_curve');
RESET ROLE;
-- an expression of the index runs as the owner of the table, whoever asks; a condition as the user
CREATE FUNCTION who(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN IF current_user <> 'regress_recall_owner' THEN RAISE 'as %', current_user; END IF; RETURN v; END $$;
CREATE INDEX theirs_who ON theirs USING hnsw ((who(embedding)::vector(8)) vector_l2_ops);
SELECT recall, asked FROM hnsw_recall('theirs_who', filter => $$current_user <> 'regress_recall_owner'$$);
-- the names in an expression mean what they mean to everybody, whatever the search_path of the user who asks
CREATE FUNCTION folded(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM lower('A'); RETURN v; END $$;
CREATE INDEX theirs_folded ON theirs USING hnsw ((folded(embedding)::vector(8)) vector_l2_ops);
CREATE SCHEMA regress_recall_trap AUTHORIZATION regress_recall_monitor;
SET ROLE regress_recall_monitor;
CREATE FUNCTION regress_recall_trap.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped %', current_user; END $$;
GRANT USAGE ON SCHEMA regress_recall_trap TO PUBLIC;
SET search_path = regress_recall_trap, pg_catalog, public;
SELECT attempt($$'theirs_folded'$$), attempt($$'theirs_folded', heapallindexed => true, "raise" => true$$, 'hnsw_check');
SHOW search_path;
RESET search_path;
RESET ROLE;
DROP SCHEMA regress_recall_trap CASCADE;
-- row security holds for conditions
ALTER TABLE theirs ENABLE ROW LEVEL SECURITY;
ALTER TABLE theirs FORCE ROW LEVEL SECURITY;
CREATE POLICY few ON theirs USING (id <= 3);
SET ROLE regress_recall_owner;
SELECT recall, asked = (SELECT count(*) FROM theirs) AS asked FROM hnsw_recall('theirs_embedding', queries => 'SELECT embedding FROM theirs', filter => 'true');
RESET ROLE;
DROP TABLE theirs;
DROP ROLE regress_recall_owner, regress_recall_monitor, regress_recall_nobody;
DROP TABLE t, q, long, long_q, d, none, parts, parts_more, curve, secret, bad;
DROP FUNCTION vector_of(int, int), recall_of, same, exact, attempt, broken, who, folded;
