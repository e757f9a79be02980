-- halfvec and sparsevec: the binary form, in network order

\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/type_binary.bin'

SELECT halfvec_send('[1,-2.5,0,-0,65504]'), halfvec_send('[0.1]');
SELECT sparsevec_send('{1:1,3:-2.5}/5'), sparsevec_send('{}/1000000000');

-- there and back
CREATE TABLE source (id int, h halfvec, s sparsevec);
INSERT INTO source VALUES (1, '[1,2,3]', '{1:1,2:2}/3'), (2, '[-0,6e-08,65504]', '{2:1e-45,3:3.4028235e38}/1000000000'), (3, NULL, NULL), (4, '[0.1]', '{}/1');
INSERT INTO source SELECT 5, array_agg(i % 2000)::halfvec, array_agg(i)::sparsevec FROM generate_series(1, 16000) i;
CREATE TABLE target (LIKE source);
COPY source TO :'file' (FORMAT binary);
COPY target FROM :'file' (FORMAT binary);
SELECT id, source.h = target.h AS same, source.s = target.s AS same_sparse, source.h::text = target.h::text AS same_text, source.s::text = target.s::text AS same_sparse_text
FROM source JOIN target USING (id) ORDER BY id;

-- bytes of our own making: bytea goes out as it is
CREATE TABLE halfvecs (v halfvec(2));
CREATE TABLE sparsevecs (v sparsevec(5));
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
CREATE FUNCTION receive(bytes bytea, into_table text, file text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', bytes, file);
	RETURN failure(format('COPY %s FROM %L (FORMAT binary)', into_table, file));
END $$;

SELECT meaning, receive(bytes, 'halfvecs', :'file') FROM (VALUES
	('[1,2]', '\x000200003c004000'::bytea),
	('one dimension', '\x000100003c00'),
	('three dimensions', '\x000300003c003c003c00'),
	('no dimensions', '\x00000000'),
	('a negative number of dimensions', '\xffff0000'),
	('more than 16000 dimensions', '\x3e810000'),
	('unused is 1', '\x000200013c004000'),
	('NaN', '\x000200007e004000'),
	('infinity', '\x000200003c007c00'),
	('minus infinity', '\x00020000fc004000'),
	('too short', '\x000200003c0040'),
	('half a header', '\x0002'),
	('nothing', '\x'),
	('too long', '\x000200003c00400000')
) AS v (meaning, bytes);
SELECT * FROM halfvecs;

SELECT meaning, receive(bytes, 'sparsevecs', :'file') FROM (VALUES
	('{1:1,3:2}/5', '\x00000005000000020000000000000000000000023f80000040000000'::bytea),
	('{}/5', '\x000000050000000000000000'),
	('four dimensions', '\x000000040000000000000000'),
	('no dimensions', '\x000000000000000000000000'),
	('negative dimensions', '\xffffffff0000000000000000'),
	('more than 1e9 dimensions', '\x3b9aca010000000000000000'),
	('a negative number of elements', '\x00000005ffffffff00000000'),
	('more than 16000 elements', '\x3b9aca0000003e8100000000'),
	('more elements than dimensions', '\x000000050000000600000000'),
	('unused is 1', '\x000000050000000000000001'),
	('unused is -1', '\x0000000500000000ffffffff'),
	('an index below', '\x000000050000000100000000ffffffff3f800000'),
	('an index beyond', '\x000000050000000100000000000000053f800000'),
	('indices out of order', '\x00000005000000020000000000000002000000003f80000040000000'),
	('an index twice', '\x00000005000000020000000000000002000000023f80000040000000'),
	('zero', '\x0000000500000001000000000000000000000000'),
	('minus zero', '\x0000000500000001000000000000000080000000'),
	('NaN', '\x000000050000000100000000000000007fc00000'),
	('infinity', '\x000000050000000100000000000000007f800000'),
	('too short', '\x000000050000000100000000000000003f8000'),
	('no elements', '\x000000050000000100000000'),
	('half a header', '\x0000000500'),
	('nothing', '\x'),
	('too long', '\x00000005000000000000000000')
) AS v (meaning, bytes);
SELECT * FROM sparsevecs;

-- damaged values, as a broken page might hold them: counts that the length does not bear out
CREATE CAST (bytea AS halfvec) WITHOUT FUNCTION;
CREATE CAST (bytea AS sparsevec) WITHOUT FUNCTION;
SELECT meaning, failure(format('SELECT halfvec_out(%L::bytea::halfvec)', bytes)) FROM (VALUES
	('[1]', '\x01000000003c'::bytea), ('two dimensions, one element', '\x02000000003c'), ('no dimensions, one element', '\x00000000003c'),
	('negative dimensions', '\xffff0000003c'), ('half an element', '\x0100000000'), ('only dimensions', '\x0100'), ('nothing', '\x')
) AS v (meaning, bytes);
SELECT meaning, failure(format('SELECT sparsevec_out(%L::bytea::sparsevec)', bytes)) FROM (VALUES
	('{1:1}/5', '\x050000000100000000000000000000000000803f'::bytea), ('two elements, one there', '\x050000000200000000000000000000000000803f'),
	('no dimensions', '\x000000000100000000000000000000000000803f'), ('negative counts', '\xffffffffffffffff00000000'), ('only counts', '\x0500000001000000'), ('nothing', '\x')
) AS v (meaning, bytes);
SELECT failure($$SELECT '\x050000000100000000000000090000000000803f'::bytea::sparsevec::vector$$);
DROP CAST (bytea AS halfvec);
DROP CAST (bytea AS sparsevec);

DROP TABLE source, target, halfvecs, sparsevecs;
DROP FUNCTION receive, failure;
