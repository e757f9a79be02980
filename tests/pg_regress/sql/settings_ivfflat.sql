-- settings of ivfflat: names, defaults, ranges, everywhere that a real setting is; what they do not do is in ivfflat_index

SELECT '[1]'::vector;
SELECT name, setting, vartype, context, min_val, max_val, enumvals, short_desc
	FROM pg_settings WHERE name ~ '^ivfflat\.' ORDER BY name;

SHOW ivfflat.probes;
SET ivfflat.probes = 32768;
SET ivfflat.probes = 0;
SET ivfflat.probes = 32769;
SET ivfflat.probes = 'many';
SHOW ivfflat.probes;
RESET ivfflat.probes;

SHOW ivfflat.iterative_scan;
SET ivfflat.iterative_scan = 'relaxed_order';
SHOW ivfflat.iterative_scan;
SET ivfflat.iterative_scan = off;
SET ivfflat.iterative_scan = strict_order;
SET ivfflat.iterative_scan = on;
RESET ivfflat.iterative_scan;

SHOW ivfflat.max_probes;
SET ivfflat.max_probes = 1;
SET ivfflat.max_probes = 0;
SET ivfflat.max_probes = 32769;
RESET ivfflat.max_probes;

BEGIN;
SET LOCAL ivfflat.probes = 10;
SELECT current_setting('ivfflat.probes'), set_config('ivfflat.probes', '20', true);
ROLLBACK;
SHOW ivfflat.probes;
SET ivfflat.no_such_setting = 1;

-- for a role and for a database, by someone who is not a superuser; for a function
SELECT current_database() AS database, current_user AS me \gset
CREATE ROLE regress_lists LOGIN;
CREATE DATABASE regress_lists OWNER regress_lists;
SET ROLE regress_lists;
ALTER ROLE regress_lists SET ivfflat.probes = 10;
ALTER DATABASE regress_lists SET ivfflat.iterative_scan = relaxed_order;
ALTER ROLE regress_lists IN DATABASE regress_lists SET ivfflat.max_probes = 100;
ALTER ROLE regress_lists SET ivfflat.probes = 0;
CREATE TEMPORARY TABLE none ();
CREATE FUNCTION pg_temp.probes() RETURNS text LANGUAGE sql SET ivfflat.probes = 7 AS $$SELECT current_setting('ivfflat.probes')$$;
CREATE FUNCTION pg_temp.none() RETURNS text LANGUAGE sql SET ivfflat.probes = 0 AS $$SELECT current_setting('ivfflat.probes')$$;
SELECT pg_temp.probes(), current_setting('ivfflat.probes');
RESET ROLE;
SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = 'regress_lists'::regrole OR setdatabase = (SELECT oid FROM pg_database WHERE datname = 'regress_lists') ORDER BY 1;
\c regress_lists
CREATE EXTENSION omendb;
\c - regress_lists
-- before the library is loaded, and after
SHOW ivfflat.probes;
SELECT '[1]'::vector;
SHOW ivfflat.probes;
SHOW ivfflat.iterative_scan;
SHOW ivfflat.max_probes;
\c :database :me
DROP DATABASE regress_lists;
DROP ROLE regress_lists;

-- a session that sets values first and loads the library afterwards
\c
SET ivfflat.probes = 10;
SELECT '[1]'::vector;
SHOW ivfflat.probes;
\c
SET ivfflat.probes = 0;
SELECT '[1]'::vector;
SHOW ivfflat.probes;
