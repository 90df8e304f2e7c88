//! AnnData in Zarr of version 2, written by hand byte for byte.

use std::fs;
use std::path::Path;

use zensaibo_core::data::Csr;

pub fn group(path: &Path, attributes: &str) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join(".zgroup"), r#"{"zarr_format": 2}"#).unwrap();
    fs::write(path.join(".zattrs"), attributes).unwrap();
}

/// An array of version 2, not compressed: chunk by chunk, each padded to its full size.
pub fn array<const N: usize>(path: &Path, dtype: &str, values: &[[u8; N]], chunk: usize) {
    fs::create_dir_all(path).unwrap();
    let document = format!(
        r#"{{"zarr_format": 2, "shape": [{}], "chunks": [{chunk}], "dtype": "{dtype}", "compressor": null,
            "fill_value": 0, "order": "C", "filters": null}}"#,
        values.len()
    );
    fs::write(path.join(".zarray"), document).unwrap();
    for (at, part) in values.chunks(chunk).enumerate() {
        let mut bytes = part.concat();
        bytes.resize(chunk * N, 0);
        fs::write(path.join(at.to_string()), bytes).unwrap();
    }
}

/// Strings of version 2: how many, then length and bytes of each.
pub fn texts(path: &Path, values: &[String]) {
    fs::create_dir_all(path).unwrap();
    let document = format!(
        r#"{{"zarr_format": 2, "shape": [{0}], "chunks": [{0}], "dtype": "|O", "compressor": null, "fill_value": 0,
            "order": "C", "filters": [{{"id": "vlen-utf8"}}]}}"#,
        values.len()
    );
    fs::write(path.join(".zarray"), document).unwrap();
    let mut bytes = (values.len() as u32).to_le_bytes().to_vec();
    for text in values {
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    fs::write(path.join("0"), bytes).unwrap();
}

pub fn example(n: usize, m: usize) -> Csr {
    let mut matrix = Csr { n_rows: n, n_cols: m, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    for i in 0..n {
        for j in (0..m).filter(|j| (i * 31 + j * 17 + i * j) % 7 > 3) {
            matrix.indices.push(j as u32);
            matrix.values.push(1.0 + ((i + j) % 5) as f32);
        }
        matrix.indptr.push(matrix.indices.len() as u64);
    }
    matrix
}

pub fn store(path: &Path, matrix: &Csr) {
    group(path, r#"{"encoding-type": "anndata", "encoding-version": "0.1.0"}"#);
    let frame = |columns: &str| {
        format!(
            r#"{{"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index", "column-order": [{columns}]}}"#
        )
    };
    group(&path.join("obs"), &frame(r#""type", "depth""#));
    texts(&path.join("obs/_index"), &(0..matrix.n_rows).map(|i| format!("célula {i}")).collect::<Vec<_>>());
    group(&path.join("obs/type"), r#"{"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": true}"#);
    texts(&path.join("obs/type/categories"), &["a".to_string(), "b".to_string()]);
    let codes: Vec<[u8; 1]> = (0..matrix.n_rows).map(|i| [[255, 0, 1][i % 3]]).collect();
    array(&path.join("obs/type/codes"), "|i1", &codes, 1000);
    let depth: Vec<[u8; 8]> = (0..matrix.n_rows).map(|i| (i as f64 / 2.0).to_be_bytes()).collect();
    // The other byte order.
    array(&path.join("obs/depth"), ">f8", &depth, 777);
    group(&path.join("var"), &frame(""));
    texts(&path.join("var/_index"), &(0..matrix.n_cols).map(|i| format!("g{i}")).collect::<Vec<_>>());
    let shape = format!(
        r#"{{"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [{}, {}]}}"#,
        matrix.n_rows, matrix.n_cols
    );
    group(&path.join("X"), &shape);
    let values: Vec<[u8; 4]> = matrix.values.iter().map(|x| x.to_le_bytes()).collect();
    let columns: Vec<[u8; 4]> = matrix.indices.iter().map(|&x| (x as i32).to_le_bytes()).collect();
    let ends: Vec<[u8; 8]> = matrix.indptr.iter().map(|&x| (x as i64).to_le_bytes()).collect();
    array(&path.join("X/data"), "<f4", &values, 30_011);
    array(&path.join("X/indices"), "<i4", &columns, 50_000);
    array(&path.join("X/indptr"), "<i8", &ends, 1 << 20);
    group(&path.join("layers"), r#"{"encoding-type": "dict", "encoding-version": "0.1.0"}"#);
}
