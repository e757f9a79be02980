"""pgvector with psycopg2: text."""

import numpy
import psycopg2
from pgvector import HalfVector, SparseVector
from pgvector.psycopg2 import register_vector
from vectors import QUERY, ROWS, check

connection = psycopg2.connect('')
connection.autocommit = True
cursor = connection.cursor()
cursor.execute('CREATE EXTENSION IF NOT EXISTS vector')
register_vector(connection, arrays=True)
cursor.execute('CREATE TABLE items (id bigserial PRIMARY KEY, v vector(3), h halfvec(3), s sparsevec(3), all_of_them vector[])')
for row in ROWS:
    vector = numpy.array(row)
    cursor.execute('INSERT INTO items (v, h, s, all_of_them) VALUES (%s, %s, %s, %s::vector[])', (vector, HalfVector(row), SparseVector(row), [vector]))
cursor.execute('SELECT v, h, s, all_of_them FROM items ORDER BY id')
for row, (v, h, s, [listed]) in zip(ROWS, cursor.fetchall(), strict=True):
    assert numpy.allclose(v, row) if isinstance(v, numpy.ndarray) else numpy.allclose(v.to_list(), row)
    assert h.to_list() == HalfVector(row).to_list() and s.to_list() == SparseVector(row).to_list() and listed is not None
cursor.execute('SET enable_seqscan = off')
for operator, operator_class in {'<->': 'l2', '<#>': 'ip', '<=>': 'cosine', '<+>': 'l1'}.items():
    cursor.execute(f'CREATE INDEX ON items USING hnsw (v vector_{operator_class}_ops)')
    cursor.execute(f'SELECT v {operator} %s FROM items ORDER BY v {operator} %s LIMIT 5', (numpy.array(QUERY),) * 2)
    check(operator, [distance for distance, in cursor.fetchall()])
