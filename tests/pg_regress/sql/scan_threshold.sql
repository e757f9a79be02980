-- distances beyond which a filter passes nothing end a scan

-- every operator class has the operator for it, which shows no row more or less
SELECT count(*), count(DISTINCT amopfamily), bool_and(amoppurpose = 's') FROM pg_amop JOIN pg_am a ON a.oid = amopmethod
	WHERE amname = 'hnsw' AND amopopr::regoperator::text LIKE '@<=%' AND amopstrategy = 2;
SELECT count(*) FROM pg_opclass JOIN pg_am a ON a.oid = opcmethod JOIN pg_amop ON amopfamily = opcfamily AND amoppurpose = 'o' WHERE amname = 'hnsw';

CREATE TABLE t (id int PRIMARY KEY, topic int, v vector(16), h halfvec(16), s sparsevec(16), b bit(64), far float8);
INSERT INTO t SELECT i, i % 10, v, v::halfvec, v::sparsevec, (hashint8(i)::bit(32) || hashint8(-i)::bit(32))::bit(64), i / 100.0
	FROM (SELECT i, (SELECT array_agg(hashint4(i * 16 + j) % 100) FROM generate_series(1, 16) j)::vector AS v
		FROM generate_series(1, 5000) i) r;
ANALYZE t;
CREATE FUNCTION query() RETURNS vector LANGUAGE sql IMMUTABLE AS $$ SELECT array_fill(7, ARRAY[16])::vector $$;
CREATE FUNCTION query_bits() RETURNS bit LANGUAGE sql IMMUTABLE AS $$ SELECT repeat('0110', 16)::bit(64) $$;

-- The index condition of a query, and how many walks through the graph it takes.
CREATE FUNCTION condition(statement text, OUT condition text) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	condition := 'no index';
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		IF line ~ 'Order By: ' AND condition = 'no index' THEN condition := 'none'; END IF;
		IF line ~ 'Index Cond: .*@<=' THEN condition := regexp_replace(line, '^ *Index Cond: ', ''); END IF;
	END LOOP;
END $$;

CREATE FUNCTION walks(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT count(*) FROM (' || statement || ') s';
	RETURN (SELECT walks FROM hnsw_last_scan());
END $$;

-- For each operator class, the five nearest and those that are as near.
CREATE TABLE classes (class text, value text, distance text);
INSERT INTO classes VALUES
	('vector_l2_ops', 'v', 'v <-> query()'), ('vector_ip_ops', 'v', 'v <#> query()'),
	('vector_cosine_ops', 'v', 'v <=> query()'), ('vector_l1_ops', 'v', 'v <+> query()'),
	('halfvec_l2_ops', 'h', 'h <-> query()::halfvec'), ('halfvec_ip_ops', 'h', 'h <#> query()::halfvec'),
	('halfvec_cosine_ops', 'h', 'h <=> query()::halfvec'), ('halfvec_l1_ops', 'h', 'h <+> query()::halfvec'),
	('sparsevec_l2_ops', 's', 's <-> query()::sparsevec'), ('sparsevec_ip_ops', 's', 's <#> query()::sparsevec'),
	('sparsevec_cosine_ops', 's', 's <=> query()::sparsevec'), ('sparsevec_l1_ops', 's', 's <+> query()::sparsevec'),
	('bit_hamming_ops', 'b', 'b <~> query_bits()'), ('bit_jaccard_ops', 'b', 'b <%> query_bits()');
CREATE TABLE forms (form text);
INSERT INTO forms VALUES ('$d < $b'), ('$d <= $b'), ('$b > $d'), ('$b >= $d'), ('$d BETWEEN -1000000 AND $b'), ('1 - ($d) > 1 - $b'),
	('1 - $b <= 1 - ($d)'), ('($d) * -1 > $b * -1'), ('-1 * ($d) >= -1 * $b'), ('-($d) > -$b'), ('$d < $b::real'), ('NOT $d > $b'),
	('$d < $b AND $d < $b + 1'), ('$d < (SELECT $b)'), ('$d < $b AND topic < 100');

CREATE FUNCTION check_class(class text, value text, distance text) RETURNS TABLE (form text, problem text) LANGUAGE plpgsql AS $$
DECLARE
	bound float8; statement text; found int[]; wanted int[];
BEGIN
	EXECUTE format('CREATE INDEX nearest ON t USING hnsw (%s %s)', value, class);
	SET LOCAL enable_seqscan = off;
	EXECUTE format('SELECT (array_agg(%s ORDER BY %1$s))[5] + 0.000001 FROM t', distance) INTO bound;
	FOR form IN SELECT f.form FROM forms f LOOP
		statement := format('SELECT id FROM t WHERE %s ORDER BY %s LIMIT 100',
			replace(replace(form, '$d', distance), '$b', format('(%s)', bound)), distance);
		EXECUTE format('SELECT array(%s)', statement) INTO found;
		-- The rows of the index among the nearest without the bound.
		EXECUTE format('SELECT array(SELECT id FROM (SELECT id, topic, %s AS d FROM t ORDER BY %1$s LIMIT 100) s WHERE %s)', distance,
			replace(replace(form, '$d', 'd'), '$b', format('(%s)', bound))) INTO wanted;
		problem := CASE WHEN found <> wanted THEN 'rows are missing'
			WHEN condition(statement) !~ '@<=' THEN 'no condition'
			WHEN walks(statement) > 1 THEN 'walks on' END;
		IF problem IS NOT NULL THEN RETURN NEXT; END IF;
	END LOOP;
	DROP INDEX nearest;
END $$;
SELECT class, c.* FROM classes, check_class(class, value, distance) c;

-- what EXPLAIN shows
CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <-> '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]' < 99.5
	ORDER BY v <-> '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]' LIMIT 10;

-- what bounds rows in another way stays a filter
CREATE FUNCTION changing() RETURNS float8 LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 100; END';
CREATE FUNCTION steady() RETURNS float8 LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 100; END';
\set limit ' ORDER BY v <-> query() LIMIT 10'
SELECT filter, condition('SELECT id FROM t WHERE ' || filter || :'limit') FROM (VALUES
	('v <-> query() < steady()'),
	('query() <-> v < 100'),
	('l2_distance(v, query()) < 100'),
	('v <-> query() = 100'),
	('v <-> query() > 100'),
	('v <-> query() < changing()'),
	('v <-> query() < random() * 100'),
	('v <-> query() < far'),
	('v <-> query() < id'),
	('v <-> query() < (SELECT max(u.far) FROM t u WHERE u.id < t.id)'),
	('v <-> ''[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]'' < 100'),
	('v <+> query() < 100'),
	('v <-> query() < 100 OR topic = 1'),
	('(v <-> query()) + 1 < 100'),
	('1000000 - (v <-> query()) > 999900'),
	('v @<= 100')) f (filter);
SELECT count(*) FROM t WHERE v @<= 0;
SELECT count(*) FROM t WHERE v @<= NULL;

-- bounds that come when the query runs
SET plan_cache_mode = force_generic_plan;
PREPARE near(float8) AS SELECT count(*) FROM (SELECT FROM t WHERE v <-> query() < $1 ORDER BY v <-> query() LIMIT 10) s;
SELECT condition('EXECUTE near(1)');
SELECT (array_agg(v <-> query() ORDER BY v <-> query()))[5] + 0.001 AS fifth FROM t \gset
EXECUTE near(:fifth);
EXECUTE near(0);
EXECUTE near(-1);
EXECUTE near(NULL);
EXECUTE near('NaN');
EXECUTE near('Infinity');
EXECUTE near('-Infinity');
EXECUTE near(1e308);
RESET plan_cache_mode;

-- another bound for every outer row, as a scan begins again
SELECT g, count(s.id), sum(s.id) FROM generate_series(0, 7) g, LATERAL
	(SELECT id FROM t WHERE v <-> query() < nullif(:fifth - 5 + g, :fifth - 2) ORDER BY v <-> query() LIMIT 10) s GROUP BY g ORDER BY g;
SET enable_indexscan = off;
SELECT g, count(s.id), sum(s.id) FROM generate_series(0, 7) g, LATERAL
	(SELECT id FROM t WHERE v <-> query() < nullif(:fifth - 5 + g, :fifth - 2) ORDER BY v <-> query() LIMIT 10) s GROUP BY g ORDER BY g;
RESET enable_indexscan;

-- a filter besides, each mode of scans, a bound that many rows pass
CREATE FUNCTION check_found(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found int[]; wanted int[];
BEGIN
	EXECUTE format('SELECT array(%s)', statement) INTO found;
	SET LOCAL enable_indexscan = off;
	EXECUTE format('SELECT array(%s)', statement) INTO wanted;
	RESET enable_indexscan;
	RETURN format('%s of %s', cardinality(array(SELECT unnest(found) INTERSECT SELECT unnest(wanted))), cardinality(wanted));
END $$;
SELECT (array_agg(v <-> query() ORDER BY v <-> query()))[30] AS thirtieth,
	(array_agg(v <-> query() ORDER BY v <-> query()) FILTER (WHERE topic = 3))[5] AS fifth_of_topic FROM t \gset
SET hnsw.iterative_scan = strict_order;
SELECT check_found(format('SELECT id FROM t WHERE topic = 3 AND v <-> query() <= %s ORDER BY v <-> query() LIMIT 10', :fifth_of_topic)),
	check_found(format('SELECT id FROM t WHERE v <-> query() <= %s ORDER BY v <-> query() LIMIT 100', :thirtieth));
SET hnsw.iterative_scan = relaxed_order;
SELECT check_found(format('SELECT id FROM t WHERE topic = 3 AND v <-> query() <= %s ORDER BY v <-> query() LIMIT 10', :fifth_of_topic)),
	check_found(format('SELECT id FROM t WHERE v <-> query() <= %s ORDER BY v <-> query() LIMIT 100', :thirtieth));
SET hnsw.iterative_scan = off;
SELECT check_found(format('SELECT id FROM t WHERE v <-> query() <= %s ORDER BY v <-> query() LIMIT 100', :thirtieth));
RESET hnsw.iterative_scan;

-- aliases, joins, row security, partial and expression indexes, partitions
SELECT condition('SELECT * FROM (SELECT id, v <-> query() AS distance FROM t) s WHERE distance < 100 ORDER BY distance LIMIT 10');
SELECT condition('SELECT u.id FROM t JOIN classes ON class = ''vector_l2_ops'' JOIN t u USING (id) WHERE t.v <-> query() < 100 ORDER BY t.v <-> query() LIMIT 10');
CREATE ROLE regress_reader;
GRANT SELECT ON t TO regress_reader;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY low_topics ON t USING (topic < 5);
SET ROLE regress_reader;
SELECT condition('SELECT id FROM t WHERE v <-> query() < 100 ORDER BY v <-> query() LIMIT 10');
SELECT count(*) FROM (SELECT FROM t WHERE v <-> query() < :thirtieth ORDER BY v <-> query() LIMIT 100) s;
RESET ROLE;
SELECT count(*) FROM (SELECT FROM t WHERE v <-> query() < :thirtieth AND topic < 5 ORDER BY v <-> query() LIMIT 100) s;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
DROP POLICY low_topics ON t;
REVOKE SELECT ON t FROM regress_reader;
DROP ROLE regress_reader;
DROP INDEX t_v;
CREATE INDEX t_v ON t USING hnsw ((v::halfvec(16)) halfvec_l2_ops) WHERE topic < 5;
SELECT condition('SELECT id FROM t WHERE topic < 5 AND v::halfvec(16) <-> query()::halfvec < 100 ORDER BY v::halfvec(16) <-> query()::halfvec LIMIT 10');
CREATE TABLE parted (id int, v vector(16)) PARTITION BY HASH (id);
CREATE TABLE first PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE second (v vector(16), id int);
ALTER TABLE parted ATTACH PARTITION second FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT id, v FROM t;
CREATE INDEX ON parted USING hnsw (v vector_l2_ops);
ANALYZE parted;
SELECT count(*) FROM (SELECT FROM parted WHERE v <-> query() < :thirtieth ORDER BY v <-> query() LIMIT 100) s;
SELECT condition('SELECT id FROM parted WHERE v <-> query() < 100 ORDER BY v <-> query() LIMIT 10');

DROP TABLE t, classes, forms, parted;
DROP FUNCTION query, query_bits, condition, walks, check_class, changing, steady, check_found;
