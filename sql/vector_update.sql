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

-- Functions that only pgvector has, a later one perhaps, are looked for in the same library.
UPDATE pg_catalog.pg_proc SET probin = 'MODULE_PATHNAME'
	WHERE probin = '$libdir/vector' AND oid IN (
		SELECT objid FROM pg_catalog.pg_depend
			WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND deptype = 'e'
			AND refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
			AND refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'vector'));
