-- hnsw: every error that a user can meet, with SQLSTATE, message, detail and hint

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

CREATE TABLE items (id int, v vector(3), h halfvec(3), any_v vector, any_h halfvec,
	b bit(8), any_b varbit, wide bit(64001), s sparsevec(2000), any_s sparsevec);
INSERT INTO items VALUES (1, '[1,2,3]', '[1,2,3]', '[1,2,3]', '[1,2,3]'), (2, '[4,5,6]', '[4,5,6]', '[4,5]', '[4,5]');
CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops);
CREATE INDEX items_b ON items USING hnsw (b bit_hamming_ops);
CREATE INDEX items_s ON items USING hnsw (s sparsevec_l2_ops);
CREATE OPERATOR CLASS odd_ops FOR TYPE vector USING hnsw AS
	OPERATOR 1 <-> FOR ORDER BY float_ops, FUNCTION 1 vector_spherical_distance(vector, vector);
SET enable_seqscan = off;

CREATE TABLE errors (statement text, message text);
INSERT INTO errors VALUES
	-- columns
	($$CREATE INDEX ON items USING hnsw (any_v vector_l2_ops)$$, '22023 | column does not have dimensions'),
	($$CREATE INDEX ON items USING hnsw (any_h halfvec_ip_ops)$$, '22023 | column does not have dimensions'),
	($$CREATE INDEX ON items USING hnsw ((v + v) vector_l2_ops)$$, '22023 | column does not have dimensions'),
	($$CREATE INDEX ON items USING hnsw ((any_v::vector(3)) vector_l2_ops)$$, '22000 | expected 3 dimensions, not 2'),
	($$CREATE INDEX ON items USING hnsw (v)$$, '42704 | data type vector has no default operator class for access method "hnsw" | You must specify an operator class for the index or define a default operator class for the data type.'),
	($$CREATE INDEX ON items USING hnsw (v halfvec_l2_ops)$$, '42804 | operator class "halfvec_l2_ops" does not accept data type vector'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops, h halfvec_l2_ops)$$, '0A000 | an hnsw index has one column to order by, not 2 | Create an index for each vector column.'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops) INCLUDE (id)$$, '0A000 | access method "hnsw" does not support included columns'),
	($$CREATE UNIQUE INDEX ON items USING hnsw (v vector_l2_ops)$$, '0A000 | access method "hnsw" does not support unique indexes'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops DESC)$$, '0A000 | access method "hnsw" does not support ASC/DESC options'),
	($$CLUSTER items USING items_v$$, '0A000 | cannot cluster on index "items_v" because access method does not support clustering'),
	($$CREATE INDEX ON items USING hnsw (v odd_ops)$$, '0A000 | type not supported for hnsw index'),
	($$CREATE INDEX ON items USING ivfflat (v vector_l1_ops)$$, '42704 | operator class "vector_l1_ops" does not exist for access method "ivfflat"'),
	($$CREATE INDEX ON items USING ivfflat (any_b bit_hamming_ops)$$, '0A000 | type not supported for ivfflat index'),
	($$CREATE INDEX ON items USING ivfflat (wide bit_hamming_ops)$$, '54000 | column cannot have more than 64000 dimensions for ivfflat index'),
	($$CREATE INDEX ON items USING ivfflat (v) WITH (lists = 0)$$, '22023 | value 0 out of bounds for option "lists" | Valid values are between "1" and "32768".'),
	($$CREATE INDEX ON items USING ivfflat (v) WITH (m = 16)$$, '22023 | unrecognized parameter "m"'),
	-- options
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (m = 1)$$, '22023 | value 1 out of bounds for option "m" | Valid values are between "2" and "100".'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (m = 101)$$, '22023 | value 101 out of bounds for option "m" | Valid values are between "2" and "100".'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (ef_construction = 3)$$, '22023 | value 3 out of bounds for option "ef_construction" | Valid values are between "4" and "1000".'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (ef_construction = 1001)$$, '22023 | value 1001 out of bounds for option "ef_construction" | Valid values are between "4" and "1000".'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 31)$$, '22023 | ef_construction must be greater than or equal to 2 * m'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (m = many)$$, '22023 | invalid value for integer option "m": many'),
	($$CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (lists = 100)$$, '22023 | unrecognized parameter "lists"'),
	($$ALTER INDEX items_v SET (m = 0)$$, '22023 | value 0 out of bounds for option "m" | Valid values are between "2" and "100".'),
	-- rows and queries
	($$INSERT INTO items (v) VALUES ('[1,2]')$$, '22000 | expected 3 dimensions, not 2'),
	($$SELECT id FROM items ORDER BY v <-> '[1,2]' LIMIT 1$$, '22000 | different vector dimensions 2 and 3'),
	($$SELECT id FROM items ORDER BY v <-> '[1,NaN,2]' LIMIT 1$$, '22000 | NaN not allowed in vector'),
	-- bits and sparse vectors
	($$CREATE INDEX ON items USING hnsw (wide bit_hamming_ops)$$, '54000 | column cannot have more than 64000 dimensions for hnsw index'),
	($$CREATE INDEX ON items USING hnsw (any_b bit_jaccard_ops)$$, '0A000 | type not supported for hnsw index'),
	($$CREATE INDEX ON items USING hnsw (b vector_l2_ops)$$, '42804 | operator class "vector_l2_ops" does not accept data type bit'),
	($$CREATE INDEX ON items USING hnsw (any_s sparsevec_l2_ops)$$, '22023 | column does not have dimensions'),
	($$CREATE INDEX ON items USING hnsw (s vector_l2_ops)$$, '42804 | operator class "vector_l2_ops" does not accept data type sparsevec'),
	($$INSERT INTO items (b) VALUES (B'1')$$, '22026 | bit string length 1 does not match type bit(8)'),
	($$INSERT INTO items (s) VALUES ('{1:1}/3')$$, '22000 | expected 2000 dimensions, not 3'),
	($$INSERT INTO items (s) SELECT ('{' || string_agg(i || ':1', ',') || '}/2000')::sparsevec FROM generate_series(1, 1001) i$$, '54000 | sparsevec cannot have more than 1000 non-zero elements for hnsw index'),
	($$SELECT id FROM items ORDER BY b <~> B'1' LIMIT 1$$, '22000 | different bit lengths 1 and 8'),
	($$SELECT id FROM items ORDER BY s <-> '{1:1}/3' LIMIT 1$$, '22000 | different sparsevec dimensions 3 and 2000'),
	-- settings
	($$SET hnsw.ef_search = 0$$, '22023 | 0 is outside the valid range for parameter "hnsw.ef_search" (1 .. 10000)'),
	($$SET hnsw.ef_search = 10001$$, '22023 | 10001 is outside the valid range for parameter "hnsw.ef_search" (1 .. 10000)'),
	($$SET hnsw.iterative_scan = 'on'$$, '22023 | invalid value for parameter "hnsw.iterative_scan": "on" | Available values: off, relaxed_order, strict_order.'),
	($$SET hnsw.max_scan_tuples = 0$$, '22023 | 0 is outside the valid range for parameter "hnsw.max_scan_tuples" (1 .. 2147483647)'),
	($$SET hnsw.scan_mem_multiplier = 0.5$$, '22023 | 0.5 is outside the valid range for parameter "hnsw.scan_mem_multiplier" (1 .. 1000)'),
	($$SET hnsw.no_such_setting = 1$$, '42602 | invalid configuration parameter name "hnsw.no_such_setting" | "hnsw" is a reserved prefix.'),
	-- looking into indexes
	($$SELECT * FROM hnsw_check('items')$$, '42809 | "items" is not an hnsw index | Indexes of this table: items_v, items_b, items_s.');

SELECT statement, found FROM (SELECT *, failure(statement) AS found FROM errors) s WHERE found IS DISTINCT FROM message;
SELECT count(*) AS errors FROM errors;

DROP OPERATOR CLASS odd_ops USING hnsw;
DROP TABLE items, errors;
DROP FUNCTION failure;
