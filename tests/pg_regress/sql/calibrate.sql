-- hnsw_calibrate: finds the slacks of a target recall again, by rows or by queries

CREATE FUNCTION vector_of(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	'SELECT array_agg(hashint4(i * 8 + j) % 1000)::vector FROM generate_series(1, 8) j';
CREATE TABLE t (id int PRIMARY KEY, embedding vector(8));
INSERT INTO t SELECT i, vector_of(i) FROM generate_series(1, 4000) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
CREATE TABLE q (embedding vector(8));
INSERT INTO q SELECT vector_of(-i) FROM generate_series(1, 300) i;

CREATE TABLE seen AS SELECT calibration_sample, calibration_targets, calibration_slacks, calibration_growth FROM hnsw_index_info('t_embedding');
SELECT calibration_sample > 0 AS sampled, calibration_targets, cardinality(calibration_slacks) AS slacks,
	(SELECT bool_and(slack BETWEEN -0.5 AND 8) FROM unnest(calibration_slacks) slack) AS sound, calibration_growth FROM seen;
SELECT calibration_slacks = (SELECT array_agg(slack ORDER BY slack) FROM unnest(calibration_slacks) slack) AS rising FROM seen;

-- by rows: the same as by the build
SELECT hnsw_calibrate('t_embedding') = calibration_sample AS same FROM seen;
SELECT i.calibration_slacks = s.calibration_slacks AS same FROM seen s, hnsw_index_info('t_embedding') i;
-- with any number of threads
SET min_parallel_table_scan_size = 0;
SET max_parallel_maintenance_workers = 0;
REINDEX INDEX t_embedding;
SELECT i.calibration_slacks = s.calibration_slacks AS same FROM seen s, hnsw_index_info('t_embedding') i;
SET max_parallel_maintenance_workers = 4;
REINDEX INDEX t_embedding;
SELECT i.calibration_slacks = s.calibration_slacks AS same FROM seen s, hnsw_index_info('t_embedding') i;
RESET max_parallel_maintenance_workers;
RESET min_parallel_table_scan_size;

-- by queries: all of them, NULL aside, up to 1,000
SELECT hnsw_calibrate('t_embedding', 'SELECT embedding FROM q');
SELECT hnsw_calibrate('t_embedding', 'SELECT embedding FROM q UNION ALL SELECT NULL');
SELECT hnsw_calibrate('t_embedding', 'SELECT a.embedding FROM q a, q b');
SELECT i.calibration_sample, i.calibration_slacks <> s.calibration_slacks AS other FROM seen s, hnsw_index_info('t_embedding') i;
-- 1,000 rows of a product are few different queries
SELECT hnsw_calibrate('t_embedding', 'SELECT embedding FROM q') AS of_all;
SELECT recall BETWEEN 0.87 AND 1 AS holds FROM hnsw_recall('t_embedding', queries => 'SELECT embedding FROM q', target_recall => 0.9);
SELECT recall >= 0.97 AS holds FROM hnsw_recall('t_embedding', queries => 'SELECT embedding FROM q', target_recall => 0.99);
-- none or few: the calibration stays
SELECT hnsw_calibrate('t_embedding', 'SELECT embedding FROM q WHERE false');
SELECT hnsw_calibrate('t_embedding', 'SELECT embedding FROM q LIMIT 39');
SELECT hnsw_calibrate('t_embedding', 'SELECT NULL::vector FROM q UNION ALL (SELECT embedding FROM q LIMIT 39)');
SELECT calibration_sample FROM hnsw_index_info('t_embedding');
SELECT hnsw_calibrate('t_embedding', 'SELECT embedding FROM q LIMIT 40');
-- vacuum keeps it, though the index has lost most of its rows, and calibrates by elements where it was so before
CREATE TABLE kept AS SELECT * FROM t;
CREATE INDEX kept_embedding ON kept USING hnsw (embedding vector_l2_ops);
CREATE INDEX kept_rows ON kept USING hnsw (embedding vector_l2_ops);
SELECT hnsw_calibrate('kept_embedding', 'SELECT embedding FROM q');
CREATE TABLE kept_seen AS SELECT calibration_slacks FROM hnsw_index_info('kept_embedding');
CREATE TABLE rows_seen AS SELECT calibration_slacks FROM hnsw_index_info('kept_rows');
DELETE FROM kept WHERE id > 1000;
INSERT INTO kept SELECT i, vector_of(i) FROM generate_series(10000, 13000) i;
VACUUM kept;
SELECT i.calibrated_by, i.calibration_sample, i.calibration_slacks = s.calibration_slacks AS same FROM kept_seen s, hnsw_index_info('kept_embedding') i;
SELECT i.calibrated_by, i.calibration_slacks = s.calibration_slacks AS same FROM rows_seen s, hnsw_index_info('kept_rows') i;
-- a new file does not
REINDEX INDEX kept_embedding;
SELECT calibrated_by FROM hnsw_index_info('kept_embedding');
DROP TABLE kept, kept_seen, rows_seen;

-- growth; an index made empty has no calibration before it is asked for one
INSERT INTO t SELECT i, vector_of(i) FROM generate_series(4001, 7000) i;
SELECT calibration_growth BETWEEN 0.5 AND 1 AS has_grown FROM hnsw_index_info('t_embedding');
SELECT hnsw_calibrate('t_embedding') > 0 AS traced;
SELECT calibration_growth FROM hnsw_index_info('t_embedding');
CREATE TABLE later (LIKE t);
CREATE INDEX later_embedding ON later USING hnsw (embedding vector_l2_ops);
SELECT hnsw_calibrate('later_embedding');
INSERT INTO later SELECT * FROM t WHERE id <= 3000;
SELECT calibration_sample, calibration_targets, calibration_slacks, calibration_growth FROM hnsw_index_info('later_embedding');
SELECT hnsw_calibrate('later_embedding') > 0 AS traced;
SELECT * FROM hnsw_check('later_embedding', true);
SET omendb.target_recall = 0.95;
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM later ORDER BY embedding <-> vector_of(-1) LIMIT 10) s;
SELECT ended_by FROM hnsw_last_scan();
RESET omendb.target_recall;

-- partitions
CREATE TABLE parts (id int, embedding vector(8)) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (3000);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (3000) TO (10000);
INSERT INTO parts SELECT * FROM t;
CREATE INDEX parts_embedding ON parts USING hnsw (embedding vector_l2_ops);
SELECT hnsw_calibrate('parts_embedding', 'SELECT embedding FROM q');
SELECT calibration_sample FROM hnsw_index_info('parts_low_embedding_idx');

-- partitions of another owner
CREATE ROLE regress_calibrate_owner;
ALTER TABLE parts OWNER TO regress_calibrate_owner;
ALTER TABLE parts_low OWNER TO regress_calibrate_owner;
SET ROLE regress_calibrate_owner;
SELECT hnsw_calibrate('parts_embedding');
SELECT * FROM hnsw_recall('parts_embedding');
RESET ROLE;
DROP TABLE parts;
DROP ROLE regress_calibrate_owner;

-- who and what may not
SELECT hnsw_calibrate(NULL);
SELECT hnsw_calibrate('t');
SELECT hnsw_calibrate('t_embedding', 'SELECT 1');
SELECT hnsw_calibrate('t_embedding', 'SELECT 1; SELECT 2');
SELECT hnsw_calibrate('t_embedding', $$SELECT '[1,2]'::vector$$);
BEGIN READ ONLY;
SELECT hnsw_calibrate('t_embedding');
ROLLBACK;
CREATE ROLE regress_calibrate_monitor IN ROLE pg_stat_scan_tables;
SET ROLE regress_calibrate_monitor;
SELECT hnsw_calibrate('t_embedding');
RESET ROLE;
DROP ROLE regress_calibrate_monitor;
DROP TABLE t, q, seen, later;
DROP FUNCTION vector_of(int);
