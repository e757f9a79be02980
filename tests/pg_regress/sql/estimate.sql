-- what an index of a column would take, before it is created

CREATE FUNCTION numbers(i int, count int) RETURNS int[] LANGUAGE sql AS
	'SELECT array_agg(hashint4(i * count + j) % 100) FROM generate_series(1, count) j';
-- a table that is read as a whole: counts and sizes are those of the index; a third of the rows has no vector
CREATE TABLE t (id int, dropped int, v vector(40), h halfvec(40), s sparsevec(40), b bit(40), no_dimensions vector, text text);
ALTER TABLE t DROP dropped;
INSERT INTO t (id) SELECT generate_series(1, 3000);
UPDATE t SET v = numbers(id, 40)::vector, h = numbers(id, 40)::halfvec, s = numbers(id, 40)::vector::sparsevec,
	b = (id * 1000003::bigint)::bit(40) WHERE id % 3 > 0;
VACUUM t;
CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops);
CREATE INDEX t_h ON t USING hnsw (h halfvec_l2_ops) WITH (m = 8, ef_construction = 32);
CREATE INDEX t_s ON t USING hnsw (s sparsevec_l2_ops);
CREATE INDEX t_b ON t USING hnsw (b bit_hamming_ops) WITH (m = 4);
SELECT name, rows, sampled_rows, by_cells, seconds > 0 AS takes_time, seconds < 600 AS not_long,
	abs(index_bytes - pg_relation_size('t_' || name)) <= 2 * 8192 AS size_is_right, memory_bytes > rows * 100 AS memory_is_more
	FROM (VALUES ('v', 16, 64), ('h', 8, 32), ('s', 16, 64), ('b', 4, 64)) AS c (name, m, ef_construction),
		hnsw_estimate('t', name, m, ef_construction);
-- with the defaults, and with options named
SELECT a = b AS same FROM (SELECT index_bytes AS a FROM hnsw_estimate('t', 'v')) a,
	(SELECT index_bytes AS b FROM hnsw_estimate('t', 'v', m => 16, ef_construction => 64)) b;
SELECT a < b AS larger_for_more_neighbors FROM (SELECT index_bytes AS a FROM hnsw_estimate('t', 'v')) a,
	(SELECT index_bytes AS b FROM hnsw_estimate('t', 'v', 64, 200)) b;
-- the memory at which a build goes by cells
SET maintenance_work_mem = '1MB';
SELECT by_cells, memory_bytes > 1024 * 1024 AS more_than_allowed, rows, sampled_rows > 0 AS sampled FROM hnsw_estimate('t', 'v');
RESET maintenance_work_mem;
-- changes nothing
SELECT count(*) FROM pg_class WHERE relname ~ 'estimate';
BEGIN READ ONLY;
SELECT rows FROM hnsw_estimate('t', 'v');
COMMIT;
-- deleted rows do not count, nor do those that the transaction does not see
DELETE FROM t WHERE id > 1500;
SELECT rows FROM hnsw_estimate('t', 'v');
-- tables without rows, without vectors, and of one row
CREATE TABLE few (v vector(3));
SELECT * FROM hnsw_estimate('few', 'v');
INSERT INTO few VALUES (NULL);
SELECT * FROM hnsw_estimate('few', 'v');
INSERT INTO few VALUES ('[1,2,3]');
SELECT rows, index_bytes, by_cells, seconds > 0 AS takes_time, sampled_rows FROM hnsw_estimate('few', 'v');
-- vectors out of line, equal vectors, domains, materialized and temporary tables
CREATE DOMAIN direction AS vector(3);
CREATE TABLE more (wide vector(4000), equal vector(3) DEFAULT '[1,2,3]', way direction DEFAULT '[1,0,0]');
ALTER TABLE more ALTER wide SET STORAGE EXTERNAL;
INSERT INTO more SELECT numbers(i, 4000)::vector FROM generate_series(1, 50) i;
SELECT rows, sampled_rows FROM hnsw_estimate('more', 'wide');
SELECT rows, sampled_rows FROM hnsw_estimate('more', 'equal');
SELECT rows, sampled_rows FROM hnsw_estimate('more', 'way');
CREATE MATERIALIZED VIEW kept AS SELECT equal FROM more;
SELECT rows FROM hnsw_estimate('kept', 'equal');
CREATE TEMP TABLE mine AS SELECT equal FROM more;
SELECT rows FROM hnsw_estimate('mine', 'equal');
-- nothing is known of nothing
SELECT * FROM hnsw_estimate(NULL, 'v');

-- errors
SELECT * FROM hnsw_estimate('t', 'absent');
SELECT * FROM hnsw_estimate('t', 'ctid');
SELECT * FROM hnsw_estimate('t', '........pg.dropped.2........');
SELECT * FROM hnsw_estimate('t', 'text');
SELECT * FROM hnsw_estimate('t', 'id');
SELECT * FROM hnsw_estimate('t', 'no_dimensions');
SELECT * FROM hnsw_estimate('t', 'v', 1);
SELECT * FROM hnsw_estimate('t', 'v', 101, 1000);
SELECT * FROM hnsw_estimate('t', 'v', 2, 3);
SELECT * FROM hnsw_estimate('t', 'v', 2, 1001);
SELECT * FROM hnsw_estimate('t', 'v', 16, 31);
SELECT * FROM hnsw_estimate('t_v', 'v');
CREATE VIEW shown AS SELECT * FROM t;
SELECT * FROM hnsw_estimate('shown', 'v');
CREATE TABLE parted (id int, v vector(3)) PARTITION BY LIST (id);
SELECT * FROM hnsw_estimate('parted', 'v');
SELECT * FROM hnsw_estimate('absent', 'v');
SELECT * FROM hnsw_estimate(0, 'v');
CREATE TABLE long (v vector(16000), bits varbit(10));
SELECT * FROM hnsw_estimate('long', 'bits');
SELECT * FROM hnsw_estimate('long', 'v', 100, 200);

-- who may ask: the owner of the table, and members of pg_stat_scan_tables
CREATE ROLE regress_estimate_nobody;
GRANT SELECT ON t TO regress_estimate_nobody;
SET ROLE regress_estimate_nobody;
SELECT rows FROM hnsw_estimate('t', 'v');
RESET ROLE;
GRANT pg_stat_scan_tables TO regress_estimate_nobody;
SET ROLE regress_estimate_nobody;
SELECT rows FROM hnsw_estimate('t', 'v');
RESET ROLE;
REVOKE SELECT ON t FROM regress_estimate_nobody;
DROP ROLE regress_estimate_nobody;

DROP VIEW shown;
DROP MATERIALIZED VIEW kept;
DROP TABLE t, few, more, mine, parted, long;
DROP DOMAIN direction;
DROP FUNCTION numbers;
