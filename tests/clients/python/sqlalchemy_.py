"""pgvector with SQLAlchemy: types, indexes, distance methods, reflection."""

from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR, avg
from pgvector import HalfVector, SparseVector
from sqlalchemy import Column, Index, Integer, MetaData, Table, create_engine, func, insert, inspect, select, text
from vectors import QUERY, ROWS, bits, check, url

engine = create_engine(url('postgresql+psycopg'))
items = Table('items', MetaData(), Column('id', Integer, primary_key=True), Column('v', VECTOR(3)),
              Column('h', HALFVEC(3)), Column('s', SPARSEVEC(3)), Column('b', BIT(3)))
for column, operator_class in ('v', 'vector_l2_ops'), ('v', 'vector_ip_ops'), ('v', 'vector_cosine_ops'), ('v', 'vector_l1_ops'), ('h', 'halfvec_l2_ops'):
    Index(f'items_{operator_class}', items.c[column], postgresql_using='hnsw',
          postgresql_with={'m': 16, 'ef_construction': 64}, postgresql_ops={column: operator_class})


def text_of(row):
    return ''.join('1' if bit else '0' for bit in bits(row))


def listed(value):
    return value if isinstance(value, list) else value.to_list()


with engine.begin() as connection:
    connection.execute(text('CREATE EXTENSION IF NOT EXISTS vector'))
    items.metadata.create_all(connection)
    connection.execute(insert(items), [
        {'v': row, 'h': HalfVector(row), 's': SparseVector(row), 'b': text_of(row)} for row in ROWS])
    connection.execute(text('SET LOCAL enable_seqscan = off'))
    for operator, distance in {
        '<->': items.c.v.l2_distance(QUERY), '<#>': items.c.v.max_inner_product(QUERY),
        '<=>': items.c.v.cosine_distance(QUERY), '<+>': items.c.v.l1_distance(QUERY),
        '<~>': items.c.b.hamming_distance(text_of(QUERY)), '<%>': items.c.b.jaccard_distance(text_of(QUERY)),
    }.items():
        check(operator, connection.scalars(select(distance).order_by(distance).limit(5)))
    check('<->', connection.scalars(select(items.c.h.l2_distance(QUERY)).order_by(items.c.h.l2_distance(QUERY)).limit(5)))
    check('<=>', connection.scalars(select(items.c.s.cosine_distance(SparseVector(QUERY))).order_by(items.c.s.cosine_distance(SparseVector(QUERY))).limit(5)))
    for row, found in zip(ROWS, connection.execute(select(items.c.v, items.c.h, items.c.s).order_by(items.c.id)), strict=True):
        assert [listed(value) for value in found] == [row] * 3, (found, row)
    assert connection.scalar(select(func.count()).select_from(select(avg(items.c.v)).subquery())) == 1
    types = {column['name']: str(column['type']) for column in inspect(connection).get_columns('items')}
    assert types['v'] == 'VECTOR(3)' and types['h'] == 'HALFVEC(3)' and types['s'] == 'SPARSEVEC(3)', types
