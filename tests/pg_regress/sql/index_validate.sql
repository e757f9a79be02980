-- amvalidate() of operator classes, and indexes by broken ones

\set SHOW_CONTEXT never
-- all classes of the extension are valid
SELECT amname, opcname FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname IN ('hnsw', 'ivfflat') AND NOT amvalidate(c.oid);

CREATE FUNCTION as_text(point) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1::text';
CREATE FUNCTION of_two(point, int) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT 1::int8';
CREATE FUNCTION of_circle(circle) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT 1::int8';
CREATE FUNCTION of_point(point) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1[0]::int8';
CREATE TYPE feeling AS ENUM ('sad', 'ok');
CREATE OPERATOR CLASS valid_point FOR TYPE point USING hnsw AS OPERATOR 3 ~=, FUNCTION 4 of_point(point);
CREATE OPERATOR CLASS valid_array FOR TYPE int4[] USING hnsw AS OPERATOR 3 = (anyarray, anyarray);
CREATE OPERATOR CLASS valid_enum FOR TYPE feeling USING hnsw AS OPERATOR 3 = (anyenum, anyenum);
CREATE OPERATOR CLASS valid_vector FOR TYPE vector USING hnsw AS OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vector_l2_squared_distance(vector, vector);
CREATE OPERATOR CLASS key_returns_text FOR TYPE point USING hnsw AS OPERATOR 3 ~=, FUNCTION 4 as_text(point);
CREATE OPERATOR CLASS key_takes_two FOR TYPE point USING hnsw AS OPERATOR 3 ~=, FUNCTION 4 of_two(point, int);
CREATE OPERATOR CLASS key_takes_circle FOR TYPE point USING hnsw AS OPERATOR 3 ~=, FUNCTION 4 (point, point) of_circle(circle);
CREATE OPERATOR CLASS key_is_missing FOR TYPE point USING hnsw AS OPERATOR 3 ~=;
CREATE OPERATOR CLASS key_of_two_types FOR TYPE point USING hnsw AS OPERATOR 3 ~=, FUNCTION 4 of_point(point), FUNCTION 4 (point, circle) of_point(point);
CREATE OPERATOR CLASS distance_is_missing FOR TYPE vector USING hnsw AS OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS distance_is_none FOR TYPE vector USING hnsw AS OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vector_dims(vector);
CREATE OPERATOR CLASS strategies FOR TYPE vector USING hnsw AS OPERATOR 4 <-> (vector, vector) FOR ORDER BY float_ops, OPERATOR 9 = (vector, vector),
	FUNCTION 1 vector_l2_squared_distance(vector, vector);
CREATE OPERATOR CLASS norms FOR TYPE vector USING ivfflat AS OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vector_l2_squared_distance(vector, vector), FUNCTION 4 vector_l2_squared_distance(vector, vector);
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname ~ '^(valid|key|distance|strategies|norms)' ORDER BY opcname;

-- what cannot be read is refused when an index is created
CREATE TABLE places (embedding vector(3), place point);
CREATE INDEX ON places USING hnsw (embedding vector_l2_ops, place key_returns_text);
CREATE INDEX ON places USING hnsw (embedding vector_l2_ops, place key_takes_two);
CREATE INDEX ON places USING hnsw (embedding vector_l2_ops, place key_takes_circle);
CREATE INDEX ON places USING hnsw (embedding vector_l2_ops, place key_is_missing);
CREATE INDEX ON places USING hnsw (embedding distance_is_missing);
CREATE INDEX ON places USING hnsw (embedding distance_is_none);
CREATE INDEX ON places USING hnsw (embedding valid_vector, place valid_point);
DROP TABLE places;
DO $$
DECLARE
	family text;
BEGIN
	FOR family IN SELECT format('%I USING %I', opfname, amname) FROM pg_opfamily f JOIN pg_am a ON a.oid = opfmethod
		WHERE opfname ~ '^(valid|key|distance|strategies|norms)' LOOP
		EXECUTE 'DROP OPERATOR FAMILY ' || family;
	END LOOP;
END $$;
DROP FUNCTION as_text, of_two, of_circle, of_point;
DROP TYPE feeling;
