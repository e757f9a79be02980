-- Loads the demo data: 5,000 WordNet entries and 100 more as queries, each with its embedding.
--
-- The psql variable `demo` names this folder by its absolute path; the server reads it:
--     psql -v demo="$PWD/demo" -f demo/load.sql
--
-- Components are whole numbers (the embeddings at 8 bits), so sums over them are exact in float4 and
-- L2 distances and inner products come out the same from every kernel on every machine.

CREATE TABLE wordnet (
  id int PRIMARY KEY,
  topic text NOT NULL,
  text text NOT NULL,
  embedding vector(384) NOT NULL
);

-- `nearest`: the ids of the 10 nearest entries by L2 distance, from exact search.
CREATE TABLE wordnet_query (
  id int PRIMARY KEY,
  text text NOT NULL,
  embedding vector(384) NOT NULL,
  nearest int[] NOT NULL
);

\set wordnet 'gzip -dc ''' :demo '/wordnet.tsv.gz'''
COPY wordnet FROM PROGRAM :'wordnet';
\set wordnet_query 'gzip -dc ''' :demo '/wordnet_query.tsv.gz'''
COPY wordnet_query FROM PROGRAM :'wordnet_query';
ANALYZE wordnet, wordnet_query;
