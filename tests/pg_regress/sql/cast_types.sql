-- vector, halfvec and sparsevec: casts between them, and from and to arrays

CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; details text; state text;
BEGIN
	EXECUTE 'SELECT ' || statement;
	RETURN 'no error';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, details = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', state, message, nullif(details, ''));
END $$;

CREATE FUNCTION value(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT (%s)::text', expression) INTO result;
	RETURN result;
END $$;

-- from arrays
SELECT type, source, failure(format('(%s)::%s', source, type)), CASE WHEN failure(format('(%s)::%s', source, type)) = 'no error' THEN value(format('(%s)::%s', source, type)) END AS value
FROM unnest(ARRAY['halfvec', 'halfvec(3)', 'sparsevec', 'sparsevec(3)']) WITH ORDINALITY AS t (type, place), (VALUES
	(1, $$ARRAY[1,0,3]$$), (2, $$ARRAY[1.5,0,-0.1]$$), (3, $$'{1,0,3}'::float4[]$$), (4, $$'{1e-46,-0,3}'::float8[]$$), (5, $$'{1e-50,2,3}'::numeric[]$$), (6, $$'[5:7]={1,0,2}'::int[]$$), (7, $$(ARRAY[NULL, 1, 2, 3]::int[])[2:4]$$),
	(8, $$ARRAY[1,2]$$), (9, $$'{}'::real[]$$), (10, $$'{1,NULL}'::int[]$$), (11, $$'{1,NULL}'::numeric[]$$), (12, $$ARRAY[[1,2],[3,4]]$$), (13, $$'{NaN}'::real[]$$), (14, $$'{Infinity}'::float8[]$$), (15, $$'{1e300}'::float8[]$$), (16, $$'{NaN}'::numeric[]$$),
	(17, $$'{70000}'::int[]$$), (18, $$'{65520}'::float4[]$$), (19, $$'{-65519.9}'::float8[]$$), (20, $$'{1e6}'::numeric[]$$)
) AS s (line, source) ORDER BY place, line;
SELECT array_fill(0, ARRAY[16001])::halfvec;
SELECT array_fill(0::float8, ARRAY[16001])::sparsevec;
SELECT failure($$array_fill(1, ARRAY[16001])::sparsevec$$), failure($$array_fill(1, ARRAY[16000])::sparsevec$$);

-- declared for a type they do not know
DO $$ BEGIN
	EXECUTE format('CREATE FUNCTION smallints_to_halfvec(smallint[], integer, boolean) RETURNS halfvec AS %L, %L LANGUAGE C STRICT',
		(SELECT probin FROM pg_proc WHERE proname = 'vector_in'), 'array_to_halfvec_wrapper');
	EXECUTE format('CREATE FUNCTION smallints_to_sparsevec(smallint[], integer, boolean) RETURNS sparsevec AS %L, %L LANGUAGE C STRICT',
		(SELECT probin FROM pg_proc WHERE proname = 'vector_in'), 'array_to_sparsevec_wrapper');
END $$;
SELECT failure($$smallints_to_halfvec('{1,2}', -1, true)$$), failure($$smallints_to_sparsevec('{1,2}', -1, true)$$);
DROP FUNCTION smallints_to_halfvec, smallints_to_sparsevec;

-- to arrays
SELECT '[1,2.5,-0]'::halfvec::real[], array_length('[1,2,3]'::halfvec::real[], 1);
SELECT '[1,2,3]'::halfvec::float8[];
SELECT '{1:1}/3'::sparsevec::real[];

-- from each to each
SELECT source, target, failure(format('%s::%s', source, target)), CASE WHEN failure(format('%s::%s', source, target)) = 'no error' THEN value(format('%s::%s', source, target)) END AS value
FROM (VALUES
	(1, $$'[1,0,2.5]'::vector$$), (2, $$'[1,0,2.5]'::halfvec$$), (3, $$'{1:1,3:2.5}/3'::sparsevec$$), (4, $$'[0.1,-0,1e-9]'::vector$$), (5, $$'{1:1e-9}/3'::sparsevec$$), (6, $$'[65520,1,2]'::vector$$), (7, $$'{2:-1e6}/3'::sparsevec$$),
	(8, $$'{16001:1}/16001'::sparsevec$$), (9, $$'{}/1000000000'::sparsevec$$)
) AS s (line, source), unnest(ARRAY['vector', 'vector(3)', 'vector(2)', 'halfvec', 'halfvec(3)', 'halfvec(2)', 'sparsevec', 'sparsevec(3)', 'sparsevec(2)']) WITH ORDINALITY AS t (target, place)
ORDER BY line, place;
-- wide ones
SELECT bool_and(v::halfvec::vector = v) AS halves, bool_and(v::sparsevec::vector = v) AS sparse, bool_and(v::halfvec::sparsevec::halfvec = v::halfvec) AS all
FROM (SELECT (SELECT array_agg((i + n) % 3)::vector FROM generate_series(1, n) i) AS v FROM unnest(ARRAY[1, 2, 31, 400, 3000, 16000]) n) s;

-- implicit towards what takes less room; assignment back
SELECT '[1,2]'::vector <-> '[1,2]'::halfvec AS vector_halfvec, '[1,2]'::halfvec <-> '[1,2]'::vector AS halfvec_vector, '[1,2]'::vector <-> '{1:1}/2'::sparsevec AS vector_sparsevec, '[1,2]'::halfvec <-> '{1:1}/2'::sparsevec AS halfvec_sparsevec;
CREATE TABLE assigned (v vector(2), h halfvec(2), s sparsevec(2));
INSERT INTO assigned VALUES ('[1,2]'::halfvec, '[1,2]'::vector, '[1,0]'::vector), ('{1:1}/2'::sparsevec, '{1:1}/2'::sparsevec, '[0,2]'::halfvec), (ARRAY[1,2], ARRAY[1.5,2], '{0,2}'::real[]);
INSERT INTO assigned (v) VALUES ('[1,2,3]'::halfvec);
INSERT INTO assigned (h) VALUES ('{1:1}/3'::sparsevec);
INSERT INTO assigned (s) VALUES ('[1,2,3]'::vector);
SELECT * FROM assigned;
DROP TABLE assigned;
-- still unambiguous
SELECT ARRAY[1,2,3] = ARRAY[1,2,3], ARRAY[1.5] = ARRAY[1.5], '{1}'::real[] = '{1}'::real[], '[1]'::vector = '[1]', '[1]'::halfvec = '[1]', '{1:1}/1'::sparsevec = '{1:1}/1';

SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext FROM pg_cast
WHERE castsource IN ('halfvec'::regtype, 'sparsevec'::regtype) OR casttarget IN ('halfvec'::regtype, 'sparsevec'::regtype) ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";

-- one formula for all types: on small numbers distances are the same to the last digit
SELECT count(*), bool_and((a::vector <-> b::vector)::text = (a::halfvec <-> b::halfvec)::text AND (a::vector <-> b::vector)::text = (a::sparsevec <-> b::sparsevec)::text) AS l2,
	bool_and((a::vector <#> b::vector)::text = (a::halfvec <#> b::halfvec)::text AND (a::vector <#> b::vector)::text = (a::sparsevec <#> b::sparsevec)::text) AS ip,
	bool_and((a::vector <=> b::vector)::text = (a::halfvec <=> b::halfvec)::text AND (a::vector <=> b::vector)::text = (a::sparsevec <=> b::sparsevec)::text) AS cosine,
	bool_and((a::vector <+> b::vector)::text = (a::halfvec <+> b::halfvec)::text AND (a::vector <+> b::vector)::text = (a::sparsevec <+> b::sparsevec)::text) AS l1
FROM (SELECT (SELECT array_agg((i * n) % 5 - 1) FROM generate_series(1, n) i) AS a, (SELECT array_agg((i * i + n) % 7 - 3) FROM generate_series(1, n) i) AS b FROM generate_series(1, 150) n) s;

DROP FUNCTION failure, value;
