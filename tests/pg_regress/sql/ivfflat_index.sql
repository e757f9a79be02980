-- ivfflat: the same graph as hnsw's by another name, through all that statements do with it

\getenv tests PG_ABS_SRCDIR
\set demo :tests '/../../demo'
\set load :demo '/load.sql'
\i :load

-- operator classes are pgvector's, by name, default and support functions
SELECT amname, amtype, amhandler FROM pg_am WHERE amname = 'ivfflat';
SELECT opcname, opcintype::regtype, opcdefault,
	(SELECT string_agg(amopopr::regoperator::text, ' ') FROM pg_amop WHERE amopfamily = opcfamily) AS operators,
	(SELECT string_agg(amprocnum || ' ' || amproc::regprocedure, ', ' ORDER BY amprocnum) FROM pg_amproc WHERE amprocfamily = opcfamily) AS functions
	FROM pg_opclass WHERE opcmethod = (SELECT oid FROM pg_am WHERE amname = 'ivfflat') ORDER BY opcname;
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcmethod = (SELECT oid FROM pg_am WHERE amname = 'ivfflat') ORDER BY opcname;

-- The rows found through an index, and the work for them. By hnsw first.
CREATE FUNCTION found(index text) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	search text := 'SELECT id FROM wordnet ORDER BY embedding <-> (SELECT embedding FROM wordnet_query WHERE id = $1) LIMIT 10';
	plan json; ids int[]; found text := ''; recall float8 := 0; work text;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || replace(search, '$1', '1') INTO plan;
	IF plan::text !~ format('"Index Name": "%s"', index) THEN RAISE 'the plan does not use %', index; END IF;
	FOR i IN 1..20 LOOP
		EXECUTE format('SELECT array_agg(id) FROM (%s) s', search) INTO ids USING i;
		SELECT to_jsonb(l)::text INTO work FROM (SELECT walks, expansions, evaluations, rows FROM hnsw_last_scan()) l;
		recall := recall + (SELECT count(*) FROM wordnet_query, unnest(nearest) n WHERE wordnet_query.id = i AND n = ANY (ids));
		found := found || ids::text || work;
	END LOOP;
	RETURN md5(found) || CASE WHEN recall / 200 >= 0.95 THEN ' found' ELSE ' lost' END;
END $$;
CREATE INDEX wordnet_hnsw ON wordnet USING hnsw (embedding vector_l2_ops);
SELECT to_jsonb(i) AS hnsw_info, pg_relation_size('wordnet_hnsw') AS hnsw_size, found('wordnet_hnsw') AS by_hnsw
	FROM hnsw_index_info('wordnet_hnsw') i \gset
DROP INDEX wordnet_hnsw;

-- the same rows make the same index, with any number of lists, and the same search
CREATE INDEX wordnet_lists ON wordnet USING ivfflat (embedding vector_l2_ops) WITH (lists = 100);
SELECT * FROM hnsw_check('wordnet_lists', heapallindexed => true);
SELECT to_jsonb(i) = :'hnsw_info' AS same_graph, pg_relation_size('wordnet_lists') = :hnsw_size AS same_size FROM hnsw_index_info('wordnet_lists') i;
SELECT found('wordnet_lists') AS by_lists \gset
SELECT :'by_hnsw' = :'by_lists' AS same, :'by_lists' ~ 'found' AS found;

-- settings of ivfflat have no effect, those of hnsw have
SET ivfflat.probes = 32768;
SET ivfflat.iterative_scan = relaxed_order;
SET ivfflat.max_probes = 1;
SELECT found('wordnet_lists') = :'by_hnsw' AS same;
RESET ivfflat.probes;
RESET ivfflat.iterative_scan;
RESET ivfflat.max_probes;
SET hnsw.ef_search = 200;
SELECT found('wordnet_lists') = :'by_hnsw' AS same;
RESET hnsw.ef_search;

-- `lists` is kept, so that pg_dump writes it and clients read it back; hnsw's options are not ivfflat's, nor the other way round
SELECT pg_get_indexdef('wordnet_lists'::regclass), reloptions FROM pg_class WHERE oid = 'wordnet_lists'::regclass;
ALTER INDEX wordnet_lists SET (lists = 32768);
SELECT pg_get_indexdef('wordnet_lists'::regclass);
ALTER INDEX wordnet_lists RESET (lists);
SELECT pg_get_indexdef('wordnet_lists'::regclass);
ALTER INDEX wordnet_lists SET (lists = 32769);
ALTER INDEX wordnet_lists SET (m = 16);
ALTER INDEX wordnet_lists SET (lists = 1);
DROP INDEX wordnet_lists;

-- every class, before there are rows and after: an empty table is as good as a full one, and nothing is said of it
CREATE FUNCTION rows_between(first int, last int) RETURNS TABLE (id int, v vector, h halfvec, b bit(16)) LANGUAGE sql AS
	'SELECT i, v, v, i::bit(16) FROM (SELECT i, ARRAY[sin(i), cos(i * 0.7), i % 7 - 3]::vector AS v FROM generate_series(first, last) i) s';
CREATE TABLE t (id int PRIMARY KEY, v vector(3), h halfvec(3), b bit(16));
CREATE INDEX t_vector_l2_ops ON t USING ivfflat (v vector_l2_ops) WITH (lists = 1);
CREATE INDEX t_vector_ip_ops ON t USING ivfflat (v vector_ip_ops) WITH (lists = 32768);
CREATE INDEX t_vector_cosine_ops ON t USING ivfflat (v vector_cosine_ops) WITH (lists = 100);
CREATE INDEX t_halfvec_l2_ops ON t USING ivfflat (h halfvec_l2_ops);
CREATE INDEX t_halfvec_ip_ops ON t USING ivfflat (h halfvec_ip_ops);
CREATE INDEX t_halfvec_cosine_ops ON t USING ivfflat (h halfvec_cosine_ops) WITH (lists = 5);
CREATE INDEX t_bit_hamming_ops ON t USING ivfflat (b bit_hamming_ops) WITH (lists = 5);
-- Each class's index: its metric, its rows, damage, the index of the plan, and whether it finds the distances that a sort finds.
CREATE FUNCTION checked() RETURNS TABLE (class text, metric text, rows bigint, damage bigint, index text, finds bool) LANGUAGE plpgsql AS $$
DECLARE
	class text; operator text; query text; plan json; found float8[]; nearest float8[];
	search text := 'SELECT %1$s %2$s AS d FROM t ORDER BY %1$s %2$s LIMIT 10';
BEGIN
	FOR class, operator, query IN VALUES
		('vector_l2_ops', 'v <->', '''[0.5,-0.5,1.1]'''), ('vector_ip_ops', 'v <#>', '''[0.5,-0.5,1.1]'''),
		('vector_cosine_ops', 'v <=>', '''[0.5,-0.5,1.1]'''), ('halfvec_l2_ops', 'h <->', '''[0.5,-0.5,1.1]'''),
		('halfvec_ip_ops', 'h <#>', '''[0.5,-0.5,1.1]'''), ('halfvec_cosine_ops', 'h <=>', '''[0.5,-0.5,1.1]'''),
		('bit_hamming_ops', 'b <~>', '155::bit(16)')
	LOOP
		checked.class := class;
		SELECT i.metric, i.rows INTO metric, rows FROM hnsw_index_info('t_' || class) i;
		SELECT count(*) INTO damage FROM hnsw_check('t_' || class, heapallindexed => true);
		PERFORM set_config('enable_seqscan', 'off', true);
		EXECUTE format('EXPLAIN (FORMAT JSON) ' || search, operator, query) INTO plan;
		index := substring(plan::text FROM '"Index Name": "(.*?)"');
		EXECUTE format('SELECT array_agg(d) FROM (' || search || ') s', operator, query) INTO found;
		PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true);
		EXECUTE format('SELECT array_agg(d) FROM (' || search || ') s', operator, query) INTO nearest;
		PERFORM set_config('enable_indexscan', 'on', true);
		finds := found IS NOT DISTINCT FROM nearest;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM checked();
INSERT INTO t SELECT * FROM rows_between(1, 400);
INSERT INTO t VALUES (401, '[0,0,0]', '[0,0,0]', NULL), (402, NULL, NULL, NULL);
SELECT * FROM checked();
DELETE FROM t WHERE id % 3 = 0;
VACUUM t;
SELECT * FROM checked();
REINDEX TABLE t;
SELECT * FROM checked();
REINDEX TABLE CONCURRENTLY t;
SELECT * FROM checked();
VACUUM FULL t;
SELECT * FROM checked();
TRUNCATE t;
INSERT INTO t SELECT * FROM rows_between(1001, 1400);
SELECT * FROM checked();
CREATE TABLE t_like (LIKE t INCLUDING ALL);
SELECT indexdef FROM pg_indexes WHERE tablename = 't_like' ORDER BY indexdef;

-- the default class, an expression, a part of the rows, concurrently
CREATE INDEX CONCURRENTLY t_default ON t USING ivfflat (v);
CREATE INDEX t_expression ON t USING ivfflat ((v::halfvec(3)) halfvec_l2_ops) WITH (lists = 5) WHERE id % 2 = 0;
SELECT indexrelid::regclass, indisvalid, opcname FROM pg_index JOIN pg_opclass ON pg_opclass.oid = indclass[0]
	WHERE indexrelid IN ('t_default'::regclass, 't_expression'::regclass) ORDER BY 1;
SELECT * FROM hnsw_check('t_default', heapallindexed => true);
SELECT * FROM hnsw_check('t_expression', heapallindexed => true);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE id % 2 = 0 ORDER BY v::halfvec(3) <-> '[0.5,-0.5,1.1]' LIMIT 5;
RESET enable_seqscan;

-- more dimensions than pgvector's ivfflat takes
CREATE TABLE wide (v vector(3000));
INSERT INTO wide SELECT array_fill(i, ARRAY[3000])::vector FROM generate_series(1, 20) i;
CREATE INDEX wide_v ON wide USING ivfflat (v vector_cosine_ops);
SELECT * FROM hnsw_check('wide_v', heapallindexed => true);

-- partitions, unlogged and temporary tables
CREATE TABLE parts (id int, v vector(3)) PARTITION BY HASH (id);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
INSERT INTO parts SELECT i, v FROM (SELECT id AS i, v FROM rows_between(1, 400)) s WHERE satisfies_hash_partition('parts'::regclass, 2, 0, i);
CREATE INDEX parts_v ON parts USING ivfflat (v vector_l2_ops) WITH (lists = 10);
CREATE UNLOGGED TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT id, v FROM rows_between(401, 800);
SELECT indexrelid::regclass, pg_get_indexdef(indexrelid), (SELECT count(*) FROM hnsw_check(indexrelid, true)) AS damage
	FROM pg_index WHERE indrelid IN ('parts_0'::regclass, 'parts_1'::regclass) ORDER BY 1;
CREATE TEMPORARY TABLE temporary_rows AS SELECT id, v::vector(3) FROM rows_between(1, 100);
CREATE INDEX temporary_v ON temporary_rows USING ivfflat (v vector_l2_ops);
SELECT count(*) FROM hnsw_check('temporary_v', heapallindexed => true);

DROP TABLE wordnet, wordnet_query, t, t_like, wide, parts;
DROP FUNCTION found, rows_between, checked;
