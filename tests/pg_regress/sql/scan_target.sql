-- omendb.target_recall: searches end by the distance of the next row, with slacks that the build has found

-- the library knows its settings
SELECT '[1]'::vector;
-- -1, 0, or at least 0.5
SET omendb.target_recall = 0.3;
SET omendb.target_recall = 1;
SET omendb.target_recall = -0.5;
SET omendb.target_recall = 'NaN';
SET omendb.target_recall = 0.5;
SET omendb.target_recall = 0.9999;
SET omendb.target_recall = -1;
SET omendb.target_recall = 0;

CREATE TABLE t (id int PRIMARY KEY, part int, embedding vector(8));
CREATE FUNCTION vector_of(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	'SELECT array_agg(hashint4(i * 8 + j) % 1000)::vector FROM generate_series(1, 8) j';
INSERT INTO t SELECT i, i % 10, vector_of(i) FROM generate_series(1, 6000) i;
CREATE INDEX t_l2 ON t USING hnsw (embedding vector_l2_ops);
CREATE INDEX t_ip ON t USING hnsw (embedding vector_ip_ops);
CREATE INDEX t_cosine ON t USING hnsw (embedding vector_cosine_ops);
CREATE INDEX t_l1 ON t USING hnsw (embedding vector_l1_ops);
SET enable_seqscan = off;
SET enable_sort = off;

-- The share of the nearest rows found for 60 queries, and the mean evaluations.
CREATE FUNCTION found(operator text, wanted int, target float8, OUT share float8, OUT evaluations float8) LANGUAGE plpgsql AS $$
DECLARE
	nearest float8[]; distances float8[]; hits int := 0; work bigint := 0;
BEGIN
	PERFORM set_config('omendb.target_recall', target::text, false);
	FOR i IN 1..60 LOOP
		EXECUTE format('SELECT array_agg(d) FROM (SELECT embedding %1$s $1 AS d FROM t ORDER BY embedding %1$s $1 LIMIT $2) s', operator)
			INTO distances USING vector_of(-i), wanted;
		work := work + (SELECT s.evaluations FROM hnsw_last_scan() s);
		EXECUTE format('SELECT array_agg(d) FROM (SELECT d FROM (SELECT embedding %1$s $1 AS d FROM t OFFSET 0) s
			ORDER BY d LIMIT $2) s', operator) INTO nearest USING vector_of(-i), wanted;
		IF distances IS DISTINCT FROM (SELECT array_agg(d ORDER BY d) FROM unnest(distances) d) THEN
			RAISE 'rows out of order: %', distances;
		END IF;
		hits := hits + (SELECT count(*) FROM unnest(distances) d WHERE d <= nearest[wanted]);
	END LOOP;
	share := hits::float8 / (60 * wanted);
	evaluations := work::float8 / 60;
END $$;

-- A target holds for every metric and LIMIT, to some hundredths in 8 dimensions; for 10 rows a higher one takes more.
SELECT operator, wanted, low.share >= 0.84 AS at_90, high.share >= 0.955 AS at_99, wanted > 10 OR high.evaluations > low.evaluations AS takes_more
	FROM unnest(ARRAY['<->', '<#>', '<=>', '<+>']) operator, unnest(ARRAY[10, 100]) wanted,
		found(operator, wanted, 0.9) low, found(operator, wanted, 0.99) high ORDER BY operator, wanted;
SELECT operator, low.share >= 0.78 AS at_90, high.share >= 0.93 AS at_99
	FROM unnest(ARRAY['<->', '<#>', '<=>', '<+>']) operator, found(operator, 1, 0.9) low, found(operator, 1, 0.99) high
	ORDER BY operator;

-- what ended the search
SET omendb.target_recall = 0.95;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> vector_of(-1) LIMIT 10) s;
SELECT ended_by, ef, slack BETWEEN -0.5 AND 8 AS slack, recall FROM hnsw_last_scan();
-- hnsw.ef_search decides nothing then
SET hnsw.ef_search = 500;
SELECT evaluations < 1500 AS goes_by_target FROM found('<->', 10, 0.95);
RESET hnsw.ef_search;
RESET omendb.target_recall;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> vector_of(-1) LIMIT 10) s;
SELECT ended_by, ef, slack, recall FROM hnsw_last_scan();
SET omendb.target_recall = 0.95;

-- All rows come, each once, as far as limits allow; without limits none is left out.
SET hnsw.max_scan_tuples = 1000000;
SELECT count(*) > 5900, count(*) = count(DISTINCT id) FROM (SELECT id FROM t ORDER BY embedding <-> vector_of(-1)) s;
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY embedding <-> vector_of(-1)) s;
-- without iterative scans at most hnsw.ef_search rows
SET hnsw.iterative_scan = off;
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> vector_of(-1)) s;
RESET hnsw.iterative_scan;
-- a filter
SELECT count(*) FROM (SELECT id FROM t WHERE part = 7 ORDER BY embedding <-> vector_of(-1) LIMIT 20) s;
-- a bound on the distance, and one within which nothing lies
SELECT count(*) = (SELECT count(*) FROM (SELECT embedding <-> vector_of(-1) AS d FROM t OFFSET 0) s WHERE d < 900) AS all_within
	FROM (SELECT id FROM t WHERE embedding <-> vector_of(-1) < 900 ORDER BY embedding <-> vector_of(-1)) s;
SELECT count(*) FROM (SELECT id FROM t WHERE embedding <-> vector_of(-1) < 0 ORDER BY embedding <-> vector_of(-1)) s;
RESET hnsw.max_scan_tuples;
-- a scan that may compare no more returns what it has
SET hnsw.max_scan_tuples = 1;
SELECT count(*) >= 10 AS some FROM (SELECT id FROM t ORDER BY embedding <-> vector_of(-1) LIMIT 100) s;
RESET hnsw.max_scan_tuples;
-- no value and no direction
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <-> NULL LIMIT 5) s;
SELECT ended_by FROM hnsw_last_scan();
SELECT count(*) FROM (SELECT id FROM t ORDER BY embedding <=> '[0,0,0,0,0,0,0,0]' LIMIT 5) s;
SELECT ended_by FROM hnsw_last_scan();

-- An index that was made empty has no calibration: at least 200 candidates.
CREATE TABLE later (id int, part int, embedding vector(8));
CREATE INDEX later_idx ON later USING hnsw (embedding vector_l2_ops);
INSERT INTO later SELECT id, part, embedding FROM t WHERE id <= 500;
CREATE FUNCTION ended(query text DEFAULT 'SELECT id FROM later ORDER BY embedding <-> vector_of(-1) LIMIT 10',
		OUT rule text, OUT ef int, OUT recall float8) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT count(*) FROM (' || query || ') s';
	SELECT ended_by, l.ef, l.recall INTO rule, ef, recall FROM hnsw_last_scan() l;
END $$;
SELECT * FROM ended();
-- vacuum leaves it so while it is small, and calibrates it once it has grown
VACUUM later;
SELECT * FROM ended();
INSERT INTO later SELECT id, part, embedding FROM t WHERE id > 500;
SELECT * FROM ended();
VACUUM later;
SELECT rule, recall FROM ended();

-- The slack in use; after a third of the rows is gone that of half the misses, until a vacuum calibrates again.
CREATE FUNCTION slack(OUT slack float8) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ended();
	slack := (SELECT l.slack FROM hnsw_last_scan() l);
END $$;
SELECT slack AS first FROM slack() \gset
DELETE FROM later WHERE id % 4 = 0;
VACUUM later;
SELECT slack = :first AS little_has_changed FROM slack();
DELETE FROM later WHERE id % 4 = 1;
VACUUM later;
SELECT slack <> :first AS calibrated_again FROM slack();
SELECT slack AS second FROM slack() \gset
INSERT INTO later SELECT id, part, vector_of(10000 + id) FROM t;
SELECT slack > :second AS with_a_margin FROM slack();

-- The option of an index decides where the session has neither a target nor an ef_search of its own.
RESET omendb.target_recall;
SELECT rule, ef FROM ended();
ALTER INDEX later_idx SET (target_recall = 0.97);
SELECT rule, recall FROM ended();
SET hnsw.ef_search = 41;
SELECT rule, ef FROM ended();
SET omendb.target_recall = 0.9;
SELECT rule, recall FROM ended();
RESET hnsw.ef_search;
SET omendb.target_recall = 0;
SELECT rule, ef FROM ended();
RESET omendb.target_recall;
SELECT rule, recall FROM ended();
ALTER INDEX later_idx RESET (target_recall);
SELECT rule, ef FROM ended();
-- hostile options
ALTER INDEX later_idx SET (target_recall = 0.3);
ALTER INDEX later_idx SET (target_recall = 1);
ALTER INDEX later_idx SET (target_recall = 'NaN');
ALTER INDEX later_idx SET (target_recall = -1);
CREATE INDEX ON later USING hnsw (embedding vector_l2_ops) WITH (target_recall = 'much');
CREATE INDEX ON later USING ivfflat (embedding vector_l2_ops) WITH (target_recall = 0.9);

-- Conditions on key columns: the ef of the target, as the index was calibrated.
CREATE INDEX later_keyed ON later USING hnsw (embedding vector_l2_ops, part);
DROP INDEX later_idx;
SET omendb.target_recall = 0.9;
SELECT rule, ef AS low FROM ended('SELECT id FROM later WHERE part < 3 ORDER BY embedding <-> vector_of(-1) LIMIT 10') \gset
SELECT :'rule' AS rule;
SET omendb.target_recall = 0.999;
SELECT ef > :low AS takes_more, recall >= 0.99 AS finds_more
	FROM ended('SELECT id FROM later WHERE part < 3 ORDER BY embedding <-> vector_of(-1) LIMIT 10');
-- the planner charges more for more
CREATE FUNCTION cost() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) SELECT id FROM later ORDER BY embedding <-> vector_of(-1) LIMIT 10' INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> 'Startup Cost';
END $$;
SELECT cost() AS most \gset
SET omendb.target_recall = 0.9;
SELECT cost() < :most AS cheaper;

DROP TABLE t, later;
DROP FUNCTION vector_of, found, ended, slack, cost;
