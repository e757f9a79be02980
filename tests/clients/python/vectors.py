"""The rows of every script, what is nearest in them, and where they go."""

import math
import os

# Multiples of a 64th: floats of any width hold them exactly.
ROWS = [[round(64 * x) / 64 for x in (math.sin(i * 1.3), math.cos(i * 0.7), math.sin(i * 2.1))] for i in range(1, 301)]
QUERY = [0.3, -0.2, 0.5]


def bits(vector):
    return [x > 0 for x in vector]


def hamming(a, b):
    return sum(x != y for x, y in zip(a, b))


def jaccard(a, b):
    either, both = sum(x or y for x, y in zip(a, b)), sum(x and y for x, y in zip(a, b))
    return 1 - both / either if both else 1


def inner_product(a, b):
    return sum(x * y for x, y in zip(a, b))


DISTANCES = {
    '<->': math.dist,
    '<#>': lambda a, b: -inner_product(a, b),
    '<=>': lambda a, b: 1 - inner_product(a, b) / math.hypot(*a) / math.hypot(*b),
    '<+>': lambda a, b: sum(abs(x - y) for x, y in zip(a, b)),
    '<~>': lambda a, b: hamming(bits(a), bits(b)),
    '<%>': lambda a, b: jaccard(bits(a), bits(b)),
}


def check(operator, found, count=5):
    """The distances found are the smallest that there are. (Halves are rounded.)"""
    exact = sorted(DISTANCES[operator](row, QUERY) for row in ROWS)[:count]
    found = [float(distance) for distance in found]
    assert len(found) == count, (operator, found)
    assert all(math.isclose(a, b, abs_tol=5e-3) for a, b in zip(found, exact)), (operator, found, exact)


def url(scheme):
    return f"{scheme}://postgres@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"
