"""pgvector with Django: migrations that create, change and remove ivfflat indexes."""

import os

import django
from django.conf import settings

settings.configure(DATABASES={'default': {
    'ENGINE': 'django.db.backends.postgresql', 'NAME': os.environ['PGDATABASE'], 'USER': 'postgres',
    'HOST': os.environ['PGHOST'], 'PORT': os.environ['PGPORT']}}, DEFAULT_AUTO_FIELD='django.db.models.BigAutoField')
django.setup()

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState
from pgvector import HalfVector
from pgvector.django import (BitField, CosineDistance, HalfVectorField, HammingDistance, IvfflatIndex, L2Distance,
                             MaxInnerProduct, VectorExtension, VectorField)
from vectors import QUERY, ROWS, bits, check


def index(field, opclass, lists=100):
    return IvfflatIndex(name=f'item_{opclass}', fields=[field], lists=lists, opclasses=[opclass])


def text_of(row):
    return ''.join('1' if bit else '0' for bit in bits(row))


def indexes():
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef ~ 'USING ivfflat' ORDER BY 1")
        return dict(cursor.fetchall())


def migrate(state, name, operations, atomic=True, backwards=False):
    migration = migrations.Migration(name, 'items')
    migration.operations, migration.atomic = operations, atomic
    with connection.schema_editor(atomic=atomic) as editor:
        return migration.unapply(state, editor) if backwards else migration.apply(state.clone(), editor)


first = migrate(ProjectState(), '0001_initial', [
    VectorExtension(),
    migrations.CreateModel(name='Item', fields=[
        ('id', models.BigAutoField(primary_key=True)), ('v', VectorField(dimensions=3)),
        ('h', HalfVectorField(dimensions=3)), ('b', BitField(length=3))]),
    migrations.AddIndex('item', index('v', 'vector_cosine_ops'))])
Item = first.apps.get_model('items', 'Item')
Item.objects.bulk_create([Item(v=row, h=HalfVector(row), b=text_of(row)) for row in ROWS])
more = [migrations.AddIndex('item', index('v', 'vector_ip_ops', 10)), migrations.AddIndex('item', index('h', 'halfvec_l2_ops')),
        migrations.AddIndex('item', index('b', 'bit_hamming_ops')), migrations.RemoveIndex('item', 'item_vector_cosine_ops')]
second = migrate(first, '0002_more', more)
third = migrate(second, '0003_concurrently', [AddIndexConcurrently('item', index('v', 'vector_l2_ops'))], atomic=False)
assert set(indexes()) == {'item_vector_ip_ops', 'item_halfvec_l2_ops', 'item_bit_hamming_ops', 'item_vector_l2_ops'}, indexes()
assert "WITH (lists='10')" in indexes()['item_vector_ip_ops'], indexes()
with connection.cursor() as cursor:
    cursor.execute('SET enable_seqscan = off')
    cursor.execute('SET ivfflat.probes = 10')
for operator, distance in {'<->': L2Distance('v', QUERY), '<#>': MaxInnerProduct('v', QUERY), '<=>': CosineDistance('v', QUERY),
                           '<~>': HammingDistance('b', text_of(QUERY))}.items():
    check(operator, Item.objects.annotate(distance=distance).order_by(distance).values_list('distance', flat=True)[:5])
distance = L2Distance('h', HalfVector(QUERY))
check('<->', Item.objects.annotate(distance=distance).order_by(distance).values_list('distance', flat=True)[:5])
migrate(first, '0002_more', more, backwards=True)
assert set(indexes()) == {'item_vector_cosine_ops', 'item_vector_l2_ops'}, indexes()
