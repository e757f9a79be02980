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

-- where a filter leaves few rows and has an index of its own, that one; where it leaves many, this one
CREATE INDEX t_topic ON t (topic);
ANALYZE t;
SELECT plan($s$ SELECT id FROM t WHERE topic = 7 ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10 $s$) ~ 't_topic' AS filter_first;
SELECT plan($s$ SELECT id FROM t WHERE topic < 50 ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10 $s$);
SELECT plan($s$ SELECT id FROM t WHERE topic < 95 ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 100 $s$);

-- in a larger table too
CREATE TABLE large (id int, topic int, embedding vector(4));
INSERT INTO large SELECT i, hashint4(i) & 1023, ARRAY[hashint4(i) % 1000, hashint4(-i) % 1000, i % 1000, i / 20]::vector
	FROM generate_series(1, 20000) i;
CREATE INDEX large_embedding ON large USING hnsw (embedding vector_l2_ops);
CREATE INDEX large_topic ON large (topic);
ANALYZE large;
SELECT plan($s$ SELECT id FROM large ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10 $s$);
SELECT plan($s$ SELECT id FROM large ORDER BY embedding <-> '[1,2,3,4]' LIMIT 500 $s$);
SELECT plan($s$ SELECT id FROM large WHERE topic < 512 ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10 $s$);
SELECT plan($s$ SELECT id FROM large WHERE topic = 7 ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10 $s$) ~ 'large_topic' AS filter_first;
SELECT plan($s$ SELECT id FROM large WHERE topic < 10 ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10 $s$) ~ 'large_topic' AS filter_first;

-- Rows that a filter rejects cost as well. With an index for the filter and without one, each plan wins where it is more than
-- 1.5 times as fast as the others, whatever share of the rows passes and whether rows are wide, narrow or out of line.
CREATE TABLE filtered (id int, share int, share_indexed int, embedding vector(100));
INSERT INTO filtered SELECT i, i - 1, i - 1, (SELECT array_agg(hashint4(i * 100 + j) % 1000) FROM generate_series(1, 100) j)::vector
	FROM generate_series(1, 20000) i ORDER BY hashint4(i);
CREATE INDEX filtered_share ON filtered (share_indexed);
CREATE INDEX filtered_embedding ON filtered USING hnsw (embedding vector_l2_ops);
VACUUM ANALYZE filtered;
CREATE TABLE out_of_line (LIKE filtered INCLUDING STORAGE);
ALTER TABLE out_of_line ALTER embedding TYPE vector(800);
INSERT INTO out_of_line SELECT id, share, share_indexed, subvector(e || e || e || e || e || e || e || e, 1, 800)
	FROM (SELECT *, embedding AS e FROM filtered) f WHERE id <= 4000 ORDER BY hashint4(id);
CREATE INDEX out_of_line_share ON out_of_line (share_indexed);
CREATE INDEX out_of_line_embedding ON out_of_line USING hnsw (embedding vector_l2_ops);
VACUUM ANALYZE out_of_line;
CREATE FUNCTION chosen(relation text, filter text, number int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	statement text := format('SELECT id FROM %s WHERE %s ORDER BY embedding <-> (SELECT embedding FROM %1$s WHERE id = 1) LIMIT %3$s',
		relation, filter, number);
BEGIN
	RETURN CASE WHEN plan(statement) LIKE '%\_embedding%' THEN 'nearest first' WHEN plan(statement) LIKE '%\_share%' THEN 'filter first' ELSE 'all rows' END;
END $$;
SELECT relation, passing, number, chosen(relation, 'share_indexed < ' || passing, number) AS with_index, chosen(relation, 'share < ' || passing, number) AS without
	FROM (VALUES
		('filtered', 10000, 1), ('filtered', 10000, 10), ('filtered', 10000, 100), ('filtered', 2000, 1), ('filtered', 2000, 10),
		('filtered', 600, 1), ('filtered', 600, 100), ('filtered', 200, 1000), ('filtered', 60, 10), ('filtered', 60, 100),
		('filtered', 20, 10), ('filtered', 20, 1000), ('filtered', 2, 10),
		('out_of_line', 2000, 10), ('out_of_line', 2000, 100), ('out_of_line', 400, 1), ('out_of_line', 400, 10), ('out_of_line', 40, 10),
		('out_of_line', 4, 1)) v (relation, passing, number);
SET random_page_cost = 1.1;
SELECT chosen('filtered', 'share_indexed < 10000', 100) AS half, chosen('filtered', 'share_indexed < 20', 10) AS thousandth,
	chosen('filtered', 'share < 20', 10) AS without;
RESET random_page_cost;
DROP TABLE filtered, out_of_line;
DROP FUNCTION chosen;

-- in small ones of long vectors, in line and out of line, but not where all rows are on one page
CREATE TABLE small (id int, embedding vector(384));
INSERT INTO small SELECT i, (SELECT array_agg(hashint4(i * 384 + j) % 100) FROM generate_series(1, 384) j)::vector
	FROM generate_series(1, 200) i;
CREATE INDEX small_embedding ON small USING hnsw (embedding vector_l2_ops);
ANALYZE small;
SELECT plan($s$ SELECT id FROM small ORDER BY embedding <-> array_fill(1, ARRAY[384])::vector LIMIT 10 $s$);
CREATE TABLE toasted AS SELECT id, (embedding || embedding)::vector(768) AS embedding FROM small;
CREATE INDEX toasted_embedding ON toasted USING hnsw (embedding vector_cosine_ops);
ANALYZE toasted;
SELECT plan($s$ SELECT id FROM toasted ORDER BY embedding <=> array_fill(1, ARRAY[768])::vector LIMIT 10 $s$);
CREATE TABLE tiny AS SELECT id, subvector(embedding, 1, 4)::vector(4) AS embedding FROM small WHERE id <= 20;
CREATE INDEX tiny_embedding ON tiny USING hnsw (embedding vector_l2_ops);
ANALYZE tiny;
SELECT plan($s$ SELECT id FROM tiny ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10 $s$);
DROP TABLE large, small, toasted, tiny;

-- an empty table
CREATE TABLE empty (id int, embedding vector(16));
CREATE INDEX empty_embedding ON empty USING hnsw (embedding vector_l2_ops);
SELECT plan($s$ SELECT id FROM empty WHERE id = 3 $s$);
SELECT id FROM empty ORDER BY embedding <-> array_fill(1, ARRAY[16])::vector LIMIT 10;
DROP TABLE t, empty;
DROP FUNCTION plan, cost;
