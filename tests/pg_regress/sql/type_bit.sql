-- bit: distances

SELECT hamming_distance('111', '110'), hamming_distance('111', '111'), hamming_distance('111', '000'), hamming_distance('', ''), B'10110' <~> B'01101';
SELECT jaccard_distance('1111', '1110'), jaccard_distance('1111', '1111'), jaccard_distance('1100', '1000'), jaccard_distance('1100', '0011'), jaccard_distance('0000', '0000'), jaccard_distance('', ''), B'1100' <%> B'1010';
SELECT hamming_distance('1', NULL), NULL::bit <%> '1';
SELECT hamming_distance('111', '00');
SELECT jaccard_distance('111', '00');
SELECT B'1' <~> B'';

-- every length, since kernels take several words at a time
SELECT count(*) FILTER (WHERE ones <~> zeroes = n AND ones <~> ones = 0 AND ones <%> zeroes = 1 AND ones <%> ones = 0
	AND ones <~> mixed = n / 2 AND abs((ones <%> mixed) - (n / 2)::float8 / n) < 1e-9) AS right_lengths
FROM generate_series(1, 1100) n,
	LATERAL (SELECT binary_quantize(array_fill(1, ARRAY[n])::vector) AS ones, binary_quantize(array_fill(0, ARRAY[n])::vector) AS zeroes,
		binary_quantize((SELECT array_agg(i % 2) FROM generate_series(1, n) i)::vector) AS mixed) s;

-- stored in line and out of line
CREATE TABLE bits (id int, b bit(64000));
INSERT INTO bits SELECT i, repeat(i::bit(8)::text, 8000)::varbit::bit(64000) FROM generate_series(0, 255) i;
ALTER TABLE bits ALTER COLUMN b SET STORAGE EXTERNAL;
INSERT INTO bits SELECT 256 + id, b FROM bits;
SELECT a.id, b.id, a.b <~> b.b AS hamming, a.b <%> b.b AS jaccard FROM bits a, bits b WHERE (a.id, b.id) IN ((0, 255), (255, 256), (15, 240), (15, 255), (7, 263), (1, 259)) ORDER BY 1, 2;
SELECT id, b <~> (SELECT b FROM bits WHERE id = 3) AS distance FROM bits ORDER BY distance, id LIMIT 5;
DROP TABLE bits;

-- as the planner sees them
SELECT oprname, oprcode::regprocedure, oprcom::regoperator, oprrest FROM pg_operator WHERE oprcode IN ('hamming_distance'::regproc, 'jaccard_distance'::regproc) ORDER BY 1;
SELECT proname, pg_get_function_identity_arguments(oid), provolatile, proisstrict, proparallel FROM pg_proc WHERE proname IN ('hamming_distance', 'jaccard_distance') ORDER BY 1;
