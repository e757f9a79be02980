"""pgvector with Django: the extension as a migration's operation, fields, indexes, distance functions."""

import os

import django
from django.conf import settings

settings.configure(DATABASES={'default': {
    'ENGINE': 'django.db.backends.postgresql', 'NAME': os.environ['PGDATABASE'], 'USER': 'postgres',
    'HOST': os.environ['PGHOST'], 'PORT': os.environ['PGPORT']}}, DEFAULT_AUTO_FIELD='django.db.models.BigAutoField')
django.setup()

from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState
from pgvector import HalfVector, SparseVector
from pgvector.django import (BitField, CosineDistance, HalfVectorField, HammingDistance, HnswIndex, JaccardDistance,
                             L1Distance, L2Distance, MaxInnerProduct, SparseVectorField, VectorExtension, VectorField)
from vectors import QUERY, ROWS, bits, check


class Item(models.Model):
    v = VectorField(dimensions=3)
    h = HalfVectorField(dimensions=3)
    s = SparseVectorField(dimensions=3)
    b = BitField(length=3)

    class Meta:
        app_label = 'items'
        indexes = [HnswIndex(name=f'items_{opclass}', fields=[field], m=16, ef_construction=64, opclasses=[opclass])
                   for field, opclass in (('v', 'vector_l2_ops'), ('v', 'vector_ip_ops'), ('v', 'vector_cosine_ops'),
                                          ('v', 'vector_l1_ops'), ('h', 'halfvec_l2_ops'))]


def text_of(row):
    return ''.join('1' if bit else '0' for bit in bits(row))


def listed(value):
    return value if isinstance(value, list) else value.to_list()


migration = migrations.Migration('first', 'items')
migration.operations = [VectorExtension()]
with connection.schema_editor() as editor:
    migration.apply(ProjectState(), editor)
    editor.create_model(Item)
Item.objects.bulk_create([Item(v=row, h=HalfVector(row), s=SparseVector(row), b=text_of(row)) for row in ROWS])
with connection.cursor() as cursor:
    cursor.execute('SET enable_seqscan = off')
for operator, distance in {
    '<->': L2Distance('v', QUERY), '<#>': MaxInnerProduct('v', QUERY), '<=>': CosineDistance('v', QUERY),
    '<+>': L1Distance('v', QUERY), '<~>': HammingDistance('b', text_of(QUERY)), '<%>': JaccardDistance('b', text_of(QUERY)),
}.items():
    check(operator, Item.objects.annotate(distance=distance).order_by(distance).values_list('distance', flat=True)[:5])
for distance in L2Distance('h', HalfVector(QUERY)), L2Distance('s', SparseVector(QUERY)):
    check('<->', Item.objects.annotate(distance=distance).order_by(distance).values_list('distance', flat=True)[:5])
for row, item in zip(ROWS, Item.objects.order_by('pk'), strict=True):
    assert list(item.v) == listed(item.h) == listed(item.s) == row, item
