-- hnsw: key columns beside the vector column: definitions, errors, plans, and rows as by a sequential scan

CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; details text; hint text; state text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, details = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', state, message, nullif(details, ''), nullif(hint, ''));
END $$;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE items (
	id int4 PRIMARY KEY, embedding vector(3), other halfvec(3), small int2, big int8, real4 float4, real8 float8, price numeric, flag bool,
	day date, at timestamp, at_tz timestamptz, clock time, object oid, letter "char", cash money, feeling mood, uid uuid, words text,
	short varchar(20), padded bpchar(20), system name, raw bytea, host inet, net cidr, span interval, tags text[], numbers int[],
	place point, amount positive, metadata jsonb
);

-- Definitions: one vector column at any place, expressions, domains, classes that are no default. pg_dump prints them so.
CREATE INDEX keys_1 ON items USING hnsw (embedding vector_l2_ops, id, price);
CREATE INDEX keys_2 ON items USING hnsw (small, big, embedding vector_cosine_ops, real4, real8);
CREATE INDEX keys_3 ON items USING hnsw (flag, day, at, at_tz, clock, object, letter, embedding vector_l1_ops);
CREATE INDEX keys_4 ON items USING hnsw (embedding vector_ip_ops, cash, feeling, uid, words, short, padded, system);
CREATE INDEX keys_5 ON items USING hnsw (other halfvec_l2_ops, raw, host, net, span, tags, numbers, amount);
CREATE INDEX keys_6 ON items USING hnsw (embedding vector_l2_ops, (metadata->>'source'), (id % 10), lower(words), words text_pattern_ops) WHERE id > 0;
SELECT pg_get_indexdef(oid) FROM pg_class WHERE relname ~ '^keys_\d$' ORDER BY relname;
DROP INDEX keys_1, keys_2, keys_3, keys_4, keys_5, keys_6;

CREATE TABLE errors (statement text, message text);
INSERT INTO errors VALUES
	($$CREATE INDEX ON items USING hnsw (id)$$, '0A000 | an hnsw index needs a column to order by | Name a vector column with its operator class before the columns to filter by, as in (embedding vector_l2_ops, tenant_id).'),
	($$CREATE INDEX ON items USING hnsw (id, price)$$, '0A000 | an hnsw index needs a column to order by | Name a vector column with its operator class before the columns to filter by, as in (embedding vector_l2_ops, tenant_id).'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, id, other halfvec_l2_ops)$$, '0A000 | an hnsw index has one column to order by, not 2 | Create an index for each vector column.'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, id, small, big, real4, real8, price, flag, day)$$, '54011 | an hnsw index has up to 7 columns to filter by, not 8'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, place)$$, '42704 | data type point has no default operator class for access method "hnsw" | You must specify an operator class for the index or define a default operator class for the data type.'),
	($$CREATE INDEX ON items USING hnsw (embedding, id)$$, '42704 | data type vector has no default operator class for access method "hnsw" | You must specify an operator class for the index or define a default operator class for the data type.'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) INCLUDE (id)$$, '0A000 | access method "hnsw" does not support included columns'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, id DESC)$$, '0A000 | access method "hnsw" does not support ASC/DESC options'),
	($$CREATE INDEX ON items USING ivfflat (embedding vector_l2_ops, id)$$, '0A000 | access method "ivfflat" does not support multicolumn indexes');
SELECT statement, found FROM (SELECT *, failure(statement) AS found FROM errors) s WHERE found IS DISTINCT FROM message;

DROP TABLE items, errors;

-- Plans: a condition on a key column is the index's.
CREATE TABLE shop (id int PRIMARY KEY, embedding vector(2), tenant int4, price float8, flag bool, name text, short varchar(10),
	created timestamptz, feeling mood, tags text[], metadata jsonb, amount positive);
INSERT INTO shop SELECT i, ARRAY[i % 17, i % 13]::vector, i % 10, i / 10.0, i % 3 = 0, 'name ' || i % 5, 's' || i % 4, timestamptz '2026-01-01 UTC' + i * interval '1 hour',
	(ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::mood, ARRAY['a' || i % 7, 'b' || i % 5], jsonb_build_object('source', 's' || i % 6), 1 + i % 20
	FROM generate_series(1, 300) i;
UPDATE shop SET tenant = NULL, tags = NULL WHERE id % 20 = 0;
CREATE INDEX shop_keys ON shop USING hnsw (tenant, embedding vector_l2_ops, price, flag, name, feeling, tags, (metadata->>'source'));
CREATE INDEX shop_more ON shop USING hnsw (embedding vector_cosine_ops, short, created, amount, lower(name), (id % 10));
ANALYZE shop;
SET enable_seqscan = off;
SET enable_sort = off;
SET hnsw.ef_search = 400;

-- The conditions of a plan, and what is left to the filter.
CREATE FUNCTION plan_of(condition text, distance text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) SELECT id FROM shop WHERE %s ORDER BY embedding %s ''[3,4]'' LIMIT 10', condition, distance) LOOP
		IF line ~ 'Index Cond|Filter|Sort|Seq Scan' THEN RETURN NEXT regexp_replace(trim(line), '\(InitPlan (1|(array|expr)_1)\)\.col1', '$0'); END IF;
	END LOOP;
END $$;
SELECT condition, plan FROM (VALUES
	('tenant = 7'), ('tenant = 7 AND price < 10'), ('price BETWEEN 3 AND 5'), ('tenant = 7::int8'), ('price < 10::float4'), ('tenant < 5000000000'),
	('name = ''name 1'''), ('feeling = ''ok'''), ('tags && ''{a1}'''), ('tags @> ''{a1,b1}'''), ('tenant IS NULL'), ('tenant IS NOT NULL'),
	('metadata->>''source'' = ''s1'''), ('tenant IN (1, 5)'), ('price = ANY (''{1,2,3}'')'), ('name IN (''name 1'', ''name 2'')'), ('flag'), ('NOT flag'), ('flag IS TRUE'), ('flag IS FALSE'),
	('flag = true'), ('tenant = 1 OR tenant = 5'), ('name = ''name 1'' OR name = ''name 3'''), ('tenant = ANY (ARRAY(SELECT 4))'), ('tenant = (SELECT 4)'), ('price = ANY (ARRAY(SELECT 4.0::float8))'),
	-- for the filter
	('tenant <> 7'), ('tenant NOT IN (1, 5)'), ('name LIKE ''name%'''), ('name = ''name 1'' COLLATE "C"'), ('''a1'' = ANY (tags)'), ('(tenant, price) = (1, 2.5)'),
	('flag IS NOT TRUE'), ('tenant = 1 OR price = 2'), ('tenant = 1 OR tenant > 7'), ('tenant = id'), ('tenant = ANY (ARRAY[id, 3])'), ('tenant = (random() * 10)::int'), ('tenant = ALL (''{1}'')'),
	('embedding IS NOT NULL'), ('embedding IS NULL')) s (condition), plan_of(condition, '<->') plan;
SELECT condition, plan FROM (VALUES
	('short = ''s1'''), ('short IN (''s1'', ''s2'')'), ('created > ''2026-01-05 UTC'' AND created < now()'), ('amount = 3'), ('amount IN (3, 5)'), ('lower(name) = ''name 1'''), ('id % 10 = 3'), ('id % 10 IN (3, 4)'))
	s (condition), plan_of(condition, '<=>') plan;

-- Generic plans, and keys that change from row to row.
PREPARE by_tenant AS SELECT id FROM shop WHERE tenant = $1 ORDER BY embedding <-> '[3,4]' LIMIT 5;
PREPARE by_prices AS SELECT id FROM shop WHERE price = ANY ($1) ORDER BY embedding <-> '[3,4]' LIMIT 5;
PREPARE by_two AS SELECT id FROM shop WHERE tenant = $1 OR tenant = $2 ORDER BY embedding <-> '[3,4]' LIMIT 5;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE by_tenant(3);
EXPLAIN (COSTS OFF) EXECUTE by_prices('{1,2}');
EXPLAIN (COSTS OFF) EXECUTE by_two(1, 5);
EXECUTE by_tenant(3);
EXECUTE by_tenant(NULL);
EXECUTE by_prices('{1,2,NULL}');
EXECUTE by_prices('{}');
EXECUTE by_prices(NULL);
EXECUTE by_two(1, NULL);
RESET plan_cache_mode;
EXPLAIN (COSTS OFF) SELECT o.t, s.id FROM generate_series(1, 3) o (t), LATERAL (SELECT id FROM shop WHERE tenant = o.t ORDER BY embedding <-> '[3,4]' LIMIT 2) s;
SELECT o.t, s.id FROM (VALUES (1), (NULL), (3)) o (t), LATERAL (SELECT id FROM shop WHERE tenant = o.t ORDER BY embedding <-> '[3,4]', id LIMIT 2) s ORDER BY 1, 2;

-- Row security: conditions whose operators leak nothing are the index's, before others.
CREATE ROLE reader;
GRANT SELECT ON shop TO reader;
CREATE POLICY own ON shop TO reader USING (tenant = current_setting('app.tenant')::int);
ALTER TABLE shop ENABLE ROW LEVEL SECURITY;
SET ROLE reader;
SET app.tenant = 3;
EXPLAIN (COSTS OFF) SELECT id FROM shop WHERE price < 20 ORDER BY embedding <-> '[3,4]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM shop WHERE tags && '{a1}' ORDER BY embedding <-> '[3,4]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM shop WHERE price IN (3.3, 4.3) ORDER BY embedding <-> '[3,4]' LIMIT 5;
SELECT id FROM shop WHERE price < 20 ORDER BY embedding <-> '[3,4]', id LIMIT 5;
RESET ROLE;
ALTER TABLE shop DISABLE ROW LEVEL SECURITY;
DROP POLICY own ON shop;

-- Without an order the index is no way to a row.
SET enable_sort = on;
SET enable_seqscan = on;
EXPLAIN (COSTS OFF) SELECT id FROM shop WHERE tenant = 7;
SET enable_seqscan = off;

-- The bound of a distance, beside a key.
EXPLAIN (COSTS OFF) SELECT id FROM shop WHERE tenant = 7 AND embedding <-> '[3,4]' < 5 ORDER BY embedding <-> '[3,4]' LIMIT 5;
SELECT count(*) FROM (SELECT id FROM shop WHERE tenant = 7 AND embedding <-> '[3,4]' < 5 ORDER BY embedding <-> '[3,4]' LIMIT 100) s;
SET enable_indexscan = off;
SELECT count(*) FROM shop WHERE tenant = 7 AND embedding <-> '[3,4]' < 5;
RESET enable_indexscan;
DROP TABLE shop;
DROP ROLE reader;

SET enable_sort = off;

-- Partitions, of which the key chooses.
CREATE TABLE parts (id int, embedding vector(2), tenant int, kind int) PARTITION BY LIST (tenant);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1, 2);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (3, 4);
INSERT INTO parts SELECT i, ARRAY[i % 17, i]::vector, 1 + i % 4, i % 5 FROM generate_series(1, 100) i;
CREATE INDEX ON parts USING hnsw (embedding vector_l2_ops, tenant, kind);
ANALYZE parts;
EXPLAIN (COSTS OFF) SELECT id FROM parts WHERE tenant = 1 AND kind IN (2, 3) ORDER BY embedding <-> '[3,4]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM parts WHERE tenant IN (1, 3) AND kind = 2 ORDER BY embedding <-> '[3,4]' LIMIT 5;
DROP TABLE parts;

-- A type of a user's, by a function that returns its key.
CREATE FUNCTION place_key(point) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT ($1[0] * 1000)::int8';
CREATE OPERATOR CLASS place_ops DEFAULT FOR TYPE point USING hnsw AS OPERATOR 3 ~=, FUNCTION 4 place_key(point);
CREATE TABLE places (id int, embedding vector(1), place point);
INSERT INTO places SELECT i, ARRAY[i]::vector, point(i % 3, i) FROM generate_series(1, 30) i;
CREATE INDEX ON places USING hnsw (embedding vector_l2_ops, place);
EXPLAIN (COSTS OFF) SELECT id FROM places WHERE place ~= '(1,4)' ORDER BY embedding <-> '[0]' LIMIT 5;
SELECT id FROM places WHERE place ~= '(1,4)' ORDER BY embedding <-> '[0]' LIMIT 5;
DROP OPERATOR CLASS place_ops USING hnsw CASCADE;
CREATE OPERATOR CLASS place_ops DEFAULT FOR TYPE point USING hnsw AS OPERATOR 3 ~=;
SELECT failure('CREATE INDEX ON places USING hnsw (embedding vector_l2_ops, place)');
DROP TABLE places;
DROP OPERATOR FAMILY place_ops USING hnsw;
DROP FUNCTION place_key;

RESET enable_seqscan;
RESET enable_sort;
DROP FUNCTION failure;
DROP DOMAIN positive;
DROP TYPE mood;
