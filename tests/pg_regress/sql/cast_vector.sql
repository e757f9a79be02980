-- vector: casts

CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; state text;
BEGIN
	EXECUTE 'SELECT ' || statement;
	RETURN 'no error';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN concat_ws(' | ', state, message);
END $$;

-- from arrays
SELECT ARRAY[1,2,3]::vector, ARRAY[1.0,2.0,3.5]::vector, ARRAY[1,2,3]::float4[]::vector, ARRAY[1,2,3]::float8[]::vector, ARRAY[1,2,3]::numeric[]::vector;
SELECT '{1,2,3}'::real[]::vector(3), '{16777217}'::int[]::vector, '{0.1,-0}'::float8[]::vector, '{0.1,1e-45,123456.789}'::numeric[]::vector;
SELECT '[5:7]={1,2,3}'::int[]::vector, '{-2147483648,2147483647}'::int[]::vector;
-- a bitmap of nulls that marks none
SELECT (array_remove(ARRAY[1, NULL, 2]::float8[], NULL))::vector, (ARRAY[NULL, 1, 2]::int[])[2:3]::vector;
-- values of every length of numeric, from a table
CREATE TABLE numbers (a numeric[], b float8[]);
INSERT INTO numbers SELECT array_agg(i / 8.0), array_agg(i / 8.0) FROM generate_series(1, 5000) i;
SELECT a::vector = b::vector AS same, vector_dims(a::vector) FROM numbers;
DROP TABLE numbers;

SELECT ARRAY[1,2,3]::vector(2);
SELECT '{}'::real[]::vector;
SELECT statement, failure(statement) FROM (VALUES
	($$ARRAY[1,2,3]::vector(2)$$), ($$'{}'::real[]::vector$$), ($$'{}'::int[]::vector(3)$$), ($$'{}'::numeric[]::vector$$),
	($$'{NULL}'::real[]::vector$$), ($$'{1,NULL}'::int[]::vector$$), ($$'{1,NULL}'::numeric[]::vector$$), ($$'{1,NULL}'::float8[]::vector$$),
	($$'{NaN}'::real[]::vector$$), ($$'{Infinity}'::real[]::vector$$), ($$'{-Infinity}'::float8[]::vector$$),
	($$'{NaN}'::float8[]::vector$$), ($$'{1e300}'::float8[]::vector$$), ($$'{1e300}'::numeric[]::vector$$), ($$'{NaN}'::numeric[]::vector$$),
	($$ARRAY[[1,2],[3,4]]::vector$$), ($$ARRAY[[[1.5]]]::float8[]::vector$$), ($$ARRAY[[1,NULL]]::int[]::vector$$),
	($$array_fill(0, ARRAY[16001])::vector$$), ($$array_fill(0::float8, ARRAY[16001])::vector$$), ($$array_fill(0::numeric, ARRAY[16001])::vector$$)
) AS v (statement);
-- declared for a type it does not know
DO $$ BEGIN
	EXECUTE format('CREATE FUNCTION smallints_to_vector(smallint[], integer, boolean) RETURNS vector AS %L, %L LANGUAGE C STRICT',
		(SELECT probin FROM pg_proc WHERE proname = 'vector_in'), 'array_to_vector_wrapper');
END $$;
SELECT failure($$smallints_to_vector('{1,2}', -1, true)$$);
DROP FUNCTION smallints_to_vector;

-- to arrays
SELECT '[1,2.5,-0]'::vector::real[], '[1,2]'::vector::float4[] || 3::real;
SELECT array_length('[1,2,3]'::vector::real[], 1), ('[1,2,3]'::vector::real[])[2];
SELECT '[1,2,3]'::vector::float8[];

-- implicit where it cannot be mistaken: as an argument for real[], on assignment for vector
\set VERBOSITY terse
SELECT array_to_string('[1,2]'::vector, '-');
\set VERBOSITY default
CREATE TABLE assigned (v vector(2));
INSERT INTO assigned VALUES (ARRAY[1,2]), (ARRAY[1.5,2.5]), ('{1,2}'::real[]), ('{1,2}'::float8[]);
INSERT INTO assigned VALUES (ARRAY[1,2,3]);
SELECT * FROM assigned;
DROP TABLE assigned;
SELECT ARRAY[1,2,3] = ARRAY[1,2,3];
SELECT ARRAY[1.5] = ARRAY[1.5], '{1}'::real[] = '{1}'::real[], '{1}'::float8[] || 2::float8;
\set VERBOSITY terse
SELECT '[1,2]'::vector <-> ARRAY[1,2];
\set VERBOSITY default

-- vector to vector
SELECT '[1,2,3]'::vector::vector(3), '[1,2,3]'::vector(3)::vector;
SELECT '[1,2,3]'::vector::vector(2);
SELECT failure($$'[1,2,3]'::vector::vector(2)$$), failure($$'{1,2}'::real[]::vector(3)$$);
CREATE TABLE wide (v vector(3000));
INSERT INTO wide SELECT array_agg(i)::vector FROM generate_series(1, 3000) i;
SELECT vector_dims(v::vector), vector_dims(v::vector(3000)) FROM wide;
SELECT v::vector(2) FROM wide;
DROP TABLE wide;

SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext FROM pg_cast
WHERE castsource = 'vector'::regtype OR casttarget = 'vector'::regtype ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";

DROP FUNCTION failure;
