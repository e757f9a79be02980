-- which plan the planner takes for conditions on key columns: this index, another index and a sort, or all rows and a sort

CREATE TABLE offers (id int, place int, shelf int, kind int, half int, embedding vector(64));
INSERT INTO offers SELECT i, (i * 7919) % 20000, (i * 7919) % 20000, nullif(i % 10, 9), hashint4(i) & 1,
	(SELECT array_agg(hashint4(i * 64 + j) % 1000) FROM generate_series(1, 64) j)::vector FROM generate_series(0, 19999) i;
CREATE INDEX offers_place ON offers (place);
CREATE INDEX offers_embedding ON offers USING hnsw (embedding vector_l2_ops, place, shelf, kind, half);
VACUUM ANALYZE offers;

CREATE FUNCTION statement(filter text, number int) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT id FROM offers WHERE %s ORDER BY embedding <-> array_fill(1, ARRAY[64])::vector LIMIT %s', filter, number)
$$;
CREATE FUNCTION plan(filter text, number int, OUT name text, OUT startup float8, OUT total float8) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || statement(filter, number) INTO plan;
	startup := plan -> 0 -> 'Plan' ->> 'Startup Cost';
	total := plan -> 0 -> 'Plan' ->> 'Total Cost';
	name := CASE WHEN plan::text ~ 'offers_embedding' THEN 'hnsw' WHEN plan::text ~ 'offers_place' THEN 'btree' ELSE 'all rows' END;
END $$;
CREATE FUNCTION choices(filter text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg((plan(filter, number)).name, ', ' ORDER BY number) FROM unnest(ARRAY[1, 10, 100]) number
$$;

-- for LIMIT 1, 10 and 100: where the column has an index of its own, where it has none, and with a second condition
SELECT round(rows / 200.0, 3) AS percent, choices('place < ' || rows) AS with_btree, choices('shelf < ' || rows) AS without,
		choices(format('place < %s AND kind = 3', rows)) AS and_kind, choices(format('shelf < %s AND half = 1', rows)) AS without_and_half
	FROM unnest(ARRAY[1, 20, 400, 2000, 10000, 20000]) rows;
SELECT choices('place = 77') AS one_row, choices('kind = 3') AS tenth, choices('kind IN (3, 4, 5)') AS three_tenths, choices('half = 1') AS half,
	choices('half = 1 AND kind = 3') AS twentieth, choices('place IS NULL') AS none,
	choices('kind IS NULL') AS nulls;
-- for LIMIT 1000
SELECT round(rows / 200.0, 3) AS percent, (plan('place < ' || rows, 1000)).name AS with_btree, (plan('shelf < ' || rows, 1000)).name AS without
	FROM unnest(ARRAY[1, 20, 200, 10000]) rows;
-- many rows that three in ten pass: at most the codes of all that pass are compared for them
SELECT (plan('shelf < 6000', 1000)).name;

-- a value with a graph of its own costs no more than no condition does, also NULL; a further condition costs the pass over all keys;
-- several values, and other columns, cost no less than without graphs
CREATE TEMP TABLE without AS SELECT condition, p.* FROM unnest(ARRAY['true', 'kind = 3', 'kind IS NULL', 'kind = 3 AND place < 18000', 'kind IN (3, 4)', 'half = 1']) condition,
	plan(condition, 10) p;
DROP INDEX offers_embedding;
CREATE INDEX offers_embedding ON offers USING hnsw (embedding vector_l2_ops, place, shelf, kind, half) WITH (graphs = kind);
SELECT condition, g.name, g.total < 0.9 * w.total AS less,
		g.total < (SELECT total FROM without WHERE condition = 'true') AS less_than_plain
	FROM without w, plan(condition, 10) g;
-- a name that the index does not have, which counts with the next build, is no error of the planner
ALTER INDEX offers_embedding SET (graphs = nothing);
SELECT (plan('kind = 3', 10)).name;
DROP TABLE offers, without;
DROP FUNCTION statement, plan, choices;
