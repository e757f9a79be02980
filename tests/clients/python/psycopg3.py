"""pgvector with psycopg 3: parameters as text and binary, COPY as both."""

import psycopg
from pgvector import Bit, HalfVector, SparseVector, Vector
from pgvector.psycopg import register_vector
from vectors import QUERY, ROWS, bits, check

connection = psycopg.connect(autocommit=True)
connection.execute('CREATE EXTENSION IF NOT EXISTS vector')
register_vector(connection)
connection.execute('CREATE TABLE items (id bigserial PRIMARY KEY, v vector(3), h halfvec(3), s sparsevec(3), b bit(3))')


def values(row):
    return Vector(row), HalfVector(row), SparseVector(row), Bit(bits(row))


def bits_text(row):
    return ''.join('01'[bit] for bit in bits(row))


for row in ROWS[:100]:
    connection.execute('INSERT INTO items (v, h, s, b) VALUES (%s, %s, %s, %s)', values(row))
for row in ROWS[100:150]:
    connection.execute('INSERT INTO items (v, h, s, b) VALUES (%b, %b, %b, %b)', values(row))
for format, rows in ('BINARY', ROWS[150:200]), ('TEXT', ROWS[200:]):
    with connection.cursor().copy(f'COPY items (v, h, s, b) FROM STDIN WITH (FORMAT {format})') as copy:
        copy.set_types(['vector', 'halfvec', 'sparsevec', 'bit'])
        for row in rows:
            copy.write_row(values(row))

for binary in False, True:
    cursor = connection.cursor(binary=binary)
    for row, found in zip(ROWS, cursor.execute('SELECT v, h, s, b FROM items ORDER BY id'), strict=True):
        # psycopg hands bits out as they come.
        assert found[:3] == values(row)[:3] and found[3] in (bits_text(row), values(row)[3].to_binary()), (found, row)
with connection.cursor().copy('COPY (SELECT v, h FROM items ORDER BY id) TO STDOUT WITH (FORMAT BINARY)') as copy:
    copy.set_types(['vector', 'halfvec'])
    for row, found in zip(ROWS, copy.rows(), strict=True):
        assert found == values(row)[:2], (found, row)

there = {name for name, in connection.execute("SELECT opcname FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'hnsw'")}
classes = {'<->': 'l2_ops', '<#>': 'ip_ops', '<=>': 'cosine_ops', '<+>': 'l1_ops'}
columns = [(column, type, classes) for column, type in (('v', 'vector'), ('h', 'halfvec'), ('s', 'sparsevec'))]
columns.append(('b', 'bit', {'<~>': 'hamming_ops', '<%>': 'jaccard_ops'}))
connection.execute('SET enable_seqscan = off')
for column, type, operators in columns:
    for operator, operator_class in operators.items():
        if f'{type}_{operator_class}' in there:
            connection.execute(f'CREATE INDEX ON items USING hnsw ({column} {type}_{operator_class})')
        query = values(QUERY)['vhsb'.index(column)]
        written = operator.replace('%', '%%')
        statement = f'SELECT {column} {written} %s FROM items ORDER BY {column} {written} %s LIMIT 5'
        check(operator, [distance for distance, in connection.execute(statement, (query, query), binary=True)])
[average] = connection.execute('SELECT avg(v) FROM items').fetchone()
assert abs(average.to_list()[0] - sum(row[0] for row in ROWS) / len(ROWS)) < 1e-6
