// The SQL of Mastra's PgVector, typed anew: a table with the ivfflat index that it creates unless asked for another, what it
// reads back of the two, its searches. (@mastra/pg itself brings the whole framework.)
import assert from 'node:assert';
import pg from 'pg';

const dimension = 3;
const rows = Array.from({ length: 300 }, (_, i) => [Math.sin(i * 1.3), Math.cos(i * 0.7), Math.sin(i * 2.1)]);
const query = [0.3, -0.2, 0.5];
const product = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const similarity = (a, b) => product(a, b) / Math.hypot(...a) / Math.hypot(...b);

const client = new pg.Client({ user: 'postgres' });
await client.connect();
const notices = [];
client.on('notice', ({ message }) => notices.push(message));

// The version decides which settings it may set.
const extension = "SELECT n.nspname AS schema_name, e.extversion AS version FROM pg_extension e JOIN pg_namespace n ON e.extnamespace = n.oid WHERE e.extname = 'vector' LIMIT 1";
assert.equal((await client.query(extension)).rows.length, 0);
await client.query('CREATE EXTENSION IF NOT EXISTS vector');
const { schema_name, version } = (await client.query(extension)).rows[0];
assert.equal(schema_name, 'public');
const [major, minor, patch] = version.split('.').map(Number);
assert(major === 0 && minor === 8 && Number.isInteger(patch), version);

await client.query(`CREATE TABLE IF NOT EXISTS "memories" (id SERIAL PRIMARY KEY, vector_id TEXT UNIQUE NOT NULL,
  embedding vector(${dimension}), metadata JSONB DEFAULT '{}'::jsonb)`);
const { count } = (await client.query('SELECT COUNT(*) FROM "memories"')).rows[0];
const lists = Math.max(100, Math.min(4000, Math.floor(Math.sqrt(count) * 2)));
await client.query(`CREATE INDEX IF NOT EXISTS "memories_vector_idx" ON "memories" USING ivfflat (embedding vector_cosine_ops) WITH (lists = ${lists});`);
assert.deepEqual(notices, []);

for (const [i, row] of rows.entries()) {
  await client.query(`INSERT INTO "memories" (vector_id, embedding, metadata) VALUES ($1, $2::vector, $3::jsonb)
    ON CONFLICT (vector_id) DO UPDATE SET embedding = $2::vector, metadata = $3::jsonb RETURNING embedding::text`,
    [`memory ${i % 250}`, `[${row.join(',')}]`, JSON.stringify({ even: i % 2 === 0 })]);
}
const kept = rows.slice(250).concat(rows.slice(50, 250));
await assert.rejects(client.query("INSERT INTO \"memories\" (vector_id, embedding) VALUES ('short', '[1,2]'::vector)"), /expected 3 dimensions, not 2/);

// Its description of an index comes from the definition.
const { rows: [index] } = await client.query(`SELECT am.amname AS index_method, pg_get_indexdef(i.indexrelid) AS index_def, opclass.opcname AS operator_class
  FROM pg_index i JOIN pg_class c ON i.indexrelid = c.oid JOIN pg_am am ON c.relam = am.oid JOIN pg_opclass opclass ON i.indclass[0] = opclass.oid
  JOIN pg_namespace n ON c.relnamespace = n.oid WHERE c.relname = $1 AND n.nspname = $2`, ['memories_vector_idx', 'public']);
assert.equal(index.index_method, 'ivfflat');
assert.equal(index.operator_class, 'vector_cosine_ops');
assert.equal(index.index_def.match(/lists\s*=\s*'?(\d+)'?/)?.[1], '100');
const { rows: [{ dimension: declared }] } = await client.query("SELECT atttypmod AS dimension FROM pg_attribute WHERE attrelid = 'memories'::regclass AND attname = 'embedding'");
assert.equal(declared, dimension);

// A search orders by the similarity; the one beneath it, which the index serves, by the distance.
for (const [filter, wanted] of [['', () => true], ["WHERE metadata @> '{\"even\": true}'::jsonb", (row) => rows.indexOf(row) % 2 === 0]]) {
  await client.query('BEGIN');
  await client.query('SET LOCAL ivfflat.probes = 10');
  await client.query('SET LOCAL ivfflat.iterative_scan = relaxed_order');
  await client.query('SET LOCAL hnsw.iterative_scan = strict_order');
  await client.query('SET LOCAL enable_seqscan = off');
  const vector = `'[${query.join(',')}]'::vector`;
  const { rows: scored } = await client.query(`WITH vector_scores AS (SELECT vector_id AS id, 1 - (embedding <=> ${vector}) AS score, metadata, embedding
      FROM "memories" ${filter}) SELECT * FROM vector_scores WHERE score > $1 ORDER BY score DESC LIMIT $2`, [-1, 10]);
  const { rows: ordered } = await client.query(`SELECT vector_id AS id, 1 - (embedding <=> ${vector}) AS score FROM "memories" ${filter} ORDER BY embedding <=> ${vector} LIMIT $1`, [10]);
  await client.query('COMMIT');
  const exact = kept.filter(wanted).map((row) => similarity(row, query)).sort((a, b) => b - a).slice(0, 10);
  for (const found of [scored, ordered]) {
    assert.equal(found.length, 10);
    found.forEach(({ score }, i) => assert(Math.abs(score - exact[i]) < 1e-5, `${score}, not ${exact[i]}`));
  }
}
await client.query('TRUNCATE "memories"');
await client.query('DROP TABLE IF EXISTS "memories" CASCADE');
await client.end();
