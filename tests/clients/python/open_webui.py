"""The SQL of Open WebUI's vector store, typed anew: its table, the ivfflat index that it creates at every start, its searches.

Open WebUI itself needs a server of its own. Its statements are those of version 0.6 with the settings that it has by default.
"""

import json

import psycopg2
from vectors import DISTANCES, QUERY, ROWS, check

DIMENSIONS = 1536


def padded(row):
    """Vectors shorter than the column are filled up with zeros."""
    return row + [0.0] * (DIMENSIONS - len(row))


def start(connection):
    """Begins as the application does, whether the table is there or not. Says which index it meets."""
    cursor = connection.cursor()
    cursor.execute("""
        DO $$
        BEGIN
        IF NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector') THEN
            CREATE EXTENSION IF NOT EXISTS vector;
        END IF;
        END $$""")
    cursor.execute(f"""CREATE TABLE IF NOT EXISTS document_chunk (id TEXT NOT NULL, vector VECTOR({DIMENSIONS}),
        collection_name TEXT NOT NULL, text TEXT, vmetadata JSONB, PRIMARY KEY (id))""")
    cursor.execute("""SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()
        AND tablename = 'document_chunk' AND indexname = %s""", ('idx_document_chunk_vector',))
    met = cursor.fetchone()
    if not met:
        cursor.execute('CREATE INDEX IF NOT EXISTS idx_document_chunk_vector ON document_chunk '
                       'USING ivfflat (vector vector_cosine_ops) WITH (lists = 100)')
    cursor.execute('CREATE INDEX IF NOT EXISTS idx_document_chunk_collection_name ON document_chunk (collection_name);')
    connection.commit()
    return met and met[0].lower().split('using ', 1)[1].split()[0]


def add(connection, collection, rows):
    cursor = connection.cursor()
    cursor.executemany('INSERT INTO document_chunk (id, vector, collection_name, text, vmetadata) VALUES (%s, %s, %s, %s, %s::JSONB)', [
        (f'{collection} {i}', str(padded(row)), collection, f'text {i}', json.dumps({'file_id': i})) for i, row in enumerate(rows)])
    connection.commit()


def search(connection, collection, queries, limit):
    """Distances of what is nearest to each query."""
    cursor = connection.cursor()
    values = ', '.join(f'(%s, CAST(ARRAY[{", ".join(["%s"] * DIMENSIONS)}] AS VECTOR({DIMENSIONS})))' for _ in queries)
    parameters = [value for i, query in enumerate(queries) for value in [i, *padded(query)]]
    cursor.execute(f"""SELECT query_vectors.qid, result.id, result.text, result.vmetadata, result.distance
        FROM (VALUES {values}) AS query_vectors (qid, q_vector) JOIN LATERAL
        (SELECT document_chunk.id AS id, document_chunk.text AS text, document_chunk.vmetadata AS vmetadata,
            document_chunk.vector <=> query_vectors.q_vector AS distance FROM document_chunk
         WHERE document_chunk.collection_name = %s ORDER BY document_chunk.vector <=> query_vectors.q_vector LIMIT %s) AS result ON true
        ORDER BY query_vectors.qid, result.distance""", [*parameters, collection, limit])
    found = [[] for _ in queries]
    for qid, _, _, _, distance in cursor.fetchall():
        found[qid].append(distance)
    connection.rollback()
    return found


connection = psycopg2.connect('')
assert start(connection) is None
assert not connection.notices, connection.notices
assert search(connection, 'notes', [QUERY], 5) == [[]]
add(connection, 'notes', ROWS)
add(connection, 'others', [[-x for x in row] for row in ROWS])
assert start(connection) == 'ivfflat'
# As the planner chooses, and by the index alone.
for enable in 'on', 'off':
    for setting in 'enable_seqscan', 'enable_bitmapscan', 'enable_sort':
        connection.cursor().execute(f'SET {setting} = {enable}')
    connection.commit()
    for found in search(connection, 'notes', [QUERY, QUERY], 5):
        check('<=>', found)
    [nearest] = search(connection, 'others', [QUERY], 5)
    assert abs(nearest[0] - min(DISTANCES['<=>']([-x for x in row], QUERY) for row in ROWS)) < 5e-3, nearest
cursor = connection.cursor()
cursor.execute("DELETE FROM document_chunk WHERE collection_name = 'notes' AND vmetadata ->> 'file_id' = '7'")
assert cursor.rowcount == 1
cursor.execute("UPDATE document_chunk SET vector = %s, text = 'changed' WHERE id = 'notes 8'", (str(padded(QUERY)),))
connection.commit()
[nearest] = search(connection, 'notes', [QUERY], 1)
assert abs(nearest[0]) < 1e-6, nearest
