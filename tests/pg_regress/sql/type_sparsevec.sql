-- sparsevec: text in and out, dimensions, storage, functions

-- An error as one line: SQLSTATE, message, detail.
CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; details text; state text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, details = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', state, message, nullif(details, ''));
END $$;

-- spaces, order, zeroes
SELECT E' \t\n\r\x0b\f{ \t\n\r\x0b\f1 \t\n\r\x0b\f: \t\n\r\x0b\f2 \t\n\r\x0b\f, 3 : 4 } \t\n\r\x0b\f/ \t\n\r\x0b\f5 \t\n\r\x0b\f'::sparsevec;
SELECT literal, literal::sparsevec FROM (VALUES
	('{}/1'), ('{ } / 3'), ('{3:1,1:2,2:3}/3'), ('{1:0,2:-0,3:0e5,4:0x0p1,5:1}/5'), ('{+1:+1}/+2'), ('{9:0}/2'), ('{1:1}/1000000000'), ('{1000000000:1}/1000000000'),
	('{1:1.}/1'), ('{1:.5}/1'), ('{1:0x1.8p1}/1'), ('{1:1e-45}/1'), ('{1:3.4028235e38}/1'), ('{1:1.5e38,2:-1.5e+38}/2'), ('{1:0.1,2:1.0000001}/2'), ('{01:1}/01')
) AS v (literal);

-- malformed literals: position and detail
SELECT '{1:1'::sparsevec;
SELECT '1:1}/2'::sparsevec;
SELECT '{1:1}'::sparsevec;
SELECT '{1:1}/2 x'::sparsevec;
SELECT '{1:1e-46}/2'::sparsevec;
SELECT literal, failure(format('SELECT %L::sparsevec', literal)) FROM (VALUES
	(''), (' '), ('{'), ('{ '), ('{,'), ('{:'), ('{1'), ('{1:'), ('{1:1'), ('{1:1,'), ('{1:1,}/2'), ('{,1:1}/2'), ('{1}/2'), ('{1:}/2'), ('{:1}/2'), ('{a:1}/2'), ('{1:a}/2'),
	('{1.5:1}/2'), ('{1:1 2:2}/2'), ('{1::1}/2'), ('[1,2]'), ('{1:1}x/2'), ('{}'), ('{} 5'), ('{}/'), ('{}/a'), ('{}/1.5'), ('{}/5}'), ('{1:1}}/2'), ('{1:1}//2'),
	('{}/0'), ('{}/-1'), ('{}/1000000001'), ('{}/99999999999999999999'), ('{0:1}/2'), ('{3:1}/2'), ('{-1:1}/2'), ('{-99999999999999999999:1}/2'), ('{99999999999999999999:1}/2'),
	('{1:1,1:2}/2'), ('{2:1,1:1,2:1}/2'), ('{1:nan}/2'), ('{1:-NaN}/2'), ('{1:inf}/2'), ('{1:-Infinity}/2'), ('{1:4e38}/2'), ('{1:-1e400}/2'), ('{1:1e-46}/2'), ('{1:-1e-400}/2'), ('{1:0x1p-200}/2')
) AS v (literal);

-- dimensions
SELECT '{1:1}/3'::sparsevec(3);
SELECT '{1:1}/3'::sparsevec(2);
SELECT '{1:1}/3'::sparsevec(3, 2);
SELECT '{1:1}/3'::sparsevec(0);
SELECT '{1:1}/3'::sparsevec(1000000001);
SELECT format_type('sparsevec'::regtype, 1000000000);

-- elements that are not zero
SELECT vector_dims(v::vector) FROM (SELECT ('{' || string_agg(i || ':1', ',') || '}/16000')::sparsevec AS v FROM generate_series(1, 16000) i) s;
SELECT failure(format('SELECT %L::sparsevec', '{' || string_agg(i || ':1', ',') || '}/16001')) FROM generate_series(1, 16001) i;

CREATE TABLE items (v sparsevec(3));
INSERT INTO items VALUES ('{1:1}/3'), (NULL), (ARRAY[0,1,2]), ('[1,0,0.5]'::vector), ('[1,0,0.5]'::halfvec), ('{}/3');
INSERT INTO items VALUES ('{1:1}/2');
SELECT * FROM items;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0;
COPY items FROM stdin;
{1:1}/2
\.
COPY items FROM stdin;
{2:1}/3
\N
\.
COPY items TO stdout;
DROP TABLE items;

-- stored in line, in a short header, out of line, and never compressed
CREATE TABLE stored (id int, v sparsevec);
INSERT INTO stored SELECT n, (SELECT ('{' || string_agg(2 * i || ':1', ',') || '}/40000')::sparsevec FROM generate_series(1, n) i) FROM unnest(ARRAY[1, 10, 20, 400, 16000]) n;
INSERT INTO stored VALUES (0, '{}/40000');
SELECT id, pg_column_size(v), pg_column_compression(v), l2_norm(v) = sqrt(id) AS right_norm, v <+> '{1:1}/40000' = id + 1 AS right_sum FROM stored ORDER BY id;
DROP TABLE stored;

-- distances
SELECT l2_distance('{1:0}/2'::sparsevec, '{1:3,2:4}/2'), '{}/2'::sparsevec <-> '{1:3,2:4}/2', sparsevec_l2_squared_distance('{}/2', '{1:3,2:4}/2');
SELECT l2_distance('{1:3e38}/1'::sparsevec, '{1:-3e38}/1'), '{1:1}/2'::sparsevec <-> '{2:1}/2';
SELECT inner_product('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2'), '{1:1,2:2}/2'::sparsevec <#> '{1:2,2:4}/2', sparsevec_negative_inner_product('{1:1,3:2}/9', '{2:2,4:4}/9');
SELECT a, b, cosine_distance(a::sparsevec, b::sparsevec), a::sparsevec <=> b::sparsevec AS operator FROM (VALUES
	('{1:1,2:2}/2', '{1:2,2:4}/2'), ('{1:1,2:2}/2', '{}/2'), ('{}/2', '{}/2'), ('{1:1}/2', '{2:2}/2'), ('{1:1,2:1}/2', '{1:-1,2:-1}/2'), ('{1:1}/2', '{1:-1}/2'), ('{1:3e38}/1', '{1:3e38}/1')
) AS v (a, b);
SELECT l1_distance('{}/2'::sparsevec, '{1:3,2:4}/2'), '{1:1,3:5}/9'::sparsevec <+> '{2:3,3:-4,9:1}/9';
SELECT l2_distance('{}/1'::sparsevec, NULL);
SELECT statement, failure('SELECT ' || statement) FROM (VALUES
	($$'{}/1'::sparsevec <-> '{}/2'$$), ($$'{}/1'::sparsevec <#> '{}/2'$$), ($$inner_product('{}/1'::sparsevec, '{}/2')$$), ($$'{}/1'::sparsevec <=> '{}/2'$$), ($$'{}/1'::sparsevec <+> '{}/2'$$),
	($$sparsevec_l2_squared_distance('{}/1', '{}/2')$$), ($$sparsevec_negative_inner_product('{}/1', '{}/2')$$)
) AS v (statement);

-- norms
SELECT v, l2_norm(v::sparsevec), l2_normalize(v::sparsevec) FROM (VALUES ('{1:3,2:4}/2'), ('{2:1}/2'), ('{}/2'), ('{1:3e37,2:4e37}/2'), ('{1:3e38,2:1e-45}/3'), ('{1:1e-45}/1')) AS t (v);

-- comparison, as the dense vectors they stand for
SELECT a, b, a::sparsevec < b::sparsevec AS lt, a::sparsevec <= b::sparsevec AS le, a::sparsevec = b::sparsevec AS eq, a::sparsevec <> b::sparsevec AS ne,
	a::sparsevec >= b::sparsevec AS ge, a::sparsevec > b::sparsevec AS gt, sparsevec_cmp(a::sparsevec, b::sparsevec)
FROM (VALUES ('{1:1,2:2}/3', '{1:1,2:2}/3'), ('{1:1}/3', '{}/3'), ('{1:-1}/3', '{}/3'), ('{}/2', '{}/3'), ('{2:1}/3', '{3:1}/3'), ('{2:-1}/3', '{3:-1}/3'), ('{1:1}/2', '{1:1,3:-5}/3'), ('{1:1}/2', '{1:1,2:-5}/3')) AS v (a, b);
WITH v AS (SELECT ARRAY[a, b, c]::int[] AS x FROM generate_series(-1, 1) a, generate_series(-1, 1) b, generate_series(-1, 1) c UNION ALL SELECT ARRAY[a, b] FROM generate_series(-1, 1) a, generate_series(-1, 1) b)
SELECT count(*), bool_and(sparsevec_cmp(a.x::sparsevec, b.x::sparsevec) = vector_cmp(a.x::vector, b.x::vector)) AS as_dense,
	bool_and((sparsevec_hash(a.x::sparsevec) = sparsevec_hash(b.x::sparsevec)) = (a.x = b.x)) AS hashed FROM v a, v b;

-- operators as the planner sees them
SELECT oprname, oprcode::regprocedure, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash
FROM pg_operator WHERE oprleft = 'sparsevec'::regtype AND oprright = 'sparsevec'::regtype ORDER BY oprname COLLATE "C";

-- the catalog, as clients read it
SELECT typname, typlen, typcategory, typstorage, typalign, typarray::regtype, typmodout FROM pg_type WHERE typname = 'sparsevec';
SELECT ARRAY['{1:1}/2'::sparsevec, '{}/3'], '{"{1:1}/2","{}/3"}'::sparsevec[];

DROP FUNCTION failure;
