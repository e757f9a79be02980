-- vector: the binary form, dimensions and elements in network order

\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/type_vector_binary.bin'

SELECT vector_send('[1,-2.5,0]');
SELECT vector_send('[-0]');

-- there and back
CREATE TABLE source (id int, v vector);
INSERT INTO source VALUES (1, '[1,2,3]'), (2, '[-0,1e-45,3.4028235e38]'), (3, NULL), (4, '[0.1]');
INSERT INTO source SELECT 5, array_agg(i)::vector FROM generate_series(1, 16000) i;
CREATE TABLE target (LIKE source);
COPY source TO :'file' (FORMAT binary);
COPY target FROM :'file' (FORMAT binary);
SELECT id, source.v = target.v AS same, source.v::text = target.v::text AS same_text
FROM source JOIN target USING (id) ORDER BY id;

-- bytes of our own making: bytea goes out as it is
CREATE TABLE received (v vector(2));
CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; state text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN concat_ws(' | ', state, message);
END $$;
CREATE FUNCTION receive(bytes bytea, file text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', bytes, file);
	RETURN failure(format('COPY received FROM %L (FORMAT binary)', file));
END $$;

SELECT meaning, receive(bytes, :'file') FROM (VALUES
	('[1,2]', '\x000200003f80000040000000'::bytea),
	('one dimension', '\x000100003f800000'),
	('three dimensions', '\x000300003f8000003f8000003f800000'),
	('no dimensions', '\x00000000'),
	('a negative number of dimensions', '\xffff0000'),
	('more than 16000 dimensions', '\x3e810000'),
	('unused is 1', '\x000200013f80000040000000'),
	('unused is -1', '\x0002ffff3f80000040000000'),
	('NaN', '\x000200007fc0000040000000'),
	('infinity', '\x000200003f8000007f800000'),
	('minus infinity', '\x00020000ff80000040000000'),
	('too short', '\x000200003f800000400000'),
	('no elements', '\x00020000'),
	('half a header', '\x0002'),
	('nothing', '\x'),
	('too long', '\x000200003f8000004000000000')
) AS v (meaning, bytes);
SELECT * FROM received;

-- a damaged value, as a broken page might hold it: dimensions that its length does not bear out
CREATE CAST (bytea AS vector) WITHOUT FUNCTION;
SELECT meaning, failure(format('SELECT vector_out(%L::bytea::vector)', bytes)) FROM (VALUES
	('[1]', '\x010000000000803f'::bytea),
	('two dimensions, one element', '\x020000000000803f'),
	('no dimensions, one element', '\x000000000000803f'),
	('negative dimensions', '\xffff00000000803f'),
	('half an element', '\x010000000000'),
	('only dimensions', '\x0100'),
	('nothing', '\x')
) AS v (meaning, bytes);
SELECT '\x020000000000803f'::bytea::vector <-> '[1,2]';
DROP CAST (bytea AS vector);

DROP TABLE source, target, received;
DROP FUNCTION receive, failure;
