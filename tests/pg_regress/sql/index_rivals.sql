-- costs of a scan with conditions on key columns: in proportion to the plans that may take its place, and to no others

CREATE TABLE t (id int, topic int, kind int, name text, gone int, tags text[], more text[], embedding vector(4));
INSERT INTO t SELECT i, hashint4(i) & 15, hashint4(-i) & 15, 'name ' || hashint4(i) % 100, CASE WHEN hashint4(i) % 1000 <> 7 THEN i END,
	ARRAY['a' || hashint4(i) % 100], ARRAY['b' || hashint4(-i) % 100], ARRAY[hashint4(i) % 1000, hashint4(-i) % 1000, i % 1000, i / 20]::vector
	FROM generate_series(1, 20000) i;
CREATE INDEX t_keys ON t USING hnsw (embedding vector_l2_ops, topic, kind, name, gone, tags, more);
ANALYZE t;

-- The cost of a scan by the index, whatever else there is.
CREATE FUNCTION cost(condition text) RETURNS float8 LANGUAGE plpgsql SET enable_sort = off AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (FORMAT json) SELECT id FROM t WHERE %s ORDER BY embedding <-> ''[1,2,3,4]'' LIMIT 10', condition) INTO plan;
	IF plan #>> '{0,Plan,Plans,0,Index Name}' <> 't_keys' THEN RAISE 'another plan: %', plan; END IF;
	RETURN plan #>> '{0,Plan,Total Cost}';
END $$;
SELECT cost('topic = 7') AS topic, cost('kind < 14') AS kind, cost('name = ''name 7''') AS name, cost('gone IS NULL') AS gone,
	cost('tags @> ''{a7}''') AS tags, cost('more @> ''{b7}''') AS more \gset

-- an index for the condition, whichever way round it is written
CREATE INDEX t_topic ON t (topic);
SELECT cost('topic = 7') <> :topic AS counts, cost('7 = topic') = cost('topic = 7') AS turned;
-- two indexes for one condition leave no fewer rows than one; for two they do
SELECT cost('topic = 7') AS topic, cost('topic = 7 AND kind = 7') AS both \gset
CREATE INDEX t_topic_name ON t (topic, name);
SELECT cost('topic = 7') = :topic AS same;
DROP INDEX t_topic_name;
CREATE INDEX t_kind ON t (kind);
SELECT cost('topic = 7') = :topic AS same, cost('topic = 7 AND kind = 7') <> :both AS other;
-- plans disabled by a setting do not count while there are others
SELECT cost('kind < 14') = :kind AS all_rows;
SET enable_seqscan = off;
SELECT cost('kind < 14') <> :kind AS by_index;
DROP INDEX t_topic, t_kind;
SELECT cost('kind < 14') = :kind AS all_rows;
RESET enable_seqscan;
-- of another collation
CREATE INDEX t_name ON t (name COLLATE "C");
SELECT cost('name = ''name 7''') = :name AS same;
DROP INDEX t_name;
CREATE INDEX t_name ON t (name);
SELECT cost('name = ''name 7''') <> :name AS counts;
-- tests for NULL
CREATE INDEX t_gone ON t (gone);
SELECT cost('gone IS NULL') <> :gone AS counts;
-- by bitmaps only, by any of its columns
CREATE INDEX t_tags ON t USING gin (tags, more);
SELECT cost('tags @> ''{a7}''') <> :tags AS first, cost('more @> ''{b7}''') <> :more AS second;
SET enable_bitmapscan = off;
SELECT cost('tags @> ''{a7}''') = :tags AS same;
RESET enable_bitmapscan;

DROP TABLE t;
DROP FUNCTION cost;
