# Tables with indexes of every kind, small and different: each reaches other pages after few rows.
#
#   use Indexed;
#   Indexed::create($node);      # the extension, the tables and their indexes, all empty but for `built`, which has no index yet
#
# In SQL: add(name, first, many) adds rows, change() changes some everywhere, wrong(vacuumed) says what is wrong.
package Indexed;

use strict;
use warnings;

# `stack` has one vector only, `wide` few elements on a page, `deep` many levels, `keyed` key columns of every width.
sub create {
  my ($node) = @_;
  $node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE FUNCTION sample(i int, dims int) RETURNS vector LANGUAGE sql IMMUTABLE AS
  'SELECT array_agg(sin(i * 17 + j * j * 0.37 + i * j * 1.01))::vector FROM generate_series(1, dims) j';
CREATE TABLE deep (id serial, v vector(3));
CREATE INDEX deep_v ON deep USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 8);
CREATE TABLE wide (id serial, v vector(1000));
CREATE INDEX wide_v ON wide USING hnsw (v vector_cosine_ops) WITH (m = 6, ef_construction = 16);
CREATE TABLE stack (id serial, v halfvec(3));
CREATE INDEX stack_v ON stack USING ivfflat (v halfvec_l2_ops) WITH (lists = 1);
CREATE TABLE keyed (id serial, v vector(8), a bigint, b text, c timestamptz, d float8, e uuid, f numeric, g bool);
CREATE INDEX keyed_v ON keyed USING hnsw (v vector_l2_ops, a, b, c, d, e, f, g) WITH (m = 4, ef_construction = 16);
CREATE TABLE built (id serial, v vector(100));
INSERT INTO built (v) SELECT sample(i, 100) FROM generate_series(1, 250) i;
CREATE UNLOGGED TABLE volatile (id serial, v vector(3));
CREATE INDEX volatile_v ON volatile USING hnsw (v vector_l2_ops);

-- Rows like those of a table, other than all before: `many` from number `first`. Those of wide are far from zero: their index learns.
CREATE PROCEDURE add(name text, first int, many int) LANGUAGE plpgsql AS $$
BEGIN
  IF name = 'keyed' THEN
    INSERT INTO keyed (v, a, b, c, d, e, f, g)
      SELECT sample(i / 2, 8), i, 'text ' || i, to_timestamp(i), i, md5(i::text)::uuid, i, i % 2 = 0 FROM generate_series(first, first + many - 1) i;
  ELSIF name = 'stack' THEN
    INSERT INTO stack (v) SELECT '[1,2,3]' FROM generate_series(1, many);
  ELSE
    EXECUTE format('INSERT INTO %I (v) SELECT sample(i, %s)%s FROM generate_series(%s, %s) i', name,
      (SELECT atttypmod FROM pg_attribute WHERE attrelid = name::regclass AND attname = 'v'),
      CASE name WHEN 'wide' THEN ' + array_fill(2, ARRAY[1000])::vector' ELSE '' END, first, first + many - 1);
  END IF;
END $$;

-- The tables that have an index, with its operator.
CREATE VIEW indexed AS
  SELECT i.indexrelid::regclass AS index, i.indrelid::regclass AS name, i.indisvalid AS valid, i.indisready AS ready,
      CASE WHEN o.opcname ~ 'cosine' THEN '<=>' ELSE '<->' END AS operator
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_opclass o ON o.oid = i.indclass[0]
    WHERE c.relam IN (SELECT oid FROM pg_am WHERE amname IN ('hnsw', 'ivfflat')) ORDER BY 1;

-- Faults of the indexes, or of those of one table. Vacuum mends what a crash has left, but for pages added and never written.
CREATE FUNCTION wrong(vacuumed boolean, only_of regclass DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_sort = off SET hnsw.ef_search = 1000 AS $$
DECLARE
  one indexed;
  lost bigint;
BEGIN
  FOR one IN SELECT * FROM indexed WHERE ready AND (only_of IS NULL OR name = only_of) LOOP
    RETURN QUERY SELECT format('%s: %s', one.index, f) FROM hnsw_check(one.index, heapallindexed => one.valid) f
      WHERE severity = 'error' OR vacuumed AND finding <> 'page was never written';
    CONTINUE WHEN NOT one.valid;
    -- A row is among as many nearest rows as there are rows of its own value.
    EXECUTE format($query$
      SELECT count(*) FROM (SELECT ctid, v, count(*) OVER (PARTITION BY v) AS equal FROM %1$s) t WHERE NOT EXISTS
        (SELECT FROM (SELECT ctid FROM %1$s n ORDER BY n.v %2$s t.v LIMIT t.equal) n WHERE n.ctid = t.ctid)
    $query$, one.name, one.operator) INTO lost;
    IF lost > 0 THEN
      RETURN NEXT format('%s: %s rows are not found by their own values', one.index, lost);
    END IF;
  END LOOP;
END $$;

-- A little of everything that changes rows.
CREATE PROCEDURE change() LANGUAGE plpgsql AS $$
DECLARE
  name regclass;
BEGIN
  FOR name IN SELECT DISTINCT i.name FROM indexed i LOOP
    CALL add(name::text, 5000, 6);
    EXECUTE format('DELETE FROM %1$s WHERE ctid IN (SELECT ctid FROM %1$s ORDER BY id %% 3, id LIMIT 6)', name);
    EXECUTE format('UPDATE %1$s SET id = -id WHERE ctid IN (SELECT ctid FROM %1$s ORDER BY id DESC LIMIT 2)', name);
  END LOOP;
END $$;
SQL
}

1;
