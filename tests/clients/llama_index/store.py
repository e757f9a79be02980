"""llama-index's vector store for PostgreSQL, with an hnsw index on vector and on halfvec."""

import math
import os

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.vector_stores.postgres import PGVectorStore

HNSW = {'hnsw_m': 16, 'hnsw_ef_construction': 64, 'hnsw_ef_search': 100}
ROWS = [[math.sin(i * 1.3), math.cos(i * 0.7), math.sin(i * 2.1)] for i in range(200)]

for use_halfvec, operator_class in (False, 'vector_cosine_ops'), (True, 'halfvec_l2_ops'):
    store = PGVectorStore.from_params(
        host=os.environ['PGHOST'], port=os.environ['PGPORT'], database=os.environ['PGDATABASE'], user='postgres',
        password='', table_name=operator_class, embed_dim=3, use_halfvec=use_halfvec,
        hnsw_kwargs=HNSW | {'hnsw_dist_method': operator_class})
    nodes = [TextNode(id_=str(i), text=f'node {i}', embedding=row, metadata={'even': i % 2},
                      relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f'document {i}')})
             for i, row in enumerate(ROWS)]
    store.add(nodes)
    for i in 0, 77, 199:
        found = store.query(VectorStoreQuery(query_embedding=ROWS[i], similarity_top_k=5))
        assert found.ids[0] == str(i) and len(found.ids) == 5, (i, found.ids)
        assert math.isclose(found.similarities[0], 1, abs_tol=1e-3), found.similarities
    # For a table whose index is ivfflat.
    assert store.query(VectorStoreQuery(query_embedding=ROWS[77], similarity_top_k=5), ivfflat_probes=10).ids[0] == '77'
    odd = MetadataFilters(filters=[MetadataFilter(key='even', value=1)])
    found = store.query(VectorStoreQuery(query_embedding=ROWS[0], similarity_top_k=5, filters=odd))
    assert len(found.ids) == 5 and all(int(i) % 2 for i in found.ids), found.ids
    store.delete('document 77')
    assert '77' not in store.query(VectorStoreQuery(query_embedding=ROWS[77], similarity_top_k=5)).ids
