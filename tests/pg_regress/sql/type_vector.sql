-- vector: text in and out, dimensions, storage

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

-- spaces
SELECT '[1,2,3]'::vector;
SELECT E' \t\n\r\x0b\f[ \t\n\r\x0b\f1 \t\n\r\x0b\f, \t\n\r\x0b\f2 , 3 ] \t\n\r\x0b\f'::vector;

-- numbers: every form that real takes
SELECT literal, literal::vector FROM (VALUES
	('[-1,-2,-3]'), ('[+1]'), ('[1.]'), ('[.5]'), ('[-.5e1]'), ('[1e3,1E3,1e+3,1e-3]'), ('[00012]'),
	('[1.23456789012345]'), ('[0x10]'), ('[0x1.8p1,-0X1P-2]'), ('[1e-46]'), ('[-1e-46]'), ('[1e-45]'), ('[-0]'),
	('[340282346638528859811704183484516925440]'), ('[0.000000000000000000000000000000000000000000001]')
) AS v (literal);

-- output: shortest text that reads back, as real prints it
SELECT literal, literal::vector AS vector, literal::vector::text = '[' || trim(literal, '[]')::real || ']' AS as_real
FROM (VALUES
	('[0]'), ('[1]'), ('[-1]'), ('[0.1]'), ('[1.5e38]'), ('[-1.5e+38]'), ('[3.4028235e38]'), ('[1.17549435e-38]'),
	('[1e-45]'), ('[123456]'), ('[999999]'), ('[1000000]'), ('[16777216]'), ('[0.0001]'), ('[0.00001]'),
	('[33554448]'), ('[3e10]'), ('[8589934592]'), ('[0.3]'), ('[1.0000001]'), ('[9.5367431640625e-07]')
) AS v (literal);

SELECT count(*), bool_and(ARRAY[value]::vector::text = '[' || value || ']') AS as_real,
	bool_and(ARRAY[value]::vector::text::vector = ARRAY[value]::vector) AS reads_back
FROM (SELECT (random() * 10 ^ (random() * 76 - 38))::real * sign(random() - 0.5)::real AS value FROM generate_series(1, 20000)) s;

-- extra_float_digits does not matter
SET extra_float_digits = 0;
SELECT '[0.1,1.0000001]'::vector;
RESET extra_float_digits;

-- malformed literals: position and detail
SELECT '[1,2,3'::vector;
SELECT '1,2,3]'::vector;
SELECT '[1,2,3]9'::vector;
SELECT '[hello,1]'::vector;
SELECT '[1e400]'::vector;

SELECT literal, failure(format('SELECT %L::vector', literal)) FROM (VALUES
	(''), (' '), ('['), ('[ '), ('[,'), ('[]'), ('[ ]'), ('[1,]'), ('[,1]'), ('[1,,3]'), ('[1a]'), ('[1 2]'),
	('[1,2'), ('[1,2,'), ('1'), ('{1}'), ('(1)'), ('[1]]'), ('[1] x'), ('[[1]]'), ('[1;2]'), ('[--1]'), ('[+-1]'),
	('[1e]'), ('[1e5.5]'), ('[0x]'), ('[0xg]'), ('[.]'), ('[-]'), ('[1_000]'), ('[1-2]'),
	('[NaN,1]'), ('[nan]'), ('[-nan]'), ('[nan(7)]'), ('[Infinity,1]'), ('[-Infinity]'), ('[inf]'), ('[infinit]'),
	('[4e38,1]'), ('[-4e38]'), ('[1,1e400]'), ('[0x1p200]'), ('[1e39 ,2]'), ('[3.4028236e38]')
) AS v (literal);

-- dimensions
SELECT '[1,2,3]'::vector(3);
SELECT '[1,2,3]'::vector(2);
SELECT '[1,2,3]'::vector(3, 2);
SELECT '[1,2,3]'::vector('a');
SELECT '[1,2,3]'::vector(0);
SELECT '[1,2,3]'::vector(-1);
SELECT '[1,2,3]'::vector(16001);
SELECT failure($$SELECT '[1,2,3]'::vector(2)$$), failure($$SELECT '[1]'::vector(3, 2)$$),
	failure($$SELECT '[1]'::vector(0)$$), failure($$SELECT '[1]'::vector(16001)$$);

SELECT vector_dims(('[' || repeat('1,', n - 1) || '1]')::vector) FROM (VALUES (1), (15999), (16000)) v (n);
SELECT failure(format('SELECT %L::vector', '[' || repeat('1,', 16000) || '1]'));
-- the first error in reading order
SELECT failure(format('SELECT %L::vector', '[' || repeat('1,', 15999) || 'x,1]')) LIKE '22P02%' AS syntax_first;
SELECT failure(format('SELECT %L::vector', '[' || repeat('1,', 16000) || 'x'));

CREATE TABLE items (v vector(3));
INSERT INTO items VALUES ('[1,2,3]'), (NULL);
INSERT INTO items VALUES ('[1,2]');
SELECT failure($$INSERT INTO items VALUES ('[1,2]')$$), failure($$INSERT INTO items VALUES ('[1,2,3,4]')$$),
	failure($$UPDATE items SET v = '[1]'$$), failure($$INSERT INTO items VALUES (ARRAY[1,2])$$);
SELECT * FROM items;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0;
COPY items FROM stdin;
[4,5]
\.
COPY items FROM stdin;
[4,5,6]
\N
\.
COPY items TO stdout;
DROP TABLE items;

-- stored in line, in a short header, out of line, and never compressed
CREATE TABLE stored (id int, v vector);
INSERT INTO stored SELECT d, (SELECT array_agg(i % 7)::vector FROM generate_series(1, d) i) FROM unnest(ARRAY[1, 20, 30, 400, 3000, 16000]) d;
SELECT id, vector_dims(v), pg_column_size(v), pg_column_compression(v), vector_norm(v) = sqrt((SELECT sum((i % 7) ^ 2) FROM generate_series(1, id) i)) AS right_norm
FROM stored ORDER BY id;
UPDATE stored SET v = v + v;
SELECT id, vector_dims(v), l1_distance(v, v - v) = (SELECT sum(2 * (i % 7)) FROM generate_series(1, id) i) AS right_sum FROM stored ORDER BY id;
ALTER TABLE stored ALTER COLUMN v SET STORAGE PLAIN;
INSERT INTO stored VALUES (-1, '[1,2]');
SELECT v FROM stored WHERE id = -1;
DROP TABLE stored;

-- the catalog, as clients read it
SELECT typname, typlen, typcategory, typstorage, typalign, typarray::regtype, typmodout FROM pg_type WHERE typname = 'vector';
SELECT ARRAY['[1,2]'::vector, '[3]'], '{"[1,2]","[3]"}'::vector[];

DROP FUNCTION failure;

-- numbers are written as real writes them
SELECT count(*), count(*) FILTER (WHERE format('[%s]', x) <> ARRAY[x]::vector::text) AS different FROM (
	SELECT (power(2, i % 48 - 16) * (1 + i / 200000.0) * sign(i % 2 - 0.5))::real FROM generate_series(1, 200000) i
	UNION ALL SELECT (i / power(2, j))::real FROM generate_series(1, 2000) i, generate_series(1, 30) j
	UNION ALL SELECT (i::numeric / power(10::numeric, j))::real FROM generate_series(1, 2000) i, generate_series(-5, 9) j
) s (x);
