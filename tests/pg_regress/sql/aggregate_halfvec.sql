-- halfvec: avg and sum

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

SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::halfvec, '[3,5,7]', NULL]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL, NULL]::halfvec[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::halfvec[]) v;
-- avg sums in double precision, sum in halves
SELECT avg(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[2048]'::halfvec, '[1]', '[1]', '[-2048]']) v;
SELECT avg(v), sum(v) FROM (SELECT '[1,1,2]'::halfvec AS v FROM generate_series(1, 10000)) s;
-- so that a sum stays where a number is less than half of the distance to the next; in parallel each part does
SELECT sum(v) FROM (SELECT ARRAY[1.01 + r, 2.01 + r, 3.01 + r]::halfvec AS v FROM (SELECT (i % 1000) / 1000::float8 AS r FROM generate_series(1, 300000) i) n) s;
SELECT sum(v) FROM (SELECT '[8192,8192,16384]'::halfvec AS v FROM generate_series(1, 3)) parts;
SELECT sum(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v;
SELECT avg(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v;
SELECT failure($$sum(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v$$),
	failure($$avg(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v$$), failure($$sum(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v$$);

-- the state array
SELECT halfvec_accum('{0}', '[1,2,3]'), halfvec_accum('{1,1,2,3}', '[4,5,6]'), halfvec_avg('{4,8,2}'), halfvec_avg('{0}') IS NULL AS none, halfvec_combine('{1,2,3}', '{1,4,5}'), halfvec_combine('{0}', '{2,3}');
SELECT statement, failure(statement) FROM (VALUES
	($$halfvec_avg('{}')$$), ($$halfvec_avg('{NULL}')$$), ($$halfvec_avg('{{1,2}}')$$), ($$halfvec_avg('{1}')$$), ($$halfvec_avg(array_fill(1::float8, ARRAY[16002]))$$),
	($$halfvec_avg('{1,65520}')$$), ($$halfvec_avg('{1,1e300}')$$), ($$halfvec_avg('{1,NaN}')$$), ($$halfvec_accum('{}', '[1]')$$), ($$halfvec_accum('{1,2}', '[1,2]')$$), ($$halfvec_combine('{}', '{1}')$$), ($$halfvec_combine('{1,2}', '{1,2,3}')$$)
) AS v (statement);

-- groups, and in parallel
CREATE TABLE rows (id int, part int, v halfvec);
INSERT INTO rows SELECT i, i % 3, ARRAY[i % 10, 2 * (i % 10), -(i % 10)]::halfvec FROM generate_series(1, 3000) i;
ALTER TABLE rows SET (parallel_workers = 4);
ANALYZE rows;
SELECT part, avg(v), sum(v) FILTER (WHERE id < 100), count(*) FROM rows GROUP BY part ORDER BY part;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM rows;
SELECT avg(v) FROM rows;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

SELECT aggfnoid, aggtransfn, aggfinalfn, aggcombinefn, aggtranstype::regtype, agginitval, p.proparallel
FROM pg_aggregate JOIN pg_proc p ON p.oid = aggfnoid
WHERE 'halfvec'::regtype = ANY (p.proargtypes) ORDER BY aggfnoid::text COLLATE "C";

DROP TABLE rows;
DROP FUNCTION failure;
