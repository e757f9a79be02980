-- Rows that arrive one by one, made by a seed: how well an index finds them, and the same index built anew. For ./dev bench arrivals and
-- tests/t/018_arrivals.pl.

CREATE FUNCTION arrivals_normal() RETURNS float8 LANGUAGE sql VOLATILE AS
	'SELECT sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())';

-- A vector of d dimensions: all positive, Gaussian, of length 1, of log-normal length, positive of a length from 1 to 100, or with
-- 10 elements that are not zero.
CREATE FUNCTION arrivals_vector(kind text, d int) RETURNS vector LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	v float8[]; length float8;
BEGIN
	IF kind = 'positive' THEN
		SELECT array_agg(random() * random()) INTO v FROM generate_series(1, d);
		RETURN v::vector;
	END IF;
	IF kind = 'sparse' THEN
		SELECT array_agg(CASE WHEN place <= 10 THEN random() ELSE 0 END ORDER BY n) INTO v
			FROM (SELECT n, row_number() OVER (ORDER BY random()) AS place FROM generate_series(1, d) n) s;
		RETURN v::vector;
	END IF;
	SELECT array_agg(CASE kind WHEN 'lengths' THEN random() ELSE arrivals_normal() END) INTO v FROM generate_series(1, d);
	SELECT CASE kind WHEN 'gauss' THEN 1 WHEN 'lengths' THEN sqrt(sum(x * x)) / (1 + 99 * random()) WHEN 'unit' THEN sqrt(sum(x * x)) WHEN 'lognormal' THEN sqrt(sum(x * x)) / exp(0.5 * arrivals_normal()) END
		INTO length FROM unnest(v) x;
	SELECT array_agg(x / length ORDER BY n) INTO v FROM unnest(v) WITH ORDINALITY AS u (x, n);
	RETURN v::vector;
END $$;

-- recall@10 of 100 queries. A row that comes twice in a search is an error.
CREATE FUNCTION arrivals_recall(operator text, ef int) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	recall numeric; "distinct" bool;
BEGIN
	PERFORM set_config('hnsw.ef_search', ef::text, true);
	EXECUTE format('SELECT avg(hits) / 10, bool_and("distinct") FROM arrivals_query q, LATERAL (
		SELECT count(*) FILTER (WHERE id = ANY (q.nearest)) AS hits, count(*) = count(DISTINCT id) AS "distinct"
		FROM (SELECT id FROM arrivals a ORDER BY a.v %s q.v LIMIT 10) f) s', operator) INTO recall, "distinct";
	IF NOT "distinct" THEN RAISE 'a row came twice'; END IF;
	RETURN round(recall, 3);
END $$;

-- recall@10 at ef_search 10, 40 and 100 after inserts into an empty index, and after REINDEX.
CREATE FUNCTION arrivals(kind text, d int, class text, operator text, count int, OUT how text, OUT ef int, OUT recall numeric) RETURNS SETOF record
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM setseed(0.3);
	DROP TABLE IF EXISTS arrivals, arrivals_query;
	EXECUTE format('CREATE TABLE arrivals (id int, v vector(%s))', d);
	EXECUTE format('CREATE INDEX arrivals_v ON arrivals USING hnsw (v %s)', class);
	INSERT INTO arrivals SELECT i, arrivals_vector(kind, d) FROM generate_series(1, count) i;
	CREATE TABLE arrivals_query AS SELECT i AS id, arrivals_vector(kind, d) AS v, NULL::int[] AS nearest FROM generate_series(1, 100) i;
	PERFORM set_config('enable_indexscan', 'off', true);
	EXECUTE format('UPDATE arrivals_query q SET nearest = (SELECT array_agg(id) FROM (SELECT id FROM arrivals a ORDER BY a.v %s q.v LIMIT 10) s)', operator);
	PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true);
	FOREACH how IN ARRAY ARRAY['inserted', 'built'] LOOP
		IF how = 'built' THEN REINDEX INDEX arrivals_v; END IF;
		FOREACH ef IN ARRAY ARRAY[10, 40, 100] LOOP
			recall := arrivals_recall(operator, ef);
			RETURN NEXT;
		END LOOP;
	END LOOP;
	DROP TABLE arrivals, arrivals_query;
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true);
END $$;
