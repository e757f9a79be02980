-- bad input that is reported without an ERROR: from PostgreSQL 16 on, and by COPY from 17 on

SELECT current_setting('server_version_num')::int >= 160000 AS can_ask, current_setting('server_version_num')::int >= 170000 AS can_copy \gset
\if :can_ask
\else
\quit
\endif

SELECT type, input, e.* FROM (VALUES
	('vector', '[1,2]'), ('vector', '[1,x]'), ('vector', '[1,2'), ('vector', '[]'), ('vector', '[NaN]'), ('vector', '[1e40]'), ('vector(3)', '[1,2]'),
	('halfvec', '[1,2]'), ('halfvec', '[x]'), ('halfvec', '[70000]'), ('halfvec(1)', '[1,2]'),
	('sparsevec', '{1:1}/2'), ('sparsevec', '{3:1}/2'), ('sparsevec', '{1:1,1:2}/2'), ('sparsevec', '{1:x}/2'), ('sparsevec(3)', '{1:1}/2')
	) AS i (type, input), LATERAL pg_input_error_info(input, type) AS e;
SELECT pg_input_is_valid('[1,2,3]', 'vector(3)') AS valid, pg_input_is_valid('[1,2]', 'vector(3)') AS other_dimensions,
	pg_input_is_valid('[1,2,3]'::text || repeat(' ', 100000), 'halfvec') AS long, pg_input_is_valid('{1:1}/0', 'sparsevec') AS empty;
-- ordinary input goes on raising
SELECT '[1,x]'::vector;

\if :can_copy
CREATE TABLE soft (id int, v vector(2), h halfvec, s sparsevec);
COPY soft FROM STDIN WITH (ON_ERROR ignore);
1	[1,2]	[1]	{1:1}/1
2	[1,2,3]	[1]	{1:1}/1
3	[1,2]	[x]	{1:1}/1
4	[1,2]	[1]	{2:1}/1
5	[3,4]	[1]	{1:1}/1
\.
SELECT id FROM soft ORDER BY id;
DROP TABLE soft;
\endif
