-- The faults of an operator class, $1, and of its family, in the words of Postgres's own access methods (gistvalidate.c).
WITH class AS (
  SELECT c.oid, c.opcname, c.opcintype, c.opcmethod, f.oid AS family,
      format('operator family "%s" of access method %s contains ', f.opfname, a.amname) AS contains,
      format('operator class "%s" of access method %s is missing support function ', c.opcname, a.amname) AS is_missing,
      h.proname = 'ivfflathandler' AS is_of_lists
    FROM pg_opclass c JOIN pg_opfamily f ON f.oid = c.opcfamily JOIN pg_am a ON a.oid = c.opcmethod JOIN pg_proc h ON h.oid = a.amhandler
    WHERE c.oid = $1),
functions AS (
  SELECT c.contains, p.amprocnum AS number, p.amproc::regprocedure AS name, p.amproclefttype AS of_type, p.amprocrighttype AS other_type,
      (CASE WHEN c.is_of_lists THEN ARRAY['distance', 'norm', 'distance', 'norm', 'type'] ELSE ARRAY['distance', 'norm', 'type', 'key'] END)[p.amprocnum] AS kind,
      f.prorettype AS result, f.pronargs AS count,
      (SELECT bool_and(argument = p.amproclefttype OR pg_catalog.format_type(argument, NULL) ~ '^any'
          OR EXISTS (SELECT FROM pg_cast WHERE castsource = p.amproclefttype AND casttarget = argument AND castmethod = 'b'))
        FROM unnest(f.proargtypes) argument) AS takes_type,
      f.proargtypes[0] = 'internal'::regtype AS takes_internal
    FROM class c JOIN pg_amproc p ON p.amprocfamily = c.family JOIN pg_proc f ON f.oid = p.amproc),
operators AS (
  SELECT c.contains, o.amopstrategy AS strategy, o.amopopr::regoperator AS name, o.amoppurpose = 'o' AS orders, s.opfname AS sorted_by,
      p.oprresult AS result, p.oprleft = o.amoplefttype AND p.oprright = o.amoprighttype AS takes_types
    FROM class c JOIN pg_amop o ON o.amopfamily = c.family JOIN pg_operator p ON p.oid = o.amopopr LEFT JOIN pg_opfamily s ON s.oid = o.amopsortfamily)
SELECT contains || format('support function %s with different left and right input types', name) FROM functions WHERE of_type <> other_type
UNION ALL
SELECT contains || format('function %s with wrong signature for support number %s', name, number) FROM functions
  WHERE NOT coalesce(CASE kind
    WHEN 'distance' THEN result = 'float8'::regtype AND count = 2 AND takes_type
    WHEN 'norm' THEN result = 'float8'::regtype AND count = 1 AND takes_type
    WHEN 'type' THEN result = 'internal'::regtype AND count = 1 AND takes_internal
    WHEN 'key' THEN result = 'int8'::regtype AND count = 1 AND takes_type END, false)
UNION ALL
SELECT contains || format('operator %s with invalid strategy number %s', name, strategy) FROM operators WHERE strategy > 7 OR orders AND strategy <> 1
UNION ALL
SELECT contains || format('invalid ORDER BY specification for operator %s', name) FROM operators
  WHERE orders AND (sorted_by <> 'float_ops' OR result <> 'float8'::regtype)
UNION ALL
SELECT contains || format('operator %s with wrong signature', name) FROM operators WHERE NOT takes_types OR NOT orders AND result <> 'bool'::regtype
UNION ALL
SELECT is_missing || number FROM class c, LATERAL (
    SELECT EXISTS (SELECT FROM pg_amop WHERE amopfamily = family AND amoplefttype = opcintype AND amoppurpose = 'o') AS orders,
      array(SELECT amprocnum FROM pg_amproc WHERE amprocfamily = family AND amproclefttype = opcintype) AS present,
      -- Values of these types are read without a function.
      EXISTS (SELECT FROM pg_opclass o JOIN pg_depend d ON d.classid = 'pg_opclass'::regclass AND d.objid = o.oid AND d.deptype = 'e'
        WHERE o.opcmethod = c.opcmethod AND (o.opcintype = c.opcintype OR o.opcintype = 'anyarray'::regtype AND EXISTS (SELECT FROM pg_type WHERE typarray = c.opcintype)
            OR o.opcintype = 'anyenum'::regtype AND EXISTS (SELECT FROM pg_enum WHERE enumtypid = c.opcintype))
          AND NOT EXISTS (SELECT FROM pg_amproc WHERE amprocfamily = o.opcfamily AND amproclefttype = o.opcintype)) AS is_known) has,
  LATERAL (SELECT CASE WHEN orders THEN 1 ELSE 4 END AS number) missing
  WHERE NOT (missing.number = ANY (present)) AND NOT (NOT orders AND (is_known OR 1 = ANY (present)))
