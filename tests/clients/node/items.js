// pgvector with node-postgres: types, arrays, COPY is not in it.
import assert from 'node:assert';
import pg from 'pg';
import pgvector from 'pgvector/pg';
import { SparseVector } from 'pgvector';

const rows = Array.from({ length: 300 }, (_, i) => [Math.sin(i * 1.3), Math.cos(i * 0.7), Math.sin(i * 2.1)]);
const query = [0.3, -0.2, 0.5];
const product = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const bits = (v) => v.map((x) => (x > 0 ? '1' : '0')).join('');
const distances = {
  '<->': (a, b) => Math.hypot(...a.map((x, i) => x - b[i])),
  '<#>': (a, b) => -product(a, b),
  '<=>': (a, b) => 1 - product(a, b) / Math.hypot(...a) / Math.hypot(...b),
  '<+>': (a, b) => a.reduce((sum, x, i) => sum + Math.abs(x - b[i]), 0),
  '<~>': (a, b) => [...bits(a)].filter((bit, i) => bit !== bits(b)[i]).length,
};

const client = new pg.Client({ user: 'postgres' });
await client.connect();
await client.query('CREATE EXTENSION IF NOT EXISTS vector');
await pgvector.registerTypes(client);
await client.query('CREATE TABLE items (id bigserial PRIMARY KEY, v vector(3), h halfvec(3), s sparsevec(3), b bit(3))');
for (const row of rows) {
  const dense = pgvector.toSql(row);
  await client.query('INSERT INTO items (v, h, s, b) VALUES ($1, $2, $3, $4)', [dense, dense, new SparseVector(row).toPostgres(), bits(row)]);
}
await client.query('SET enable_seqscan = off');
const { rows: there } = await client.query("SELECT opcname FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'hnsw'");
const columns = { v: 'vector', h: 'halfvec', s: 'sparsevec', b: 'bit' };
const classes = { '<->': 'l2_ops', '<#>': 'ip_ops', '<=>': 'cosine_ops', '<+>': 'l1_ops', '<~>': 'hamming_ops' };
for (const [column, type] of Object.entries(columns)) {
  for (const [operator, operatorClass] of Object.entries(classes)) {
    if ((column === 'b') !== (operator === '<~>')) continue;
    if (there.some(({ opcname }) => opcname === `${type}_${operatorClass}`))
      await client.query(`CREATE INDEX ON items USING hnsw (${column} ${type}_${operatorClass})`);
    const parameter = { v: pgvector.toSql(query), h: pgvector.toSql(query), s: new SparseVector(query).toPostgres(), b: bits(query) }[column];
    const { rows: found } = await client.query(
      `SELECT ${column} ${operator} $1 AS distance FROM items ORDER BY ${column} ${operator} $1 LIMIT 5`, [parameter]);
    const exact = rows.map((row) => distances[operator](row, query)).sort((a, b) => a - b).slice(0, 5);
    assert.equal(found.length, 5);
    found.forEach(({ distance }, i) => assert(Math.abs(distance - exact[i]) < 5e-3, `${column} ${operator}: ${distance}, not ${exact[i]}`));
  }
}
const { rows: stored } = await client.query('SELECT v, h, s FROM items ORDER BY id');
stored.forEach(({ v, h, s }, i) => {
  rows[i].forEach((x, at) => {
    assert(Math.abs(v[at] - x) < 1e-6 && Math.abs(h[at] - x) < 1e-3 && Math.abs(s.toArray()[at] - x) < 1e-6);
  });
});
await client.end();
