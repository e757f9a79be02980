-- halfvec: distances, functions, operators

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

-- distances
SELECT l2_distance('[0,0]'::halfvec, '[3,4]'), '[0,0]'::halfvec <-> '[3,4]', halfvec_l2_squared_distance('[0,0]', '[3,4]');
SELECT inner_product('[1,2]'::halfvec, '[3,4]'), '[1,2]'::halfvec <#> '[3,4]', halfvec_negative_inner_product('[1,2]', '[3,4]');
SELECT a, b, cosine_distance(a::halfvec, b::halfvec), a::halfvec <=> b::halfvec AS operator FROM (VALUES
	('[1,2]', '[2,4]'), ('[1,2]', '[0,0]'), ('[0,0]', '[0,0]'), ('[1,1]', '[1,1]'), ('[1,0]', '[0,2]'),
	('[1,1]', '[-1,-1]'), ('[65504]', '[65504]'), ('[1]', '[-1]')
) AS v (a, b);
SELECT l1_distance('[0,0]'::halfvec, '[3,4]'), '[0,0]'::halfvec <+> '[3,-4]', '[65504]'::halfvec <+> '[-65504]', '[65504]'::halfvec <-> '[-65504]';
SELECT halfvec_spherical_distance('[1,0]', '[0,1]'), halfvec_spherical_distance('[1,0]', '[1,0]'), halfvec_spherical_distance('[1,0]', '[-1,0]'), halfvec_spherical_distance('[2,0]', '[2,0]');
SELECT l2_distance('[1,2]'::halfvec, NULL);

-- every length, since kernels take several elements at a time
SELECT count(*) FILTER (WHERE (a <-> b) ^ 2 BETWEEN 3.999 * n AND 4.001 * n AND (a <#> b) = -3 * n AND (a <+> b) = 2 * n
	AND abs(a <=> b) < 1e-6 AND inner_product(a, b) = 3 * n AND halfvec_l2_squared_distance(a, b) = 4 * n) AS right_lengths
FROM generate_series(1, 200) n, LATERAL (SELECT array_fill(1, ARRAY[n])::halfvec AS a, array_fill(3, ARRAY[n])::halfvec AS b) s;

-- different dimensions
SELECT l2_distance('[1,2]'::halfvec, '[3]');
SELECT statement, failure(statement) FROM (VALUES
	($$'[1]'::halfvec <-> '[1,2,3]'$$), ($$'[1,2]'::halfvec <#> '[3]'$$), ($$inner_product('[1,2]'::halfvec, '[3]')$$), ($$'[1,2]'::halfvec <=> '[3]'$$), ($$'[1,2]'::halfvec <+> '[3]'$$),
	($$halfvec_l2_squared_distance('[1,2]', '[3]')$$), ($$halfvec_negative_inner_product('[1,2]', '[3]')$$), ($$halfvec_spherical_distance('[1,2]', '[3]')$$),
	($$'[1,2]'::halfvec + '[3]'$$), ($$'[1,2]'::halfvec - '[3]'$$), ($$'[1,2]'::halfvec * '[3]'$$)
) AS v (statement);

-- norms
SELECT vector_dims('[1,2,3]'::halfvec);
SELECT v, l2_norm(v::halfvec), l2_normalize(v::halfvec) FROM (VALUES ('[3,4]'), ('[0,1]'), ('[0]'), ('[3e4,4e4]'), ('[3,0]'), ('[0,0.1]'), ('[-0]'), ('[65504]'), ('[6e-08]')) AS t (v);

-- bits
SELECT binary_quantize('[1,0,-1]'::halfvec), binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::halfvec), binary_quantize('[-0,6e-08]'::halfvec);

-- parts
SELECT start, count, failure(format('subvector(%L::halfvec, %s, %s)', '[1,2,3,4,5]', start, count)),
	CASE WHEN failure(format('subvector(%L::halfvec, %s, %s)', '[1,2,3,4,5]', start, count)) = 'no error' THEN subvector('[1,2,3,4,5]'::halfvec, start, count) END AS part
FROM (VALUES (1, 3), (3, 2), (5, 1), (-1, 3), (-1, 2), (3, 9), (6, 1), (3, 0), (1, 2147483647), (2147483647, 2147483647), (-2147483648, 2147483647)) AS v (start, count);

-- arithmetic rounds to halves
SELECT '[1,2,3]'::halfvec + '[4,5,6]', '[1,2,3]'::halfvec - '[4,5,6]', '[1,2,3]'::halfvec * '[4,5,6]', '[1,2]'::halfvec || '[3]';
SELECT '[2048]'::halfvec + '[1]', '[2048]'::halfvec + '[1.001]', '[65504]'::halfvec + '[15.99]', '[6e-08]'::halfvec - '[6e-08]', '[0]'::halfvec * '[65504]', '[0.1]'::halfvec * '[0.1]';
SELECT statement, failure(statement) FROM (VALUES
	($$'[65504]'::halfvec + '[16]'$$), ($$'[-65504]'::halfvec - '[65504]'$$), ($$'[1,256]'::halfvec * '[1,256]'$$),
	($$'[1e-4]'::halfvec * '[1e-4]'$$), ($$'[1,-1e-4]'::halfvec * '[1,1e-4]'$$),
	($$array_fill(1, ARRAY[16000])::halfvec || '[1]'$$), ($$'[1]'::halfvec || array_fill(1, ARRAY[16000])::halfvec$$)
) AS v (statement);

-- comparison: element by element, then the shorter first
SELECT a, b, a::halfvec < b::halfvec AS lt, a::halfvec <= b::halfvec AS le, a::halfvec = b::halfvec AS eq, a::halfvec <> b::halfvec AS ne,
	a::halfvec >= b::halfvec AS ge, a::halfvec > b::halfvec AS gt, halfvec_cmp(a::halfvec, b::halfvec)
FROM (VALUES ('[1,2,3]', '[1,2,3]'), ('[1,2,3]', '[0,0,0]'), ('[1,2]', '[1,2,3]'), ('[1,2]', '[2,3,4]'), ('[2,3]', '[1,2,3]'), ('[0]', '[-0]'), ('[1]', '[1.0001]')) AS v (a, b);

-- operators as the planner sees them
SELECT oprname, oprcode::regprocedure, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash
FROM pg_operator WHERE oprleft = 'halfvec'::regtype AND oprright = 'halfvec'::regtype ORDER BY oprname COLLATE "C";

DROP FUNCTION failure;
