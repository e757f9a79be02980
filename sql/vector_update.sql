--
-- The end of the script that makes pgvector's objects omendb's. dev.d/alias.sh writes what comes before it.
--

ALTER OPERATOR <> (vector, vector) SET (RESTRICT = neqsel, JOIN = neqjoinsel);
ALTER OPERATOR <> (halfvec, halfvec) SET (RESTRICT = neqsel, JOIN = neqjoinsel);
ALTER OPERATOR <> (sparsevec, sparsevec) SET (RESTRICT = neqsel, JOIN = neqjoinsel);

-- HASHES and MERGES, for which ALTER OPERATOR has words from PostgreSQL 17 on.
UPDATE pg_catalog.pg_operator SET oprcanhash = true, oprcanmerge = true
	WHERE oprname = '=' AND oprleft = oprright
	AND oprleft IN ('vector'::pg_catalog.regtype, 'halfvec'::pg_catalog.regtype, 'sparsevec'::pg_catalog.regtype);

-- Bounds of distances in filters, for the operator classes made by pgvector.
ALTER OPERATOR FAMILY vector_l2_ops USING hnsw ADD OPERATOR 2 @<= (vector, float8);
ALTER OPERATOR FAMILY vector_ip_ops USING hnsw ADD OPERATOR 2 @<= (vector, float8);
ALTER OPERATOR FAMILY vector_cosine_ops USING hnsw ADD OPERATOR 2 @<= (vector, float8);
ALTER OPERATOR FAMILY vector_l1_ops USING hnsw ADD OPERATOR 2 @<= (vector, float8);
ALTER OPERATOR FAMILY halfvec_l2_ops USING hnsw ADD OPERATOR 2 @<= (halfvec, float8);
ALTER OPERATOR FAMILY halfvec_ip_ops USING hnsw ADD OPERATOR 2 @<= (halfvec, float8);
ALTER OPERATOR FAMILY halfvec_cosine_ops USING hnsw ADD OPERATOR 2 @<= (halfvec, float8);
ALTER OPERATOR FAMILY halfvec_l1_ops USING hnsw ADD OPERATOR 2 @<= (halfvec, float8);
ALTER OPERATOR FAMILY bit_hamming_ops USING hnsw ADD OPERATOR 2 @<= (bit, float8);
ALTER OPERATOR FAMILY bit_jaccard_ops USING hnsw ADD OPERATOR 2 @<= (bit, float8);
ALTER OPERATOR FAMILY sparsevec_l2_ops USING hnsw ADD OPERATOR 2 @<= (sparsevec, float8);
ALTER OPERATOR FAMILY sparsevec_ip_ops USING hnsw ADD OPERATOR 2 @<= (sparsevec, float8);
ALTER OPERATOR FAMILY sparsevec_cosine_ops USING hnsw ADD OPERATOR 2 @<= (sparsevec, float8);
ALTER OPERATOR FAMILY sparsevec_l1_ops USING hnsw ADD OPERATOR 2 @<= (sparsevec, float8);
ALTER OPERATOR FAMILY vector_l2_ops USING ivfflat ADD OPERATOR 2 @<= (vector, float8);
ALTER OPERATOR FAMILY vector_ip_ops USING ivfflat ADD OPERATOR 2 @<= (vector, float8);
ALTER OPERATOR FAMILY vector_cosine_ops USING ivfflat ADD OPERATOR 2 @<= (vector, float8);
ALTER OPERATOR FAMILY halfvec_l2_ops USING ivfflat ADD OPERATOR 2 @<= (halfvec, float8);
ALTER OPERATOR FAMILY halfvec_ip_ops USING ivfflat ADD OPERATOR 2 @<= (halfvec, float8);
ALTER OPERATOR FAMILY halfvec_cosine_ops USING ivfflat ADD OPERATOR 2 @<= (halfvec, float8);
ALTER OPERATOR FAMILY bit_hamming_ops USING ivfflat ADD OPERATOR 2 @<= (bit, float8);

-- Functions that only pgvector has, a later one perhaps, are looked for in the same library.
UPDATE pg_catalog.pg_proc SET probin = 'MODULE_PATHNAME'
	WHERE probin = '$libdir/vector' AND oid IN (
		SELECT objid FROM pg_catalog.pg_depend
			WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND deptype = 'e'
			AND refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
			AND refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'vector'));
