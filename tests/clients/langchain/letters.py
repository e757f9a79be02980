"""The texts of every script, an embedding under which like texts are near each other, and where they go."""

import os

from langchain_core.embeddings import Embeddings

TEXTS = ['a red apple', 'a green pear', 'the blue sea', 'the deep ocean', 'an old stone house']
URL = f"postgresql+psycopg://postgres@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"


class Letters(Embeddings):
    """Counts letters."""

    def embed_query(self, text):
        return [text.count(letter) + 0.01 for letter in 'abcdefghijklmnopqrstuvwxyz']

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]
