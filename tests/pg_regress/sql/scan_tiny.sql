-- vectors so short that squares of their values are too small for f32: every row comes, the nearest first

SET enable_seqscan = off;
CREATE TABLE tiny (id int, usual vector(64), v vector(64), s sparsevec(64));
INSERT INTO tiny SELECT i, usual, tiny, tiny::sparsevec FROM generate_series(1, 300) i,
	LATERAL (SELECT array_agg(hashint4(i * 64 + j) / 2147483648.0) AS a FROM generate_series(1, 64) j) a,
	LATERAL (SELECT a::vector AS usual, (SELECT array_agg(x * 1e-22 ORDER BY n) FROM unnest(a) WITH ORDINALITY AS u (x, n))::vector AS tiny) v;

-- Whether a search for all rows gives nearly all, and whether its first ten are among those of the usual vectors.
CREATE FUNCTION search(col text, cls text, op text, OUT nearly_all bool, OUT "distinct" bool, OUT nearest bool) LANGUAGE plpgsql AS $$
DECLARE
	found int[]; exact int[];
BEGIN
	EXECUTE format('CREATE INDEX tiny_index ON tiny USING hnsw (%s %s)', col, cls);
	EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM tiny ORDER BY %s %s (SELECT %1$s FROM tiny WHERE id = 7) LIMIT 1000) s', col, op)
		INTO found;
	EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM tiny ORDER BY usual %s (SELECT usual FROM tiny WHERE id = 7), id LIMIT 10) s', op)
		INTO exact;
	DROP INDEX tiny_index;
	nearly_all := cardinality(found) >= 297;
	"distinct" := cardinality(found) = (SELECT count(DISTINCT i) FROM unnest(found) i);
	nearest := (SELECT count(*) FROM unnest(found[:10]) i WHERE i = ANY (exact)) >= 9;
END $$;
SELECT op, s.* FROM (VALUES ('<->', 'vector_l2_ops'), ('<#>', 'vector_ip_ops'), ('<=>', 'vector_cosine_ops'), ('<+>', 'vector_l1_ops')) c (op, cls),
	search('v', cls, op) s;
SELECT op, s.* FROM (VALUES ('<->', 'sparsevec_l2_ops'), ('<#>', 'sparsevec_ip_ops'), ('<=>', 'sparsevec_cosine_ops'), ('<+>', 'sparsevec_l1_ops')) c (op, cls),
	search('s', cls, op) s;
DROP TABLE tiny;
DROP FUNCTION search;
