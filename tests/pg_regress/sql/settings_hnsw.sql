-- settings: names, defaults, ranges and what is said of values outside

-- the library is loaded by the first call of one of its functions
SELECT '[1]'::vector;
SELECT name, setting, vartype, context, min_val, max_val, enumvals, short_desc
	FROM pg_settings WHERE name ~ '^(hnsw|omendb)\.' ORDER BY name;

SHOW hnsw.ef_search;
SET hnsw.ef_search = 1;
SET hnsw.ef_search = 10000;
SET hnsw.ef_search = 0;
SET hnsw.ef_search = 10001;
SET hnsw.ef_search = -1;
SET hnsw.ef_search = 'many';
SHOW hnsw.ef_search;
SET "hnsw.ef_search" = '100';
SHOW hnsw.ef_search;
RESET hnsw.ef_search;

SHOW hnsw.iterative_scan;
SET hnsw.iterative_scan = off;
SET hnsw.iterative_scan = 'relaxed_order';
SET hnsw.iterative_scan = STRICT_ORDER;
SET hnsw.iterative_scan = on;
SET hnsw.iterative_scan = '';
SHOW hnsw.iterative_scan;
RESET hnsw.iterative_scan;

SHOW hnsw.max_scan_tuples;
SET hnsw.max_scan_tuples = 1;
SET hnsw.max_scan_tuples = 2147483647;
SET hnsw.max_scan_tuples = 0;
SET hnsw.max_scan_tuples = 2147483648;
RESET hnsw.max_scan_tuples;

SHOW hnsw.scan_mem_multiplier;
SET hnsw.scan_mem_multiplier = 1.5;
SET hnsw.scan_mem_multiplier = 1000;
SET hnsw.scan_mem_multiplier = 0.99;
SET hnsw.scan_mem_multiplier = 1000.1;
SET hnsw.scan_mem_multiplier = 'NaN';
SHOW hnsw.scan_mem_multiplier;

-- local to a transaction
BEGIN;
SET LOCAL hnsw.ef_search = 200;
SHOW hnsw.ef_search;
ROLLBACK;
SHOW hnsw.ef_search;

-- names that do not exist are not silently taken
SET hnsw.ef_serach = 100;
SET omendb.no_such_setting = 1;
SET omendb.no_such_setting_either = off;

-- for a role and for a database
CREATE ROLE regress_omendb;
ALTER ROLE regress_omendb SET hnsw.ef_search = 77;
ALTER ROLE regress_omendb SET hnsw.ef_search = 0;
DROP ROLE regress_omendb;

-- a session that sets a value first and loads the library afterwards
\c
SET hnsw.ef_search = 123;
SET hnsw.iterative_scan = 'off';
SELECT '[1]'::vector;
SHOW hnsw.ef_search;
SHOW hnsw.iterative_scan;
\c
SET hnsw.ef_search = 0;
SET hnsw.no_such_setting = 1;
SELECT '[1]'::vector;
SHOW hnsw.ef_search;
