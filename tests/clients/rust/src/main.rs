//! pgvector with the crate postgres: binary parameters and results, binary COPY.

use half::f16;
use pgvector::{Bit, HalfVector, SparseVector, Vector};
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use postgres::{Client, NoTls};

const QUERY: [f32; 3] = [0.3, -0.2, 0.5];

type Distance = fn(&[f32], &[f32]) -> f32;

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn differences<'a>(a: &'a [f32], b: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    a.iter().zip(b).map(|(x, y)| x - y)
}

fn norm(a: &[f32]) -> f32 {
    product(a, a).sqrt()
}

const OPERATORS: [(&str, &str, Distance); 4] = [
    ("<->", "l2_ops", |a, b| {
        differences(a, b).map(|x| x * x).sum::<f32>().sqrt()
    }),
    ("<#>", "ip_ops", |a, b| -product(a, b)),
    ("<=>", "cosine_ops", |a, b| {
        1.0 - product(a, b) / norm(a) / norm(b)
    }),
    ("<+>", "l1_ops", |a, b| {
        differences(a, b).map(f32::abs).sum()
    }),
];

fn halves(row: &[f32]) -> HalfVector {
    HalfVector::from(row.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>())
}

fn bits(row: &[f32]) -> Bit {
    Bit::new(&row.iter().map(|x| *x > 0.0).collect::<Vec<_>>())
}

fn main() {
    let rows: Vec<[f32; 3]> = (0..300)
        .map(|i| i as f32)
        .map(|i| [(i * 1.3).sin(), (i * 0.7).cos(), (i * 2.1).sin()])
        // 64ths, which floats of any width hold exactly.
        .map(|row| row.map(|x| (64.0 * x).round() / 64.0))
        .collect();
    let variable = |name| std::env::var(name).expect("./dev clients sets it");
    let url = format!(
        "postgresql://postgres@{}:{}/{}",
        variable("PGHOST"),
        variable("PGPORT"),
        variable("PGDATABASE")
    );
    let mut client = Client::connect(&url, NoTls).unwrap();
    client
        .batch_execute(
            "CREATE EXTENSION IF NOT EXISTS vector;
             CREATE TABLE items (id bigserial PRIMARY KEY, v vector(3), h halfvec(3), s sparsevec(3), b bit(3))",
        )
        .unwrap();
    insert(&mut client, &rows[..150]);
    copy(&mut client, &rows[150..]);
    read_back(&mut client, &rows);
    client.batch_execute("SET enable_seqscan = off").unwrap();
    search(
        &mut client,
        &rows,
        "v",
        "vector",
        &Vector::from(QUERY.to_vec()),
    );
    search(&mut client, &rows, "h", "halfvec", &halves(&QUERY));
    search(
        &mut client,
        &rows,
        "s",
        "sparsevec",
        &SparseVector::from_dense(&QUERY),
    );
    let error = client
        .query("SELECT $1::vector", &[&Vector::from(vec![])])
        .unwrap_err();
    let message = error.as_db_error().unwrap().message();
    assert_eq!(message, "vector must have at least 1 dimension");
}

fn insert(client: &mut Client, rows: &[[f32; 3]]) {
    for row in rows {
        client
            .execute(
                "INSERT INTO items (v, h, s, b) VALUES ($1, $2, $3, $4)",
                &[
                    &Vector::from(row.to_vec()),
                    &halves(row),
                    &SparseVector::from_dense(row),
                    &bits(row),
                ],
            )
            .unwrap();
    }
}

fn copy(client: &mut Client, rows: &[[f32; 3]]) {
    let statement = client
        .prepare("SELECT NULL::vector, NULL::halfvec, NULL::sparsevec")
        .unwrap();
    let mut types: Vec<Type> = statement
        .columns()
        .iter()
        .map(|column| column.type_().clone())
        .collect();
    types.push(Type::BIT);
    let writer = client
        .copy_in("COPY items (v, h, s, b) FROM STDIN WITH (FORMAT BINARY)")
        .unwrap();
    let mut writer = BinaryCopyInWriter::new(writer, &types);
    for row in rows {
        writer
            .write(&[
                &Vector::from(row.to_vec()),
                &halves(row),
                &SparseVector::from_dense(row),
                &bits(row),
            ])
            .unwrap();
    }
    writer.finish().unwrap();
}

fn read_back(client: &mut Client, rows: &[[f32; 3]]) {
    let found = client
        .query("SELECT v, h, s, b FROM items ORDER BY id", &[])
        .unwrap();
    assert_eq!(found.len(), rows.len());
    for (row, found) in rows.iter().zip(found) {
        assert_eq!(found.get::<_, Vector>(0), Vector::from(row.to_vec()));
        assert_eq!(found.get::<_, HalfVector>(1), halves(row));
        assert_eq!(
            found.get::<_, SparseVector>(2),
            SparseVector::from_dense(row)
        );
        assert_eq!(found.get::<_, Bit>(3), bits(row));
    }
}

/// With each metric: the distances found through an index are the smallest there are. (Halves are rounded.)
fn search(
    client: &mut Client,
    rows: &[[f32; 3]],
    column: &str,
    kind: &str,
    query: &(dyn ToSql + Sync),
) {
    for (operator, class, distance) in OPERATORS {
        let class = format!("{kind}_{class}");
        let there = "SELECT FROM pg_opclass JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'hnsw' AND opcname = $1";
        if client.query_opt(there, &[&class]).unwrap().is_some() {
            client
                .batch_execute(&format!(
                    "CREATE INDEX ON items USING hnsw ({column} {class})"
                ))
                .unwrap();
        }
        let statement = format!(
            "SELECT {column} {operator} $1 FROM items ORDER BY {column} {operator} $1 LIMIT 5"
        );
        let found = client.query(&statement, &[query]).unwrap();
        let mut exact: Vec<f32> = rows.iter().map(|row| distance(row, &QUERY)).collect();
        exact.sort_by(f32::total_cmp);
        assert_eq!(found.len(), 5);
        for (found, exact) in found.iter().zip(exact) {
            let found = found.get::<_, f64>(0) as f32;
            assert!(
                (found - exact).abs() < 5e-3,
                "{column} {operator}: {found}, not {exact}"
            );
        }
    }
}
