-- vector: distances, functions, operators

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

-- distances
SELECT l2_distance('[0,0]'::vector, '[3,4]'), '[0,0]'::vector <-> '[3,4]', vector_l2_squared_distance('[0,0]', '[3,4]');
SELECT l2_distance('[3e38]'::vector, '[-3e38]'), vector_l2_squared_distance('[3e38]', '[-3e38]');
SELECT l2_distance('[1,2]'::vector, NULL);
SELECT inner_product('[1,2]'::vector, '[3,4]'), '[1,2]'::vector <#> '[3,4]', vector_negative_inner_product('[1,2]', '[3,4]');
SELECT inner_product('[3e38]'::vector, '[3e38]'), '[3e38]'::vector <#> '[3e38]';
SELECT a, b, cosine_distance(a::vector, b::vector), a::vector <=> b::vector AS operator FROM (VALUES
	('[1,2]', '[2,4]'), ('[1,2]', '[0,0]'), ('[0,0]', '[0,0]'), ('[1,1]', '[1,1]'), ('[1,0]', '[0,2]'),
	('[1,1]', '[-1,-1]'), ('[1,1]', '[1.1,1.1]'), ('[1,1]', '[-1.1,-1.1]'), ('[3e38]', '[3e38]'), ('[1]', '[-1]')
) AS v (a, b);
SELECT l1_distance('[0,0]'::vector, '[3,4]'), l1_distance('[0,0]'::vector, '[0,1]'), '[0,0]'::vector <+> '[3,-4]', '[3e38]'::vector <+> '[-3e38]';
SELECT vector_spherical_distance('[1,0]', '[0,1]'), vector_spherical_distance('[1,0]', '[1,0]'), vector_spherical_distance('[1,0]', '[-1,0]'), vector_spherical_distance('[2,0]', '[2,0]');

-- every length, since kernels take several elements at a time
SELECT count(*) FILTER (WHERE (a <-> b) ^ 2 BETWEEN 3.999 * n AND 4.001 * n AND (a <#> b) = -3 * n AND (a <+> b) = 2 * n
	AND abs(a <=> b) < 1e-6 AND inner_product(a, b) = 3 * n AND vector_l2_squared_distance(a, b) = 4 * n) AS right_lengths
FROM generate_series(1, 200) n, LATERAL (SELECT array_fill(1, ARRAY[n])::vector AS a, array_fill(3, ARRAY[n])::vector AS b) s;

-- different dimensions
SELECT l2_distance('[1,2]'::vector, '[3]');
SELECT statement, failure(statement) FROM (VALUES
	($$l2_distance('[1,2]'::vector, '[3]')$$), ($$'[1]'::vector <-> '[1,2,3]'$$),
	($$inner_product('[1,2]'::vector, '[3]')$$), ($$'[1,2]'::vector <#> '[3]'$$),
	($$cosine_distance('[1,2]'::vector, '[3]')$$), ($$'[1,2]'::vector <=> '[3]'$$),
	($$l1_distance('[1,2]'::vector, '[3]')$$), ($$'[1,2]'::vector <+> '[3]'$$),
	($$vector_l2_squared_distance('[1,2]', '[3]')$$), ($$vector_negative_inner_product('[1,2]', '[3]')$$),
	($$vector_spherical_distance('[1,2]', '[3]')$$),
	($$'[1,2]'::vector + '[3]'$$), ($$'[1,2]'::vector - '[3]'$$), ($$'[1,2]'::vector * '[3]'$$)
) AS v (statement);

-- dimensions and norms
SELECT vector_dims('[1,2,3]'::vector);
SELECT v, vector_norm(v::vector), l2_norm(v::vector) FROM (VALUES ('[3,4]'), ('[0,1]'), ('[0]'), ('[3e37,4e37]'), ('[3e-37,4e-37]'), ('[1e-45]')) AS t (v);
SELECT round(vector_norm('[3e37,4e37]')::numeric / 5e37, 6), vector_norm(NULL);
SELECT v, l2_normalize(v::vector) FROM (VALUES ('[3,4]'), ('[3,0]'), ('[0,0.1]'), ('[0,0]'), ('[-0]'), ('[3e38]'), ('[1e-45]')) AS t (v);
SELECT abs(vector_norm(l2_normalize('[3e38,-3e38,1]'::vector)) - 1) < 1e-6 AS unit;

-- bits
SELECT binary_quantize('[1,0,-1]'::vector), binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::vector), binary_quantize('[-0,1e-45]'::vector);
SELECT n, length(b), b = repeat('1', n)::varbit AS ones FROM (SELECT n, binary_quantize(array_fill(1, ARRAY[n])::vector) AS b FROM unnest(ARRAY[1, 7, 8, 9, 16, 16000]) n) s;

-- parts
SELECT start, count, failure(format('subvector(%L::vector, %s, %s)', '[1,2,3,4,5]', start, count)),
	CASE WHEN failure(format('subvector(%L::vector, %s, %s)', '[1,2,3,4,5]', start, count)) = 'no error' THEN subvector('[1,2,3,4,5]'::vector, start, count) END AS part
FROM (VALUES (1, 3), (3, 2), (1, 5), (5, 1), (-1, 3), (-1, 2), (0, 1), (0, 2), (3, 9), (6, 1), (3, 0), (3, -1), (1, 2147483647),
	(2147483647, 1), (2147483647, 2147483647), (3, 2147483647), (-2147483648, 1), (-2147483648, 2147483647), (-2147483644, 2147483647), (1, -2147483648), (-2147483648, -2147483648)) AS v (start, count);

-- arithmetic
SELECT '[1,2,3]'::vector + '[4,5,6]', '[1,2,3]'::vector - '[4,5,6]', '[1,2,3]'::vector * '[4,5,6]', '[1,2]'::vector || '[3]';
SELECT '[-0]'::vector + '[0]', '[1e-45]'::vector - '[1e-45]', '[0]'::vector * '[3e38]', '[0]'::vector * '[-1]', '[3e38]'::vector - '[3e38]';
SELECT statement, failure(statement) FROM (VALUES
	($$'[3e38]'::vector + '[3e38]'$$), ($$'[-3e38]'::vector - '[3e38]'$$), ($$'[1,1e37]'::vector * '[1,1e37]'$$),
	($$'[1e-37]'::vector * '[1e-37]'$$), ($$'[1,-1e-37]'::vector * '[1,1e-37]'$$),
	($$array_fill(1, ARRAY[16000])::vector || '[1]'$$), ($$'[1]'::vector || array_fill(1, ARRAY[16000])::vector$$)
) AS v (statement);
SELECT vector_dims(array_fill(1, ARRAY[15999])::vector || '[1]');

-- comparison: element by element, then the shorter first
SELECT a, b, a::vector < b::vector AS lt, a::vector <= b::vector AS le, a::vector = b::vector AS eq, a::vector <> b::vector AS ne,
	a::vector >= b::vector AS ge, a::vector > b::vector AS gt, vector_cmp(a::vector, b::vector)
FROM (VALUES ('[1,2,3]', '[1,2,3]'), ('[1,2,3]', '[0,0,0]'), ('[0,0,0]', '[1,2,3]'), ('[1,2]', '[1,2,3]'), ('[1,2,3]', '[1,2]'),
	('[1,2]', '[2,3,4]'), ('[2,3]', '[1,2,3]'), ('[0]', '[-0]'), ('[-0,1]', '[0]')) AS v (a, b);

-- operators as the planner sees them
SELECT oprname, oprcode::regprocedure, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash
FROM pg_operator WHERE oprleft = 'vector'::regtype AND oprright = 'vector'::regtype ORDER BY oprname COLLATE "C";

-- every function is immutable, strict and safe in parallel
SELECT proname, pg_get_function_identity_arguments(p.oid) AS arguments, provolatile, proisstrict, proparallel
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND extname = 'omendb'
WHERE prokind = 'f' AND 'vector'::regtype = ANY (proargtypes || prorettype)
	AND (provolatile, proisstrict, proparallel) IS DISTINCT FROM ('i'::"char", true, 's'::"char");

DROP FUNCTION failure;
