-- halfvec: text in and out, dimensions, storage

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

-- spaces, and every form of number that real takes
SELECT E' \t\n\r\x0b\f[ \t\n\r\x0b\f1 \t\n\r\x0b\f, \t\n\r\x0b\f2 , 3 ] \t\n\r\x0b\f'::halfvec;
SELECT literal, literal::halfvec FROM (VALUES
	('[-1,-2,-3]'), ('[+1]'), ('[1.]'), ('[.5]'), ('[-.5e1]'), ('[1e3,1E3,1e+3,1e-3]'), ('[00012]'), ('[0x10]'), ('[0x1.8p1,-0X1P-2]')
) AS v (literal);

-- rounded to the nearest half, ties to the even one; tiny ones to zero; printed as the shortest real
SELECT literal, literal::halfvec FROM (VALUES
	('[0.1]'), ('[1.23456789]'), ('[1.00048828125]'), ('[1.00146484375]'), ('[2049]'), ('[2051]'), ('[65504]'), ('[-65504]'),
	('[65519.9]'), ('[6e-8]'), ('[5.9604645e-08]'), ('[2.98023224e-08]'), ('[2.9802325e-08]'), ('[1e-8]'), ('[-1e-8]'), ('[1e-46]'), ('[-0]'),
	('[6.1035156e-05]'), ('[6.0975552e-05]'), ('[33.33]')
) AS v (literal);

-- all halves there are: text reads back as the same
SELECT count(*), bool_and(v::text::halfvec = v) AS reads_back, bool_and(halfvec_send(v::text::halfvec) = halfvec_send(v)) AS same_bytes FROM (
	SELECT ARRAY[sign * power(2, exponent) * (1 + fraction / 1024.0)]::float8[]::halfvec AS v
	FROM unnest(ARRAY[1, -1]) sign, generate_series(-14, 15) exponent, generate_series(0, 1023) fraction
	UNION ALL SELECT ARRAY[sign * power(2, -24) * fraction]::float8[]::halfvec FROM unnest(ARRAY[1, -1]) sign, generate_series(0, 1023) fraction
) halves;

-- malformed literals: position and detail
SELECT '[1,2,3'::halfvec;
SELECT '1,2,3]'::halfvec;
SELECT '[1,2,3]9'::halfvec;
SELECT '[65520]'::halfvec;
SELECT literal, failure(format('SELECT %L::halfvec', literal)) FROM (VALUES
	(''), ('['), ('[,'), ('[]'), ('[1,]'), ('[,1]'), ('[1a]'), ('[1 2]'), ('[1,2'), ('1'), ('{1}'), ('[1]]'), ('[--1]'), ('[1e]'), ('[0x]'),
	('[NaN,1]'), ('[-nan]'), ('[Infinity,1]'), ('[-inf]'), ('[65520,1]'), ('[-65520]'), ('[1e5 ]'), ('[4e38]'), ('[1,1e400]'), ('[0x1p16]')
) AS v (literal);

-- dimensions
SELECT '[1,2,3]'::halfvec(3);
SELECT '[1,2,3]'::halfvec(2);
SELECT '[1,2,3]'::halfvec(0);
SELECT '[1,2,3]'::halfvec(16001);
SELECT vector_dims(('[' || repeat('1,', n - 1) || '1]')::halfvec) FROM (VALUES (1), (15999), (16000)) v (n);
SELECT failure(format('SELECT %L::halfvec', '[' || repeat('1,', 16000) || '1]'));

CREATE TABLE items (v halfvec(3));
INSERT INTO items VALUES ('[1,2,3]'), (NULL), (ARRAY[0.1,0.2,0.3]), ('[1,2,3]'::vector);
INSERT INTO items VALUES ('[1,2]');
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
CREATE TABLE stored (id int, v halfvec);
INSERT INTO stored SELECT d, (SELECT array_agg(i % 7)::halfvec FROM generate_series(1, d) i) FROM unnest(ARRAY[1, 20, 60, 61, 400, 3000, 16000]) d;
SELECT id, vector_dims(v), pg_column_size(v), pg_column_compression(v), l2_norm(v) = sqrt((SELECT sum((i % 7) ^ 2) FROM generate_series(1, id) i)) AS right_norm
FROM stored ORDER BY id;
DROP TABLE stored;

-- the catalog, as clients read it
SELECT typname, typlen, typcategory, typstorage, typalign, typarray::regtype, typmodout FROM pg_type WHERE typname = 'halfvec';
SELECT ARRAY['[1,2]'::halfvec, '[3]'], '{"[1,2]","[3]"}'::halfvec[];

DROP FUNCTION failure;
