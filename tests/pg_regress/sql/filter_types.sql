-- hnsw: every type of a key column with every operator passes the rows that a sequential scan passes

SET extra_float_digits = 0;
SET TimeZone = 'UTC';
SET hnsw.ef_search = 1000;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN whole AS int;

-- Values of each type: extremes, equal values that look different, neighbors.
CREATE TABLE kinds (name text, type text, operators text[], operands text[], list text[], others text[] DEFAULT '{}');
INSERT INTO kinds VALUES
	('small', 'int2', '{<,<=,=,>=,>}', '{int2,int4,int8}', '{-32768,-1,0,1,7,32767}'),
	('four', 'int4', '{<,<=,=,>=,>}', '{int2,int4,int8}', '{-2147483648,-32768,-1,0,1,7,40000,2147483647}'),
	('big', 'int8', '{<,<=,=,>=,>}', '{int2,int4,int8}', '{-9223372036854775808,-2147483649,-1,0,7,2147483648,9223372036854775807}'),
	('domain', 'whole', '{<,<=,=,>=,>}', '{int2,int4,int8}', '{-1,0,7}'),
	('real4', 'float4', '{<,<=,=,>=,>}', '{float4,float8}', '{-Infinity,-1e30,-1,-0,0,1e-40,0.1,1,16777216,3e38,Infinity,NaN}'),
	('real8', 'float8', '{<,<=,=,>=,>}', '{float4,float8}', '{-Infinity,-1e300,-1,-0,0,1e-300,0.1,0.10000000149011612,16777217,1e300,Infinity,NaN}'),
	('price', 'numeric', '{<,<=,=,>=,>}', '{numeric}', '{-Infinity,-1e400,-1.5,-1e-400,0,1e-400,0.1,0.10,1.00,1,123456789012345678901234567890.1,123456789012345678901234567890.2,1e400,Infinity,NaN}'),
	('flag', 'bool', '{<,<=,=,>=,>}', '{bool}', '{true,false}'),
	('day', 'date', '{<,<=,=,>=,>}', '{date,timestamp}', '{-infinity,4713-01-01 BC,1999-12-31,2000-01-01,2000-01-02,5874897-12-31,infinity}'),
	('at', 'timestamp', '{<,<=,=,>=,>}', '{date,timestamp}', '{-infinity,4713-01-01 BC,1999-12-31 23:59:59.999999,2000-01-01,2000-01-01 00:00:00.000001,294276-12-31 12:00,infinity}'),
	('at_tz', 'timestamptz', '{<,<=,=,>=,>}', '{timestamptz}', '{-infinity,1999-12-31 23:59:59.999999+00,2000-01-01 00:00+00,2000-01-01 01:00+01,294276-12-31 12:00+00,infinity}'),
	('clock', 'time', '{<,<=,=,>=,>}', '{time}', '{00:00,12:00,23:59:59.999999,24:00}'),
	('object', 'oid', '{<,<=,=,>=,>}', '{oid}', '{0,1,2147483648,4294967295}'),
	('letter', '"char"', '{<,<=,=,>=,>}', '{"\"char\""}', E'{"",a,b,\\\\377}'),
	('cash', 'money', '{<,<=,=,>=,>}', '{money}', '{-92233720368547758.08,-1,0,1.00,92233720368547758.07}'),
	('feeling', 'mood', '{=}', '{mood}', '{sad,ok,happy}'),
	('uid', 'uuid', '{<,<=,=,>=,>}', '{uuid}', '{00000000-0000-0000-0000-000000000000,01234567-89ab-cdef-0000-000000000001,01234567-89ab-cdef-0000-000000000002,ffffffff-ffff-ffff-ffff-ffffffffffff}'),
	('words', 'text', '{=}', '{text,name}', '{"",a,"a ",A,abcdefgh,abcdefghi,été}'),
	('short', 'varchar(20)', '{=}', '{text,varchar}', '{"",a,"a ",abcdefghi}'),
	('padded', 'bpchar(9)', '{=}', '{bpchar}', '{"",a,"a ",abcdefghi}'),
	('system', 'name', '{=}', '{text,name}', '{"",a,"a ",abcdefghi}'),
	('raw', 'bytea', '{=}', '{bytea}', '{"","\\x00","\\x0000","\\xff"}'),
	('host', 'inet', '{=}', '{inet}', '{10.0.0.1,10.0.0.1/32,10.0.0.1/24,10.0.0.0/24,::1,2001:db8::/32}'),
	('net', 'cidr', '{=}', '{inet,cidr}', '{10.0.0.0/24,10.0.0.1,10.0.0.1/32,::1,2001:db8::/32}'),
	('span', 'interval', '{<,<=,=,>=,>}', '{interval}', '{-178000000 years,-1 mon 30 days,0,1 microsecond,1 day,24 hours,1 mon,30 days,31 days,178000000 years}'),
	('tags', 'text[]', '{=,&&,@>}', '{text[]}', '{"{}","{a}","{b,a}","{NULL}","{a,NULL}","{{a,b},{c,d}}","{a,b,c,d,e,f,g,h,i,j}"}'),
	('counts', 'int4[]', '{=,&&,@>}', '{int4[]}', '{"{}","{1}","{2,1}","{NULL}","{-1}"}'),
	('reals', 'float8[]', '{=,&&,@>}', '{float8[]}', '{"{}","{0}","{-0}","{NaN}","{1,NaN}"}'),
	('prices', 'numeric[]', '{=,&&,@>}', '{numeric[]}', '{"{}","{1.0}","{1.00}","{NaN}","{1e400}"}'),
	('spans', 'interval[]', '{=,&&,@>}', '{interval[]}', '{"{}","{1 day}","{24 hours}","{1 mon}"}'),
	('feelings', 'mood[]', '{=,&&,@>}', '{mood[]}', '{"{}","{sad}","{ok,happy}"}'),
	('names', 'varchar[]', '{=,&&,@>}', '{varchar[]}', '{"{}","{a}","{\"a \"}"}'),
	('rows', 'int4range[]', '{=,&&,@>}', '{int4range[]}', '{"{}","{\"[1,2]\"}","{\"[1,3)\"}"}');

-- Operands beyond the values of a column, or between them.
UPDATE kinds SET others = '{5000000000,-5000000000,70000,-70000}' WHERE name IN ('small', 'four', 'big', 'domain');
UPDATE kinds SET others = '{2000-01-01 12:00,294276-12-31}' WHERE name IN ('day', 'at');
UPDATE kinds SET others = '{0.3,-1e38}' WHERE name IN ('real4', 'real8');

-- A table with all values in each column, and NULL.
DO $$
BEGIN
	EXECUTE (SELECT 'CREATE TABLE types (id int PRIMARY KEY, v vector(2), ' || string_agg(format('%I %s', name, type), ', ') || ')' FROM kinds);
END $$;
INSERT INTO types SELECT i, ARRAY[i % 7, i]::vector FROM generate_series(1, 20) i;
DO $$
DECLARE
	statement text;
BEGIN
	FOR statement IN SELECT format('UPDATE types SET %I = ((%L::text[])[1 + (id - 1) %% %s])::%s WHERE id < 20', name, list, cardinality(list), type) FROM kinds LOOP
		EXECUTE statement;
	END LOOP;
END $$;
VACUUM (FULL, ANALYZE) types;

CREATE FUNCTION rows_where(condition text, by_index bool) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	found int[];
BEGIN
	PERFORM set_config('enable_seqscan', (NOT by_index)::text, true), set_config('enable_indexscan', by_index::text, true);
	EXECUTE format($q$SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM types WHERE %s ORDER BY v <-> '[3,3]' LIMIT 100) s$q$, condition) INTO found;
	RETURN found;
END $$;

-- True if the index takes the whole condition.
CREATE FUNCTION is_pushed(condition text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
	line text; pushed bool := false;
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'on', true);
	FOR line IN EXECUTE format($q$EXPLAIN (COSTS OFF) SELECT id FROM types WHERE %s ORDER BY v <-> '[3,3]' LIMIT 100$q$, condition) LOOP
		IF line ~ 'Filter:' THEN RETURN false; END IF;
		pushed := pushed OR line ~ 'Index Cond:';
	END LOOP;
	RETURN pushed;
END $$;

CREATE VIEW conditions AS
	SELECT name, format('%I %s %L::%s', name, operator, CASE WHEN operand IN ('int2', 'int4') AND value::numeric NOT BETWEEN -2147483648 AND 2147483647
			OR operand = 'int2' AND value::numeric NOT BETWEEN -32768 AND 32767 THEN '5'
			WHEN operand = 'float4' AND abs(value::numeric) NOT BETWEEN 1e-37 AND 1e38 AND value !~ 'N|I' THEN '0' ELSE value END, operand) AS condition
		FROM kinds, unnest(operators) operator, unnest(operands) operand,
			unnest(list || others) value
		WHERE NOT (operand = 'timestamp' AND value ~ '5874897')
	UNION ALL
	SELECT name, format('%I %s (SELECT NULL::%s)', name, operator, operand) FROM kinds, unnest(operators) operator, unnest(operands) operand
	UNION ALL
	SELECT name, format('%I %s', name, test) FROM kinds, unnest(ARRAY['IS NULL', 'IS NOT NULL']) test
	UNION ALL
	SELECT name, format('%I %s AND %I IS NULL', name, 'IS NOT NULL', name) FROM kinds
	UNION ALL
	SELECT name, format('%I %s %L::%s AND %I %s %L::%s', name, '>=', a, type, name, '<', b, type) FROM kinds, unnest(list) a, unnest(list) b WHERE '<' = ANY (operators)
	UNION ALL
	SELECT name, format('%I %s ANY (%L::%s[])', name, operator, list[a:b], type) FROM kinds, unnest(operators) operator, generate_series(1, 3) a, generate_series(1, 4) b
		WHERE type !~ '\[' AND type <> 'whole'
	UNION ALL
	SELECT name, format('%I %s ANY (%L::%s[])', name, operator, list[1:2] || NULL::text, type) FROM kinds, unnest(operators) operator WHERE type !~ '\[' AND type <> 'whole';

CREATE TABLE results (name text, condition text, by_index int[], pushed bool);
DO $$
DECLARE
	kind text;
BEGIN
	FOR kind IN SELECT name FROM kinds LOOP
		EXECUTE format('CREATE INDEX keyed ON types USING hnsw (v vector_l2_ops, %I)', kind);
		INSERT INTO results SELECT name, condition, rows_where(condition, true), is_pushed(condition) FROM conditions WHERE name = kind;
		DROP INDEX keyed;
	END LOOP;
END $$;
SELECT name, condition, by_index, rows_where(condition, false) AS by_table FROM results WHERE by_index IS DISTINCT FROM rows_where(condition, false);
SELECT name, count(*) AS conditions, count(by_index) > 0 AS found FROM results GROUP BY name ORDER BY name;
-- A name is compared by the collation "C", a text column by its own.
SELECT name, condition FROM results WHERE NOT pushed AND NOT (name = 'words' AND condition ~ '::name') ORDER BY 1, 2;

DROP VIEW conditions;
DROP TABLE types, kinds, results;
DROP FUNCTION rows_where, is_pushed;
DROP DOMAIN whole;
DROP TYPE mood;
