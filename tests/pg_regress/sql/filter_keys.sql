-- hnsw: key columns beside the vector column: definitions, errors, plans, and rows as by a sequential scan

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

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE items (
	id int4 PRIMARY KEY, embedding vector(3), other halfvec(3), small int2, big int8, real4 float4, real8 float8, price numeric, flag bool,
	day date, at timestamp, at_tz timestamptz, clock time, object oid, letter "char", cash money, feeling mood, uid uuid, words text,
	short varchar(20), padded bpchar(20), system name, raw bytea, host inet, net cidr, span interval, tags text[], numbers int[],
	place point, amount positive, metadata jsonb
);

-- Definitions: one vector column at any place, expressions, domains, classes that are no default. pg_dump prints them so.
CREATE INDEX keys_1 ON items USING hnsw (embedding vector_l2_ops, id, price);
CREATE INDEX keys_2 ON items USING hnsw (small, big, embedding vector_cosine_ops, real4, real8);
CREATE INDEX keys_3 ON items USING hnsw (flag, day, at, at_tz, clock, object, letter, embedding vector_l1_ops);
CREATE INDEX keys_4 ON items USING hnsw (embedding vector_ip_ops, cash, feeling, uid, words, short, padded, system);
CREATE INDEX keys_5 ON items USING hnsw (other halfvec_l2_ops, raw, host, net, span, tags, numbers, amount);
CREATE INDEX keys_6 ON items USING hnsw (embedding vector_l2_ops, (metadata->>'source'), (id % 10), lower(words), words text_pattern_ops) WHERE id > 0;
SELECT pg_get_indexdef(oid) FROM pg_class WHERE relname ~ '^keys_\d$' ORDER BY relname;
DROP INDEX keys_1, keys_2, keys_3, keys_4, keys_5, keys_6;

CREATE TABLE errors (statement text, message text);
INSERT INTO errors VALUES
	($$CREATE INDEX ON items USING hnsw (id)$$, '0A000 | an hnsw index needs a column to order by | Name a vector column with its operator class before the columns to filter by, as in (embedding vector_l2_ops, tenant_id).'),
	($$CREATE INDEX ON items USING hnsw (id, price)$$, '0A000 | an hnsw index needs a column to order by | Name a vector column with its operator class before the columns to filter by, as in (embedding vector_l2_ops, tenant_id).'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, id, other halfvec_l2_ops)$$, '0A000 | an hnsw index has one column to order by, not 2 | Create an index for each vector column.'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, id, small, big, real4, real8, price, flag, day)$$, '54011 | an hnsw index has up to 7 columns to filter by, not 8'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, place)$$, '42704 | data type point has no default operator class for access method "hnsw" | You must specify an operator class for the index or define a default operator class for the data type.'),
	($$CREATE INDEX ON items USING hnsw (embedding, id)$$, '42704 | data type vector has no default operator class for access method "hnsw" | You must specify an operator class for the index or define a default operator class for the data type.'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) INCLUDE (id)$$, '0A000 | access method "hnsw" does not support included columns'),
	($$CREATE INDEX ON items USING hnsw (embedding vector_l2_ops, id DESC)$$, '0A000 | access method "hnsw" does not support ASC/DESC options'),
	($$CREATE INDEX ON items USING ivfflat (embedding vector_l2_ops, id)$$, '0A000 | access method "ivfflat" does not support multicolumn indexes');
SELECT statement, found FROM (SELECT *, failure(statement) AS found FROM errors) s WHERE found IS DISTINCT FROM message;

DROP TABLE items, errors;
DROP FUNCTION failure;
DROP DOMAIN positive;
DROP TYPE mood;
