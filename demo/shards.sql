-- The demo's table spread over several servers by postgres_fdw: run on the coordinator, in a database that load.sql has filled.
-- Every shard has a database of the same name with shard.sql in it.
--
-- psql variables: `host`, `ports` (of the shards: 5433,5434,5435), `dbname`.

CREATE EXTENSION IF NOT EXISTS postgres_fdw;
CREATE EXTENSION IF NOT EXISTS dblink;

CREATE TEMPORARY VIEW shard_port AS
  SELECT i, port FROM unnest(string_to_array(:'ports', ',')) WITH ORDINALITY AS p (port, i);

-- extensions: shards sort by their hnsw indexes. fetch_size: the usual LIMIT. options: settings do not travel with a query.
-- cursor_tuple_fraction: a shard plans for the first rows, since postgres_fdw reads through a cursor.
SELECT format($$CREATE SERVER shard%s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L,
    extensions 'omendb', fetch_size '10', batch_size '100', async_capable 'true',
    options '-c hnsw.ef_search=40 -c cursor_tuple_fraction=0.001')$$, i, :'host', port, :'dbname')
  FROM shard_port \gexec
SELECT format('CREATE USER MAPPING FOR CURRENT_USER SERVER shard%s OPTIONS (user %L)', i, current_user) FROM shard_port \gexec

CREATE TABLE sharded (id int NOT NULL, topic text NOT NULL, text text NOT NULL, embedding vector(384) NOT NULL)
  PARTITION BY HASH (id);
SELECT format($$CREATE FOREIGN TABLE sharded_%s PARTITION OF sharded FOR VALUES WITH (MODULUS %s, REMAINDER %s)
    SERVER shard%1$s OPTIONS (table_name 'wordnet')$$, i, (SELECT count(*) FROM shard_port), i - 1)
  FROM shard_port \gexec
INSERT INTO sharded SELECT id, topic, text, embedding FROM wordnet;

-- Asks all shards at once for ids and distances; postgres_fdw asks them in turn and fetches the vectors as well.
CREATE FUNCTION nearest_on_shards(query vector, wanted int) RETURNS TABLE (id int, distance float8)
LANGUAGE plpgsql
AS $$
DECLARE
  shards text[] := array(SELECT srvname FROM pg_foreign_server WHERE srvname ~ '^shard[0-9]+$' ORDER BY srvname);
  search text := format('SELECT id, embedding <=> %L AS distance FROM wordnet ORDER BY distance LIMIT %s', query, wanted);
  shard text;
  ids int[] := '{}';
  distances float8[] := '{}';
  some_ids int[];
  some_distances float8[];
BEGIN
  FOREACH shard IN ARRAY shards LOOP
    IF shard <> ALL (coalesce(dblink_get_connections(), '{}')) THEN
      PERFORM dblink_connect(shard, shard);
    END IF;
    PERFORM dblink_send_query(shard, search);
  END LOOP;
  FOREACH shard IN ARRAY shards LOOP
    SELECT array_agg(r.id), array_agg(r.distance) INTO some_ids, some_distances
      FROM dblink_get_result(shard) AS r (id int, distance float8);
    ids := ids || some_ids;
    distances := distances || some_distances;
    -- A connection takes its next query once its results are read to their end.
    PERFORM FROM dblink_get_result(shard) AS r (id int, distance float8);
  END LOOP;
  RETURN QUERY SELECT f.id, f.distance FROM unnest(ids, distances) AS f (id, distance) ORDER BY f.distance LIMIT wanted;
EXCEPTION WHEN OTHERS OR query_canceled THEN
  -- Results that wait would make the next query of their connection fail.
  PERFORM dblink_disconnect(c) FROM unnest(dblink_get_connections()) c;
  RAISE;
END $$;

CREATE FUNCTION nearest_sharded(query vector) RETURNS int[]
LANGUAGE sql STABLE
RETURN array(SELECT id FROM sharded ORDER BY embedding <=> query LIMIT 10);

CREATE FUNCTION nearest_at_once(query vector) RETURNS int[]
LANGUAGE sql
RETURN array(SELECT id FROM nearest_on_shards(query, 10));

-- Recall@10 and milliseconds per query of a function that returns ids: the best of three rounds, after one to warm up.
CREATE FUNCTION measure(search regproc, OUT recall numeric, OUT ms numeric)
LANGUAGE plpgsql
AS $$
DECLARE
  queries vector[] := array(SELECT embedding FROM wordnet_query ORDER BY id);
  query vector;
  started timestamptz;
  best interval;
BEGIN
  EXECUTE format($sql$SELECT avg(cardinality(array(SELECT unnest(%s(embedding)) INTERSECT SELECT unnest(exactly_nearest(embedding)))) / 10.0)
    FROM wordnet_query$sql$, search) INTO recall;
  FOR round IN 1 .. 3 LOOP
    started := clock_timestamp();
    FOREACH query IN ARRAY queries LOOP
      EXECUTE format('SELECT %s($1)', search) USING query;
    END LOOP;
    best := least(best, clock_timestamp() - started);
  END LOOP;
  ms := 1000 * extract(epoch FROM best) / cardinality(queries);
END $$;
