-- Recall and speed of searches of the demo data, measured inside the server. The planner is not told
-- what to do: whoever calls these drops the index, or sets enable_indexscan, to measure without it.

CREATE FUNCTION nearest(query vector) RETURNS int[]
LANGUAGE sql STABLE
RETURN array(SELECT id FROM wordnet ORDER BY embedding <=> query LIMIT 10);

CREATE FUNCTION exactly_nearest(query vector) RETURNS int[]
LANGUAGE sql STABLE
SET enable_indexscan = off
AS 'SELECT array(SELECT id FROM wordnet ORDER BY embedding <=> query LIMIT 10)';

-- The mean share of the exact 10 nearest that a search finds.
CREATE FUNCTION recall() RETURNS numeric
LANGUAGE sql STABLE
RETURN (
  SELECT avg(cardinality(array(
      SELECT unnest(nearest(embedding)) INTERSECT SELECT unnest(exactly_nearest(embedding)))) / 10.0)
    FROM wordnet_query
);

-- Milliseconds per query: the best of some rounds over all queries, after one to warm up.
CREATE FUNCTION milliseconds(rounds int) RETURNS numeric
LANGUAGE plpgsql
AS $$
DECLARE
  queries vector[] := array(SELECT embedding FROM wordnet_query);
  query vector;
  started timestamptz;
  best interval;
BEGIN
  FOR round IN 0..rounds LOOP
    started := clock_timestamp();
    FOREACH query IN ARRAY queries LOOP
      PERFORM id FROM wordnet ORDER BY embedding <=> query LIMIT 10;
    END LOOP;
    IF round > 0 THEN
      best := least(best, clock_timestamp() - started);
    END IF;
  END LOOP;
  RETURN 1000 * extract(epoch FROM best) / cardinality(queries);
END $$;
