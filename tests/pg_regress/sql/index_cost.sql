-- which queries the planner gives to the index

CREATE TABLE t (id int PRIMARY KEY, topic int, embedding vector(16));
INSERT INTO t
	SELECT i, i % 100, (SELECT array_agg(hashint4(i * 16 + j) % 100) FROM generate_series(1, 16) j)::vector
	FROM generate_series(1, 3000) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops);
ANALYZE t;

-- The nodes of a plan, from the top down.
CREATE FUNCTION plan(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text; nodes text[] := '{}';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		IF line !~ ': ' THEN nodes := nodes || regexp_replace(line, '^[ >-]+', ''); END IF;
	END LOOP;
	RETURN array_to_string(nodes, ' > ');
END $$;

-- for the nearest rows, with and without a filter, with settings as they are
SELECT plan($s$ SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10 $s$);
SELECT plan($s$ SELECT id FROM t WHERE topic < 50 ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10 $s$);
SELECT plan($s$ SELECT q.id, n.id FROM generate_series(1, 3) AS q(id), LATERAL
	(SELECT t.id FROM t ORDER BY t.embedding <-> array_fill(q.id, ARRAY[16])::vector LIMIT 1) n $s$);

-- not without LIMIT, not without ORDER BY, not for a few rows that another index finds
SELECT plan($s$ SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector $s$);
SELECT plan($s$ SELECT id FROM t LIMIT 10 $s$);
SELECT plan($s$ SELECT count(*) FROM t $s$);
SELECT plan($s$ SELECT id FROM t WHERE embedding <-> array_fill(1, ARRAY[16])::vector < 10 $s$);
SELECT plan($s$ SELECT id FROM t WHERE embedding IS NULL $s$);
SELECT plan($s$ SELECT id FROM t WHERE id BETWEEN 10 AND 12 ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10 $s$);
SELECT plan($s$ SELECT embedding FROM t ORDER BY id LIMIT 10 $s$);
SELECT plan($s$ SELECT DISTINCT topic FROM t WHERE embedding IS NOT NULL $s$);

-- even where nothing else is left the index is not used without an order
SET enable_seqscan = off;
SELECT plan($s$ SELECT count(*) FROM t WHERE embedding <-> array_fill(1, ARRAY[16])::vector < 10 $s$);
SELECT plan($s$ SELECT count(embedding) FROM t $s$);
SELECT count(embedding) FROM t;
RESET enable_seqscan;

-- a higher ef_search costs more; a larger LIMIT costs more; all of it more than none
CREATE FUNCTION cost(statement text, OUT startup float8, OUT total float8) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || statement INTO plan;
	startup := plan -> 0 -> 'Plan' ->> 'Startup Cost';
	total := plan -> 0 -> 'Plan' ->> 'Total Cost';
END $$;
\set search 'SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT '
SELECT (cost(:'search' || 10)).total < (cost(:'search' || 1000)).total AS limit_costs,
	(cost(:'search' || 10)).startup > 0 AS starting_costs;
SELECT (cost(:'search' || 10)).startup AS at_40 \gset
SET hnsw.ef_search = 100;
SELECT (cost(:'search' || 10)).startup > :at_40 AS ef_search_costs;
RESET hnsw.ef_search;

-- an empty table
CREATE TABLE empty (id int, embedding vector(16));
CREATE INDEX empty_embedding ON empty USING hnsw (embedding vector_l2_ops);
SELECT plan($s$ SELECT id FROM empty WHERE id = 3 $s$);
SELECT id FROM empty ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10;
DROP TABLE t, empty;
DROP FUNCTION plan, cost;
