"""langchain-postgres: its store of today and the one before."""

from langchain_postgres import PGEngine, PGVector, PGVectorStore
from langchain_postgres.v2.indexes import DistanceStrategy, HNSWIndex, HNSWQueryOptions
from letters import TEXTS, URL, Letters

engine = PGEngine.from_connection_string(URL)
engine.init_vectorstore_table('items', 26)
for strategy in DistanceStrategy:
    store = PGVectorStore.create_sync(engine, Letters(), 'items', distance_strategy=strategy, index_query_options=HNSWQueryOptions(ef_search=100))
    if strategy == list(DistanceStrategy)[0]:
        ids = store.add_texts(TEXTS, metadatas=[{'place': i} for i in range(len(TEXTS))])
    store.apply_vector_index(HNSWIndex(name=f'items_{strategy.name.lower()}', distance_strategy=strategy, m=16, ef_construction=64))
    found = store.similarity_search_with_score('the deep ocean', k=2)
    assert len(found) == 2, found
    if strategy != DistanceStrategy.INNER_PRODUCT:
        assert found[0][0].page_content == 'the deep ocean' and abs(found[0][1]) < 1e-6, found
assert store.get_by_ids(ids[:1])[0].page_content == TEXTS[0]
assert store.is_valid_index('items_euclidean')
store.reindex('items_euclidean')
store.delete(ids[:1])
assert len(store.similarity_search('apple', k=10)) == len(TEXTS) - 1

old = PGVector(embeddings=Letters(), collection_name='texts', connection=URL, use_jsonb=True)
old.add_texts(TEXTS, ids=[str(i) for i in range(len(TEXTS))], metadatas=[{'place': i} for i in range(len(TEXTS))])
[(document, distance)] = old.similarity_search_with_score('a red apple', k=1)
assert document.page_content == 'a red apple' and abs(distance) < 1e-6
[document] = old.similarity_search('a red apple', k=1, filter={'place': {'$between': (2, 3)}})
assert document.metadata['place'] in (2, 3)
assert len(old.max_marginal_relevance_search('sea', k=3)) == 3
