-- vector: avg and sum

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

SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]']) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]', NULL]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL, NULL]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[0.1]'::vector]) v;
-- avg sums in double precision
SELECT avg(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;
SELECT avg(v) FROM unnest(ARRAY['[16777216]'::vector, '[1]', '[1]', '[-16777216]']) v;
SELECT sum(v) FROM unnest(ARRAY['[16777216]'::vector, '[1]', '[1]', '[-16777216]']) v;

SELECT sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;
SELECT avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v;
SELECT failure($$sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v$$),
	failure($$avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v$$), failure($$sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v$$);

-- the state array
SELECT vector_accum('{0}', '[1,2,3]'), vector_accum('{1,1,2,3}', '[4,5,6]');
SELECT vector_avg('{4,8,2}'), vector_avg('{0}') IS NULL AS none, vector_avg('{0,1,2}') IS NULL AS none_either;
SELECT vector_combine('{1,2,3}', '{1,4,5}'), vector_combine('{0}', '{2,3}'), vector_combine('{2,3}', '{0}'), vector_combine('{0}', '{0}');
SELECT statement, failure(statement) FROM (VALUES
	($$vector_avg('{}')$$), ($$vector_avg('{NULL}')$$), ($$vector_avg('{{1,2}}')$$), ($$vector_avg('{1}')$$),
	($$vector_avg(array_fill(1::float8, ARRAY[16002]))$$), ($$vector_avg('{1,1e300}')$$), ($$vector_avg('{1,NaN}')$$),
	($$vector_accum('{}', '[1]')$$), ($$vector_accum('{NULL}', '[1]')$$), ($$vector_accum('{{0}}', '[1]')$$),
	($$vector_accum('{1,2}', '[1,2]')$$), ($$vector_accum('{1,Infinity}', '[1]')$$),
	($$vector_combine('{}', '{1}')$$), ($$vector_combine('{1,2}', '{1,2,3}')$$), ($$vector_combine('{1,2}', '{{1,2}}')$$),
	($$vector_combine('{1,1e308}', '{1,1e308}')$$)
) AS v (statement);
-- a call by hand changes nothing in place
DO $$
DECLARE
	state float8[] := '{1,1,2}';
	next float8[];
BEGIN
	next := vector_accum(state, '[10,20]');
	next := vector_combine(state, next);
	RAISE NOTICE '% %', state, next;
END $$;

-- groups, windows, states that move between contexts
CREATE TABLE rows (id int, part int, v vector);
INSERT INTO rows SELECT i, i % 3, ARRAY[i, 2 * i, -i]::vector FROM generate_series(1, 3000) i;
SELECT part, avg(v), sum(v), count(*) FROM rows GROUP BY part ORDER BY part;
-- sums are made in place, rows stay what they are
SELECT sum(v), sum(v + v), (array_agg(v ORDER BY id))[1] FROM rows;
SET enable_hashagg = off;
SELECT part, avg(v), sum(v) FROM rows GROUP BY part ORDER BY part;
RESET enable_hashagg;
SELECT id, avg(v) OVER w, sum(v) OVER w FROM rows WHERE id <= 5 WINDOW w AS (ORDER BY id);
SELECT id, avg(v) OVER w, sum(v) OVER w FROM rows WHERE id <= 5 WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
SELECT part, avg(v) FROM rows GROUP BY ROLLUP (part) ORDER BY part;
SELECT avg(v) FILTER (WHERE id <= 2), avg(DISTINCT v) FILTER (WHERE id <= 2) FROM rows;

-- in parallel
CREATE TABLE wide_rows (v vector);
ALTER TABLE wide_rows SET (parallel_workers = 4);
INSERT INTO wide_rows SELECT (SELECT array_agg((i + j) % 5)::vector FROM generate_series(1, 600) j) FROM generate_series(1, 1000) i;
ANALYZE wide_rows;
CREATE TEMP TABLE serial AS SELECT avg(v) AS mean, sum(v) AS total FROM wide_rows;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM wide_rows;
SELECT avg(v) = mean AS same_mean, sum(v) = total AS same_total FROM wide_rows, serial GROUP BY mean, total;
SELECT (SELECT avg(v) FROM wide_rows) = mean AS same_mean, (SELECT sum(v) FROM wide_rows) = total AS same_total FROM serial;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

SELECT aggfnoid, aggtransfn, aggfinalfn, aggcombinefn, aggtranstype::regtype, agginitval, p.proparallel
FROM pg_aggregate JOIN pg_proc p ON p.oid = aggfnoid
WHERE 'vector'::regtype = ANY (p.proargtypes) ORDER BY aggfnoid::text COLLATE "C";

DROP TABLE rows, wide_rows, serial;
DROP FUNCTION failure;
