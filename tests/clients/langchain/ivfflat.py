"""langchain-postgres with its IVFFlatIndex, created before there are texts and after."""

from langchain_postgres import PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import DistanceStrategy, IVFFlatIndex, IVFFlatQueryOptions
from letters import TEXTS, URL, Letters

engine = PGEngine.from_connection_string(URL)
for strategy in DistanceStrategy:
    table = f'items_{strategy.name.lower()}'
    engine.init_vectorstore_table(table, 26)
    store = PGVectorStore.create_sync(engine, Letters(), table, distance_strategy=strategy, index_query_options=IVFFlatQueryOptions(probes=10))
    index = IVFFlatIndex(name=f'{table}_index', distance_strategy=strategy, lists=100)
    store.apply_vector_index(index)
    ids = store.add_texts(TEXTS, metadatas=[{'place': i} for i in range(len(TEXTS))])
    for _ in 'before', 'after':
        assert store.is_valid_index(f'{table}_index')
        found = store.similarity_search_with_score('the deep ocean', k=2)
        assert len(found) == 2, found
        if strategy != DistanceStrategy.INNER_PRODUCT:
            assert found[0][0].page_content == 'the deep ocean' and abs(found[0][1]) < 1e-6, found
        store.reindex(f'{table}_index')
    store.drop_vector_index(f'{table}_index')
    store.apply_vector_index(index, concurrently=True)
    store.delete(ids[:1])
    assert len(store.similarity_search('apple', k=10)) == len(TEXTS) - 1
