"""pgvector with SQLAlchemy: ivfflat indexes, with an expression and by the default class, reflected and created anew."""

from pgvector import HalfVector
from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from sqlalchemy import Column, Index, Integer, MetaData, Table, cast, create_engine, insert, inspect, select, text
from vectors import QUERY, ROWS, bits, check, url

engine = create_engine(url('postgresql+psycopg'))
items = Table('items', MetaData(), Column('id', Integer, primary_key=True), Column('v', VECTOR(3)), Column('h', HALFVEC(3)), Column('b', BIT(3)))
for column, operator_class in ('v', 'vector_ip_ops'), ('v', 'vector_cosine_ops'), ('h', 'halfvec_cosine_ops'), ('b', 'bit_hamming_ops'):
    Index(f'items_{operator_class}', items.c[column], postgresql_using='ivfflat', postgresql_with={'lists': 100}, postgresql_ops={column: operator_class})
Index('items_default', items.c.v, postgresql_using='ivfflat')
Index('items_cast', cast(items.c.v, HALFVEC(3)).label('half'), postgresql_using='ivfflat', postgresql_with={'lists': 1},
      postgresql_ops={'half': 'halfvec_l2_ops'})


def text_of(row):
    return ''.join('1' if bit else '0' for bit in bits(row))


def checked(connection):
    connection.execute(text('SET LOCAL enable_seqscan = off'))
    connection.execute(text('SET LOCAL ivfflat.probes = 10'))
    for operator, distance in {
        '<->': items.c.v.l2_distance(QUERY), '<#>': items.c.v.max_inner_product(QUERY), '<=>': items.c.v.cosine_distance(QUERY),
        '<~>': items.c.b.hamming_distance(text_of(QUERY)),
    }.items():
        check(operator, connection.scalars(select(distance).order_by(distance).limit(5)))
    for operator, distance in {'<=>': items.c.h.cosine_distance(HalfVector(QUERY)),
                               '<->': cast(items.c.v, HALFVEC(3)).l2_distance(HalfVector(QUERY))}.items():
        check(operator, connection.scalars(select(distance).order_by(distance).limit(5)))


with engine.begin() as connection:
    connection.execute(text('CREATE EXTENSION IF NOT EXISTS vector'))
    items.metadata.create_all(connection)
    connection.execute(insert(items), [{'v': row, 'h': HalfVector(row), 'b': text_of(row)} for row in ROWS])
    checked(connection)
    found = {index['name']: index['dialect_options'] for index in inspect(connection).get_indexes('items')}
    assert len(found) == 6 and all(options['postgresql_using'] == 'ivfflat' for options in found.values()), found
    assert found['items_vector_ip_ops']['postgresql_with'] == {'lists': '100'}, found
    # A reflected index can be created again.
    reflected = Table('items', MetaData(), autoload_with=connection)
    [index] = [index for index in reflected.indexes if index.name == 'items_vector_cosine_ops']
    index.drop(connection)
    index.create(connection)
    checked(connection)
