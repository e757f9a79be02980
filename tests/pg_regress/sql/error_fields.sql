-- An ERROR that passes through us arrives as it was raised: each statement is tried on a table with an expression index of
-- ours and on one with a btree, and all fields are compared. (From 17 on names in them must be qualified.)
CREATE FUNCTION picky(n int) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF n = current_setting('test.bad', true)::int THEN
    RAISE EXCEPTION 'number % is refused', n USING
      ERRCODE = 'OM123', DETAIL = 'It is too odd.', HINT = 'Take another.', COLUMN = 'a column',
      CONSTRAINT = 'a constraint', DATATYPE = 'a type', TABLE = 'a table', SCHEMA = 'a schema';
  END IF;
  RETURN ARRAY[n, 1];
END $$;

-- A function for each table, since PL/pgSQL evaluates an expression in another way once it has failed in a transaction. The first
-- raises again what it caught, after having caught something else; the second calls one of our functions.
DO $do$
DECLARE relation text;
BEGIN
  FOREACH relation IN ARRAY '{ours, btrees}'::text[] LOOP
    EXECUTE format($$
      CREATE FUNCTION second_thoughts_%s(n int) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS $f$
      BEGIN
        RETURN public.picky(n);
      EXCEPTION WHEN SQLSTATE 'OM123' THEN
        BEGIN
          PERFORM n / 0;
        EXCEPTION WHEN division_by_zero THEN
          NULL;
        END;
        BEGIN
          PERFORM '[1,x]'::public.vector;
        EXCEPTION WHEN OTHERS THEN
          NULL;
        END;
        RAISE;
      END $f$ $$, relation);
    EXECUTE format($$
      CREATE FUNCTION parse_%s(t text) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS $f$
      BEGIN
        RETURN t::public.vector(2);
      END $f$ $$, relation);
  END LOOP;
END $do$;

CREATE TABLE ours (n int, t text DEFAULT '[1,1]');
CREATE TABLE btrees (n int, t text DEFAULT '[1,1]');
CREATE INDEX ours_picky ON ours USING hnsw ((picky(n)::vector(2)) vector_l2_ops);
CREATE INDEX btrees_picky ON btrees (picky(n));
CREATE INDEX ours_second ON ours USING hnsw ((second_thoughts_ours(n)::vector(2)) vector_l2_ops);
CREATE INDEX btrees_second ON btrees (second_thoughts_btrees(n));
CREATE INDEX ours_parse ON ours USING hnsw ((parse_ours(t)::vector(2)) vector_l2_ops);
CREATE INDEX btrees_parse ON btrees (parse_btrees(t));
INSERT INTO ours SELECT generate_series(1, 20);
INSERT INTO btrees SELECT generate_series(1, 20);

-- Everything that a handler can ask for. Names that differ between the tables are made equal.
CREATE FUNCTION fields(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text; col text; con text; typ text; tab text; sch text; context text;
BEGIN
  EXECUTE statement;
  RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS
    state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
    col = COLUMN_NAME, con = CONSTRAINT_NAME, typ = PG_DATATYPE_NAME, tab = TABLE_NAME, sch = SCHEMA_NAME,
    context = PG_EXCEPTION_CONTEXT;
  RETURN QUERY SELECT regexp_replace(regexp_replace(line, '(ours|btrees)', 'TABLE', 'g'), 'USING hnsw |::vector\(2\)| vector_l2_ops', '', 'g')
    FROM unnest(ARRAY[state, message, detail, hint, col, con, typ, tab, sch, context]) AS field,
      regexp_split_to_table(field, E'\n') AS line;
END $$;

-- Each %1$s is a table's name, %2$s how an index on picky(n) is written.
CREATE FUNCTION compare(what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  relations text[] := '{ours, btrees}';
  indexes text[] := ARRAY['USING hnsw ((picky(n)::vector(2)) vector_l2_ops)', '((picky(n)))'];
  statement text; first text[]; found text[];
BEGIN
  FOR i IN 1 .. 2 LOOP
    statement := format(what, relations[i], indexes[i]);
    first := found;
    SELECT array_agg(line) INTO found FROM fields(statement) AS line;
  END LOOP;
  IF first = found THEN
    RETURN QUERY SELECT concat_ws(' ', 'the same:', first[1], first[2]);
  ELSE
    RETURN QUERY
      SELECT 'ours:  ' || line FROM unnest(first) AS line UNION ALL SELECT 'btree: ' || line FROM unnest(found) AS line;
  END IF;
END $$;

-- Where an expression is planned for its arguments, functions may fail when it is planned.
SET plan_cache_mode = force_generic_plan;
SET test.bad = 13;
SELECT fields('INSERT INTO ours VALUES (13)');
SELECT compare('INSERT INTO %1$s VALUES (13)');
SELECT compare('INSERT INTO %1$s SELECT n FROM generate_series(10, 15) AS n');
SELECT compare('UPDATE %1$s SET n = 13 WHERE n = 7');
SELECT compare('CREATE INDEX ON %1$s %2$s');
SELECT compare('REINDEX INDEX %1$s_picky');
SELECT compare('REINDEX TABLE %1$s');
SELECT compare('TRUNCATE %1$s; INSERT INTO %1$s VALUES (13)');
SELECT compare('ALTER TABLE %1$s ALTER n TYPE int USING n + 0');
SELECT compare('INSERT INTO %1$s VALUES (1, ''[1,x]'')');
SELECT compare('INSERT INTO %1$s VALUES (1, ''[1,2,3]'')');
DROP INDEX ours_picky, btrees_picky;
SELECT fields('INSERT INTO ours VALUES (13)');
SELECT compare('INSERT INTO %1$s VALUES (13)');
DROP INDEX ours_second, btrees_second;
SET test.bad = 0;
CREATE INDEX ours_picky ON ours USING hnsw ((picky(n)::vector(2)) vector_l2_ops);
CREATE INDEX btrees_picky ON btrees (picky(n));
SET test.bad = 13;

-- Outside of a handler, and in statements that a function may not contain.
REINDEX INDEX CONCURRENTLY ours_picky;
\echo :LAST_ERROR_SQLSTATE
REINDEX INDEX CONCURRENTLY btrees_picky;
CREATE INDEX CONCURRENTLY ours_again ON ours USING hnsw ((picky(n)::vector(2)) vector_l2_ops);
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX CONCURRENTLY btrees_again ON btrees (picky(n));
VACUUM FULL ours;
\echo :LAST_ERROR_SQLSTATE
VACUUM FULL btrees;
DROP INDEX ours_picky_ccnew, ours_again, btrees_picky_ccnew, btrees_again;
-- A vacuum evaluates no expression, but ANALYZE does.
DELETE FROM ours WHERE n = 20;
VACUUM ours;
SELECT compare('ANALYZE %1$s');

-- A scan measures rows by the expression; a check reads them all.
SET enable_seqscan = off;
SELECT fields('SELECT n FROM ours ORDER BY picky(n)::vector(2) <-> ''[12,1]'' LIMIT 5');
SELECT fields('SELECT hnsw_check(''ours_picky'', heapallindexed => true)');

-- Errors of ours in functions, operators and casts have context, too, and the position of a literal is shown.
SELECT '[1,x]'::vector;
SELECT 1 FROM ours WHERE n = 1 AND '[1,2' = ARRAY[1]::vector;
DO $$ BEGIN PERFORM '[1,2]'::vector <-> '[1,2,3]'::vector; END $$;
SELECT fields('SELECT ''[1,2]''::vector <-> ''[1,2,3]''');
SELECT fields('SELECT parse_ours(''[1,2,3]'')');

-- An error caught inside leaves nothing behind for later ones.
CREATE FUNCTION caught(n int) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  BEGIN
    PERFORM public.picky(13);
  EXCEPTION WHEN SQLSTATE 'OM123' THEN
    NULL;
  END;
  RETURN array_fill(n, ARRAY[n]);
END $$;
DROP INDEX ours_picky;
CREATE INDEX ours_caught ON ours USING hnsw ((caught(n)::vector(3)) vector_l2_ops) WHERE n = 3;
SELECT fields('INSERT INTO ours VALUES (3)');
SELECT fields('INSERT INTO ours SELECT 3, ''[1,2,3]''');
DROP INDEX ours_caught;
-- Here the error is ours.
CREATE INDEX ours_caught ON ours USING hnsw ((caught(n - 1)::vector(2)) vector_l2_ops) WHERE n = 21;
SELECT fields('INSERT INTO ours VALUES (21)');

-- A statement that runs too long, in Postgres's own words.
CREATE FUNCTION slow(n int) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  PERFORM pg_sleep(0.01);
  RETURN ARRAY[n, 1];
END $$;
CREATE TABLE slow AS SELECT generate_series(1, 1000) AS n;
SET statement_timeout = '100ms';
CREATE INDEX ON slow USING hnsw ((slow(n)::vector(2)) vector_l2_ops);
\echo :LAST_ERROR_SQLSTATE
RESET statement_timeout;
-- Many errors take no memory with them.
CREATE TABLE tried (n int);
CREATE INDEX ON tried USING hnsw ((picky(n)::vector(2)) vector_l2_ops);
CREATE FUNCTION memory() RETURNS bigint LANGUAGE sql AS
  $$ SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name IN ('TopMemoryContext', 'ErrorContext') $$;
CREATE PROCEDURE try(times int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. times LOOP
    BEGIN
      INSERT INTO tried VALUES (13);
    EXCEPTION WHEN SQLSTATE 'OM123' THEN
      NULL;
    END;
    BEGIN
      PERFORM '[1,x]'::public.vector;
    EXCEPTION WHEN invalid_text_representation THEN
      NULL;
    END;
  END LOOP;
END $$;
CALL try(200);
SELECT memory() AS before \gset
CALL try(2000);
SELECT memory() - :before < 100000 AS stays;
-- Nor does a long one, once its transaction has ended.
CREATE FUNCTION talk(n int) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RAISE EXCEPTION '%', repeat('x', 10000000);
END $$;
CREATE TABLE talked (n int);
CREATE INDEX ON talked USING hnsw ((talk(n)::vector(2)) vector_l2_ops);
DO $$ BEGIN INSERT INTO talked VALUES (1); EXCEPTION WHEN raise_exception THEN NULL; END $$;
SELECT sum(total_bytes) < 100000 AS freed FROM pg_backend_memory_contexts WHERE name = 'ErrorContext';
