-- hnsw: WITH (graphs = column): a graph for each value of a key column

CREATE TABLE items (id int PRIMARY KEY, embedding vector(3), other vector(3), tenant int, price int, label text);
INSERT INTO items SELECT i, ARRAY[i % 31, hashint4(i) % 50, hashint4(-i) % 50]::vector, '[1,2,3]',
	CASE WHEN i % 100 > 2 THEN (i % 10) ^ 2 END, i % 7, 'label ' || i % 3 FROM generate_series(1, 6000) i;

-- definitions, as pg_dump prints them, and errors
\set VERBOSITY verbose
\set SHOW_CONTEXT never
CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; details text; hint text; state text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, details = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', state, message, nullif(details, ''), nullif(hint, ''));
END $$;
SELECT failure('CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, tenant, price) WITH (graphs = tennant)');
SELECT failure('CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, tenant) WITH (graphs = embedding)');
SELECT failure('CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (graphs = tenant)');
SELECT failure('CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, (price % 3), tenant) WITH (graphs = price)');
SELECT failure('CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, tenant) WITH (graphs = tenant, m = 3, ef_construction = 16)');
SELECT failure('CREATE INDEX ON items USING ivfflat (embedding vector_l2_ops) WITH (graphs = tenant)');
CREATE INDEX items_embedding ON items USING hnsw (embedding vector_l2_ops, price, tenant) WITH (graphs = 'tenant', m = 8, ef_construction = 32);
SELECT pg_get_indexdef('items_embedding'::regclass);
SELECT graphs, layout_version, elements, rows FROM hnsw_index_info('items_embedding');
SELECT * FROM hnsw_check('items_embedding', true);

SET enable_seqscan = off;
SET enable_sort = off;
SET enable_bitmapscan = off;

-- a value, a value that few rows have, NULL, with a further condition, without: how each is found
CREATE FUNCTION found(condition text, rows int) RETURNS TABLE (returned bigint, distinct_ids bigint, wrong bigint, missed bigint, method text)
	LANGUAGE plpgsql AS $$
DECLARE
	of_index int[]; of_table int[]; statement text;
BEGIN
	statement := format('SELECT id FROM items WHERE %s ORDER BY embedding <-> ''[7,7,7]'' LIMIT %s', condition, rows);
	EXECUTE format('SELECT array(%s)', statement) INTO of_index;
	method := (SELECT s.method FROM hnsw_last_scan() s);
	PERFORM set_config('enable_indexscan', 'off', true), set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true);
	EXECUTE format('SELECT array(SELECT id FROM items WHERE %1$s AND embedding <-> ''[7,7,7]'' <=
		(SELECT max(d) FROM (SELECT embedding <-> ''[7,7,7]'' AS d FROM items WHERE %1$s ORDER BY d LIMIT %2$s) nearest))', condition, rows) INTO of_table;
	EXECUTE format('SELECT count(*) FROM items WHERE id = ANY ($1) AND NOT coalesce((%s), false)', condition) INTO wrong USING of_index;
	PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true);
	returned := cardinality(of_index);
	distinct_ids := (SELECT count(DISTINCT i) FROM unnest(of_index) i);
	missed := (SELECT count(*) FROM unnest(of_index) i WHERE i <> ALL (of_table));
	RETURN NEXT;
END $$;
SET hnsw.ef_search = 200;
SELECT * FROM found('tenant = 49', 20);
SELECT * FROM found('tenant = 49::bigint', 20);
SELECT * FROM found('tenant = 49 AND price = 3', 20);
SELECT * FROM found('tenant = ANY (ARRAY[49])', 20);
SELECT * FROM found('tenant IN (49, 64)', 20);
SELECT * FROM found('tenant IS NULL', 20);
SELECT * FROM found('tenant = 7', 20);
SELECT * FROM found('price = 3', 20);
SELECT * FROM found('true', 20);
-- as many rows as there are, beyond every limit of a search
SELECT * FROM found('tenant = 49', 1000);
-- once a quarter of the value's rows is seen the codes of all are compared; the pages of keys read for rows to start at count
SET hnsw.ef_search = 10;
SELECT count(*) FROM (SELECT id FROM items WHERE tenant = 49 ORDER BY embedding <-> '[7,7,7]' LIMIT 400) s;
SELECT walks, method, pages >= 8 AS counts_pages FROM hnsw_last_scan();
SELECT count(*) FROM (SELECT id FROM items WHERE tenant = 49 ORDER BY embedding <-> '[7,7,7]' LIMIT 1000) s;
SELECT method, recall FROM hnsw_last_scan();
SET hnsw.ef_search = 200;
SET hnsw.max_scan_tuples = 1;
SELECT * FROM found('tenant = 49', 1000);
RESET hnsw.max_scan_tuples;
SET hnsw.iterative_scan = relaxed_order;
SELECT * FROM found('tenant = 49', 1000);
RESET hnsw.iterative_scan;

-- rows of one vector and several values: an element for each value; an update of the value moves the row, one of another column does not
UPDATE items SET embedding = other WHERE id % 5 = 0;
SELECT elements < rows AS shares FROM hnsw_index_info('items_embedding');
CREATE TEMP TABLE before AS SELECT elements, tombstones FROM hnsw_index_info('items_embedding');
UPDATE items SET price = price + 1 WHERE id <= 500;
SELECT i.elements - b.elements AS new_elements FROM before b, hnsw_index_info('items_embedding') i;
UPDATE items SET tenant = 1000 + id WHERE id <= 500 AND id % 5 = 1;
SELECT i.elements - b.elements AS new_elements FROM before b, hnsw_index_info('items_embedding') i;
UPDATE items SET tenant = 2 WHERE tenant >= 1000;
SELECT * FROM found('tenant = 2', 20);
SELECT * FROM found('tenant = 49', 20);
SELECT * FROM hnsw_check('items_embedding', true);

-- deletes and vacuum, and a value that goes as a whole
DELETE FROM items WHERE id % 3 = 0 OR tenant = 64;
VACUUM items;
SELECT * FROM found('tenant = 49', 20);
SELECT * FROM found('tenant = 64', 20);
SELECT * FROM found('tenant = 36 AND price > 2', 20);
INSERT INTO items SELECT i, ARRAY[i % 29, hashint4(i) % 50, hashint4(-i) % 50]::vector, '[1,2,3]', 64, i % 7 FROM generate_series(10001, 11000) i;
SELECT * FROM found('tenant = 64', 20);
SELECT * FROM hnsw_check('items_embedding', true);

-- a renamed column is found by its new name and by the one of the index
ALTER TABLE items RENAME tenant TO customer;
REINDEX INDEX items_embedding;
SELECT * FROM found('customer = 49', 20);
ALTER INDEX items_embedding SET (graphs = customer);
REINDEX INDEX items_embedding;
SELECT graphs FROM hnsw_index_info('items_embedding');
-- the option counts at the next build
ALTER INDEX items_embedding RESET (graphs);
SELECT graphs FROM hnsw_index_info('items_embedding');
REINDEX INDEX items_embedding;
SELECT graphs, layout_version FROM hnsw_index_info('items_embedding');
SELECT * FROM found('customer = 49', 20);

-- a further condition that many rows of the value pass
DROP INDEX items_embedding;
CREATE INDEX items_half ON items USING hnsw (embedding vector_l2_ops, (id % 2), price) WITH (graphs = expr);
SET hnsw.ef_search = 150;
SELECT * FROM found('id % 2 = 1 AND price > 1', 20);
SELECT * FROM found('id % 2 = 1 AND price > 1', 3000);

-- an index made empty, one on an expression, one of bits, one of sparse vectors
CREATE TABLE few (id int, embedding vector(3), bits bit(64), sparse sparsevec(64), label text);
CREATE INDEX few_embedding ON few USING hnsw (embedding vector_cosine_ops, (lower(label))) WITH (graphs = lower);
CREATE INDEX few_bits ON few USING hnsw (bits bit_hamming_ops, label) WITH (graphs = label);
CREATE INDEX few_sparse ON few USING hnsw (sparse sparsevec_l2_ops, label) WITH (graphs = label);
INSERT INTO few SELECT i, ARRAY[1 + i % 31, hashint4(i) % 50, hashint4(-i) % 50]::vector, (hashint8(i)::bigint # 5)::bit(64),
	format('{%s:%s,%s:1}/64', 1 + i % 30, i % 11 + 1, 31 + i % 33)::sparsevec, 'Label ' || i % 4 FROM generate_series(1, 2000) i;
CREATE FUNCTION of_few(condition text, distance text) RETURNS TABLE (returned bigint, wrong bigint, method text) LANGUAGE plpgsql AS $$
DECLARE
	ids int[];
BEGIN
	EXECUTE format('SELECT array(SELECT id FROM few WHERE %s ORDER BY %s LIMIT 15)', condition, distance) INTO ids;
	method := (SELECT s.method FROM hnsw_last_scan() s);
	EXECUTE format('SELECT count(*) FROM few WHERE id = ANY ($1) AND NOT (%s)', condition) INTO wrong USING ids;
	returned := (SELECT count(DISTINCT i) FROM unnest(ids) i);
	RETURN NEXT;
END $$;
SELECT * FROM of_few($$lower(label) = 'label 2'$$, $$embedding <=> '[1,2,3]'$$);
SELECT * FROM of_few($$label = 'Label 2'$$, $$bits <~> 5::bit(64)$$);
SELECT * FROM of_few($$label = 'Label 2'$$, $$sparse <-> '{1:1}/64'$$);
REINDEX TABLE few;
SELECT * FROM of_few($$lower(label) = 'label 2'$$, $$embedding <=> '[1,2,3]'$$);
SELECT * FROM of_few($$label = 'Label 2'$$, $$bits <~> 5::bit(64)$$);
SELECT * FROM of_few($$label = 'Label 2'$$, $$sparse <-> '{1:1}/64'$$);
SELECT c.* FROM unnest(ARRAY['few_embedding', 'few_bits', 'few_sparse']) i, hnsw_check(i::regclass, true) c;
DROP TABLE items, few;
DROP FUNCTION found, of_few, failure;
