-- vector, halfvec, sparsevec and bit: every error that a user can meet, with SQLSTATE, message and detail

\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/type_errors.bin'

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

-- A statement with TYPE in it stands for one of each type named, as does the message. MESSAGE is what must come of it.
CREATE TABLE errors (types text[], statement text, message text);
INSERT INTO errors VALUES
	-- literals
	('{vector,halfvec}', $$SELECT '1'::TYPE$$, '22P02 | invalid input syntax for type TYPE: "1" | Vector contents must start with "[".'),
	('{vector,halfvec}', $$SELECT '[1,]'::TYPE$$, '22P02 | invalid input syntax for type TYPE: "[1,]"'),
	('{vector,halfvec}', $$SELECT '[1]x'::TYPE$$, '22P02 | invalid input syntax for type TYPE: "[1]x" | Junk after closing right brace.'),
	('{vector,halfvec}', $$SELECT '[]'::TYPE$$, '22000 | TYPE must have at least 1 dimension'),
	('{vector,halfvec}', $$SELECT '[1,2'::TYPE$$, '22P02 | invalid input syntax for type TYPE: "[1,2"'),
	('{vector,halfvec}', $$SELECT ''::TYPE$$, '22P02 | invalid input syntax for type TYPE: "" | Vector contents must start with "[".'),
	('{vector,halfvec}', $$SELECT '[NaN]'::TYPE$$, '22000 | NaN not allowed in TYPE'),
	('{vector,halfvec}', $$SELECT '[-inf]'::TYPE$$, '22000 | infinite value not allowed in TYPE'),
	('{vector,halfvec}', $$SELECT '[4e38]'::TYPE$$, '22003 | "4e38" is out of range for type TYPE'),
	('{halfvec}', $$SELECT '[65520]'::TYPE$$, '22003 | "65520" is out of range for type TYPE'),
	('{vector,halfvec}', $$SELECT ('[' || repeat('1,', 16000) || '1]')::TYPE$$, '54000 | TYPE cannot have more than 16000 dimensions'),
	('{sparsevec}', $$SELECT '[1]'::TYPE$$, '22P02 | invalid input syntax for type TYPE: "[1]" | Vector contents must start with "{".'),
	('{sparsevec}', $$SELECT '{1}/2'::TYPE$$, '22P02 | invalid input syntax for type TYPE: "{1}/2"'),
	('{sparsevec}', $$SELECT '{1:1}'::TYPE$$, '22P02 | invalid input syntax for type TYPE: "{1:1}" | Unexpected end of input.'),
	('{sparsevec}', $$SELECT '{1:1}/2x'::TYPE$$, '22P02 | invalid input syntax for type TYPE: "{1:1}/2x" | Junk after closing.'),
	('{sparsevec}', $$SELECT '{}/0'::TYPE$$, '22000 | TYPE must have at least 1 dimension'),
	('{sparsevec}', $$SELECT '{}/1000000001'::TYPE$$, '54000 | TYPE cannot have more than 1000000000 dimensions'),
	('{sparsevec}', $$SELECT '{1:NaN}/2'::TYPE$$, '22000 | NaN not allowed in TYPE'),
	('{sparsevec}', $$SELECT '{1:inf}/2'::TYPE$$, '22000 | infinite value not allowed in TYPE'),
	('{sparsevec}', $$SELECT '{1:4e38}/2'::TYPE$$, '22003 | "4e38" is out of range for type TYPE'),
	('{sparsevec}', $$SELECT '{1:1e-46}/2'::TYPE$$, '22003 | "1e-46" is out of range for type TYPE'),
	('{sparsevec}', $$SELECT '{1:-1e-46}/2'::TYPE$$, '22003 | "-1e-46" is out of range for type TYPE'),
	('{sparsevec}', $$SELECT '{0:1}/2'::TYPE$$, '22000 | TYPE index out of bounds'),
	('{sparsevec}', $$SELECT '{3:1}/2'::TYPE$$, '22000 | TYPE index out of bounds'),
	('{sparsevec}', $$SELECT '{1:1,1:1}/2'::TYPE$$, '22000 | TYPE indices must not contain duplicates'),
	('{sparsevec}', $$SELECT ('{' || repeat('1:1,', 16000) || '1:1}/2')::TYPE$$, '54000 | TYPE cannot have more than 16000 non-zero elements'),
	-- type modifiers
	('{vector,halfvec,sparsevec}', $$SELECT NULL::TYPE(3,2)$$, '22023 | invalid type modifier'),
	('{vector,halfvec,sparsevec}', $$SELECT NULL::TYPE(0)$$, '22023 | dimensions for type TYPE must be at least 1'),
	('{vector,halfvec}', $$SELECT NULL::TYPE(16001)$$, '22023 | dimensions for type TYPE cannot exceed 16000'),
	('{sparsevec}', $$SELECT NULL::TYPE(1000000001)$$, '22023 | dimensions for type TYPE cannot exceed 1000000000'),
	('{vector,halfvec,sparsevec}', $$SELECT ARRAY[1,2,3]::TYPE(2)$$, '22000 | expected 2 dimensions, not 3'),
	('{vector,halfvec,sparsevec}', $$SELECT ARRAY[1,2,3]::TYPE::TYPE(2)$$, '22000 | expected 2 dimensions, not 3'),
	('{vector,halfvec,sparsevec}', $$SELECT '[1,2,3]'::vector::TYPE(2)$$, '22000 | expected 2 dimensions, not 3'),
	('{vector,halfvec,sparsevec}', $$SELECT '{1:1}/3'::sparsevec::TYPE(2)$$, '22000 | expected 2 dimensions, not 3'),
	-- arrays and other types
	('{vector,halfvec,sparsevec}', $$SELECT ARRAY[[1]]::TYPE$$, '22000 | array must be 1-D'),
	('{vector,halfvec,sparsevec}', $$SELECT ARRAY[1,NULL]::TYPE$$, '22004 | array must not contain nulls'),
	('{vector,halfvec,sparsevec}', $$SELECT '{}'::int[]::TYPE$$, '22000 | TYPE must have at least 1 dimension'),
	('{vector,halfvec,sparsevec}', $$SELECT '{NaN}'::real[]::TYPE$$, '22000 | NaN not allowed in TYPE'),
	('{vector,halfvec,sparsevec}', $$SELECT '{Infinity}'::real[]::TYPE$$, '22000 | infinite value not allowed in TYPE'),
	('{vector,halfvec}', $$SELECT array_fill(1, ARRAY[16001])::TYPE$$, '54000 | TYPE cannot have more than 16000 dimensions'),
	('{sparsevec}', $$SELECT array_fill(1, ARRAY[16001])::TYPE$$, '54000 | TYPE cannot have more than 16000 non-zero elements'),
	('{vector,halfvec,sparsevec}', $$CREATE FUNCTION array_to_TYPE(text[], integer, boolean) RETURNS TYPE AS '$libdir/omendb', 'array_to_TYPE_wrapper' LANGUAGE C;
		SELECT array_to_TYPE('{1}'::text[], -1, false)$$, '22000 | unsupported array type'),
	('{vector,sparsevec}', $$SELECT '{4e38}'::float8[]::TYPE$$, '22000 | infinite value not allowed in TYPE'),
	('{halfvec}', $$SELECT '{65520}'::int[]::TYPE$$, '22003 | "65520" is out of range for type TYPE'),
	('{halfvec}', $$SELECT '[65520]'::vector::TYPE$$, '22003 | "65520" is out of range for type TYPE'),
	('{halfvec}', $$SELECT '{1:65520}/1'::sparsevec::TYPE$$, '22003 | "65520" is out of range for type TYPE'),
	('{vector,halfvec}', $$SELECT '{}/16001'::sparsevec::TYPE$$, '54000 | TYPE cannot have more than 16000 dimensions'),
	-- functions of two
	('{vector,halfvec,sparsevec}', $$SELECT ARRAY[1,2]::TYPE <-> ARRAY[1]::TYPE$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec,sparsevec}', $$SELECT ARRAY[1,2]::TYPE <#> ARRAY[1]::TYPE$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec,sparsevec}', $$SELECT ARRAY[1,2]::TYPE <=> ARRAY[1]::TYPE$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec,sparsevec}', $$SELECT ARRAY[1,2]::TYPE <+> ARRAY[1]::TYPE$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec,sparsevec}', $$SELECT inner_product(ARRAY[1,2]::TYPE, ARRAY[1]::TYPE)$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec}', $$SELECT TYPE_spherical_distance('[1,2]', '[1]')$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec}', $$SELECT '[1,2]'::TYPE + '[1]'$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec}', $$SELECT '[1,2]'::TYPE - '[1]'$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec}', $$SELECT '[1,2]'::TYPE * '[1]'$$, '22000 | different TYPE dimensions 2 and 1'),
	('{vector,halfvec}', $$SELECT sum(v) FROM unnest(ARRAY['[1,2]', '[1]']::TYPE[]) v$$, '22000 | different TYPE dimensions 2 and 1'),
	('{bit}', $$SELECT B'11' <~> B'1'$$, '22000 | different bit lengths 2 and 1'),
	('{bit}', $$SELECT B'11' <%> B'1'$$, '22000 | different bit lengths 2 and 1'),
	('{bit}', $$SELECT hamming_distance(B'', B'1')$$, '22000 | different bit lengths 0 and 1'),
	('{bit}', $$SELECT jaccard_distance(B'1', B'10')$$, '22000 | different bit lengths 1 and 2'),
	-- arithmetic
	('{vector}', $$SELECT '[3e38]'::TYPE + '[3e38]'$$, '22003 | value out of range: overflow'),
	('{vector}', $$SELECT '[3e38]'::TYPE - '[-3e38]'$$, '22003 | value out of range: overflow'),
	('{vector}', $$SELECT '[3e38]'::TYPE * '[3e38]'$$, '22003 | value out of range: overflow'),
	('{vector}', $$SELECT '[1e-30]'::TYPE * '[1e-30]'$$, '22003 | value out of range: underflow'),
	('{halfvec}', $$SELECT '[65504]'::TYPE + '[65504]'$$, '22003 | value out of range: overflow'),
	('{halfvec}', $$SELECT '[65504]'::TYPE - '[-65504]'$$, '22003 | value out of range: overflow'),
	('{halfvec}', $$SELECT '[65504]'::TYPE * '[2]'$$, '22003 | value out of range: overflow'),
	('{halfvec}', $$SELECT '[1e-5]'::TYPE * '[1e-5]'$$, '22003 | value out of range: underflow'),
	('{vector,halfvec}', $$SELECT subvector('[1,2]'::TYPE, 3, 1)$$, '22000 | TYPE must have at least 1 dimension'),
	('{vector,halfvec}', $$SELECT array_fill(1, ARRAY[16000])::TYPE || '[1]'$$, '54000 | TYPE cannot have more than 16000 dimensions'),
	-- aggregates
	('{vector,halfvec}', $$SELECT avg(v) FROM unnest(ARRAY['[1,2]', '[1]']::TYPE[]) v$$, '22000 | expected 2 dimensions, not 1'),
	('{vector,halfvec}', $$SELECT TYPE_accum('{}', '[1]')$$, 'XX000 | TYPE_accum: expected state array'),
	('{vector,halfvec}', $$SELECT TYPE_avg('{}')$$, 'XX000 | TYPE_avg: expected state array'),
	('{vector,halfvec}', $$SELECT TYPE_combine('{}', '{1}')$$, 'XX000 | vector_combine: expected state array'),
	('{vector}', $$SELECT sum(v) FROM unnest(ARRAY['[3e38]', '[3e38]']::TYPE[]) v$$, '22003 | value out of range: overflow'),
	('{halfvec}', $$SELECT sum(v) FROM unnest(ARRAY['[65504]', '[65504]']::TYPE[]) v$$, '22003 | value out of range: overflow'),
	('{vector,halfvec}', $$SELECT TYPE_combine('{1,1e308}', '{1,1e308}')$$, '22003 | value out of range: overflow'),
	('{vector}', $$SELECT TYPE_avg('{1,1e300}')$$, '22000 | infinite value not allowed in TYPE'),
	('{halfvec}', $$SELECT TYPE_avg('{1,65520}')$$, '22003 | "65520" is out of range for type TYPE'),
	('{vector,halfvec}', $$SELECT TYPE_avg(array_fill(1::float8, ARRAY[16002]))$$, '54000 | TYPE cannot have more than 16000 dimensions');

SELECT type, statement, found FROM (
	SELECT type, replace(statement, 'TYPE', type) AS statement, replace(message, 'TYPE', type) AS message, failure(replace(statement, 'TYPE', type)) AS found FROM errors, unnest(types) type
) s WHERE found IS DISTINCT FROM message;
SELECT type, count(*) AS errors FROM errors, unnest(types) type GROUP BY type ORDER BY type;

-- binary messages: bytea goes out as it is
CREATE TABLE messages (type text, message bytea, failure text);
INSERT INTO messages VALUES
	('vector(2)', '\x000100003f800000', '22000 | expected 2 dimensions, not 1'),
	('vector', '\x00000000', '22000 | vector must have at least 1 dimension'),
	('vector', '\x3e810000', '54000 | vector cannot have more than 16000 dimensions'),
	('vector', '\x000100023f800000', '22000 | expected unused to be 0, not 2'),
	('vector', '\x000100007fc00000', '22000 | NaN not allowed in vector'),
	('vector', '\x000100007f800000', '22000 | infinite value not allowed in vector'),
	('vector', '\x00010000', '08P01 | insufficient data left in message'),
	('halfvec(2)', '\x000100003c00', '22000 | expected 2 dimensions, not 1'),
	('halfvec', '\x00000000', '22000 | halfvec must have at least 1 dimension'),
	('halfvec', '\x3e810000', '54000 | halfvec cannot have more than 16000 dimensions'),
	('halfvec', '\x000100023c00', '22000 | expected unused to be 0, not 2'),
	('halfvec', '\x000100007e00', '22000 | NaN not allowed in halfvec'),
	('halfvec', '\x000100007c00', '22000 | infinite value not allowed in halfvec'),
	('halfvec', '\x00010000', '08P01 | insufficient data left in message'),
	('sparsevec(2)', '\x000000010000000000000000', '22000 | expected 2 dimensions, not 1'),
	('sparsevec', '\x000000000000000000000000', '22000 | sparsevec must have at least 1 dimension'),
	('sparsevec', '\x3b9aca010000000000000000', '54000 | sparsevec cannot have more than 1000000000 dimensions'),
	('sparsevec', '\x00000001ffffffff00000000', '22000 | sparsevec cannot have negative number of elements'),
	('sparsevec', '\x3b9aca0000003e8100000000', '54000 | sparsevec cannot have more than 16000 non-zero elements'),
	('sparsevec', '\x000000010000000200000000', '54000 | sparsevec cannot have more elements than dimensions'),
	('sparsevec', '\x000000010000000000000002', '22000 | expected unused to be 0, not 2'),
	('sparsevec', '\x000000020000000100000000000000023f800000', '22000 | sparsevec index out of bounds'),
	('sparsevec', '\x00000002000000020000000000000001000000003f8000003f800000', '22000 | sparsevec indices must be in ascending order'),
	('sparsevec', '\x00000002000000020000000000000001000000013f8000003f800000', '22000 | sparsevec indices must not contain duplicates'),
	('sparsevec', '\x0000000200000001000000000000000180000000', '22000 | binary representation of sparsevec cannot contain zero values'),
	('sparsevec', '\x000000020000000100000000000000017fc00000', '22000 | NaN not allowed in sparsevec'),
	('sparsevec', '\x00000002000000010000000000000001ff800000', '22000 | infinite value not allowed in sparsevec'),
	('sparsevec', '\x000000020000000100000000', '08P01 | insufficient data left in message');
CREATE FUNCTION receive(bytes bytea, type text, file text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TEMP TABLE received (v %s)', type);
	EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', bytes, file);
	result := failure(format('COPY received FROM %L (FORMAT binary)', file));
	DROP TABLE received;
	RETURN result;
END $$;
SELECT type, message, found FROM (SELECT *, receive(message, type, :'file') AS found FROM messages) s WHERE found IS DISTINCT FROM failure;
SELECT rtrim(type, '(2)') AS type, count(*) AS errors FROM messages GROUP BY 1 ORDER BY 1;

DROP TABLE errors, messages;
DROP FUNCTION receive, failure;
