"""pgvector with asyncpg: binary, COPY."""

import asyncio

import asyncpg
from pgvector import HalfVector, SparseVector, Vector
from pgvector.asyncpg import register_vector
from vectors import QUERY, ROWS, check


def values(row):
    return Vector(row), HalfVector(row), SparseVector(row)


async def main():
    connection = await asyncpg.connect()
    await connection.execute('CREATE EXTENSION IF NOT EXISTS vector')
    await register_vector(connection)
    await connection.execute('CREATE TABLE items (id bigserial PRIMARY KEY, v vector(3), h halfvec(3), s sparsevec(3))')
    await connection.executemany('INSERT INTO items (v, h, s) VALUES ($1, $2, $3)', [values(row) for row in ROWS[:150]])
    await connection.copy_records_to_table('items', records=[values(row) for row in ROWS[150:]], columns=['v', 'h', 's'])
    for row, found in zip(ROWS, await connection.fetch('SELECT v, h, s FROM items ORDER BY id'), strict=True):
        assert tuple(found) == values(row), (found, row)
    await connection.execute('SET enable_seqscan = off')
    for operator, operator_class in {'<->': 'l2', '<#>': 'ip', '<=>': 'cosine', '<+>': 'l1'}.items():
        await connection.execute(f'CREATE INDEX ON items USING hnsw (v vector_{operator_class}_ops)')
        statement = f'SELECT v {operator} $1 FROM items ORDER BY v {operator} $1 LIMIT 5'
        check(operator, [distance for distance, in await connection.fetch(statement, Vector(QUERY))])
    await connection.close()


asyncio.run(main())
