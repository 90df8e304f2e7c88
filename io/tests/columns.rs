//! Flat tables go through files and come back.

use zensaibo_core::Error;
use zensaibo_io::{Column, Columns, Marker, Values, read_columns, read_markers, write_columns, write_markers};

fn example(rows: usize) -> Columns {
    let at = |k: usize| (0..rows).map(move |row| row * 7 + k);
    Columns {
        columns: vec![
            ("label".into(), Column::Numbers(at(1).map(|x| x as u32 * 100_000_000).collect::<Vec<u32>>().into())),
            ("score".into(), Column::Numbers(at(2).map(|x| x as f32 / 3.0).collect::<Vec<f32>>().into())),
            ("z".into(), Column::Numbers(at(3).map(|x| x as f64 / 7.0).collect::<Vec<f64>>().into())),
            ("edge".into(), Column::Numbers(at(4).map(|x| x % 2 == 0).collect::<Vec<bool>>().into())),
            ("small".into(), Column::Numbers(at(5).map(|x| x as i8).collect::<Vec<i8>>().into())),
            ("big".into(), Column::Numbers(at(6).map(|x| u64::MAX - x as u64).collect::<Vec<u64>>().into())),
            ("name".into(), Column::Strings(at(0).map(|x| format!("a,\"b\"\n{x}")).collect())),
            ("other".into(), Column::OptionalStrings(at(0).map(|x| (x % 3 > 0).then(|| format!("{x}"))).collect())),
            (
                "gaps".into(),
                Column::Optional {
                    values: at(0).map(|x| if x % 3 == 0 { 0.0 } else { x as f64 / 9.0 }).collect::<Vec<f64>>().into(),
                    missing: at(0).map(|x| x % 3 == 0).collect(),
                },
            ),
        ],
        metadata: vec![("spacing".into(), "[5.0, 2.0, 2.0]".into()), ("zensaibo".into(), "{}".into())],
    }
}

#[test]
fn parquet_gives_back_types_and_bits() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.parquet");
    let table = example(1000);
    write_columns(&path, &table).unwrap();
    let back = read_columns(&path).unwrap();
    assert_eq!(back.columns, table.columns);
    for (key, text) in &table.metadata {
        assert_eq!(back.said(key), Some(text.as_str()));
    }
    // Over an older file, and without rows.
    let none = Columns { columns: example(0).columns.into_iter().take(6).collect(), ..Default::default() };
    write_columns(&path, &none).unwrap();
    assert_eq!(read_columns(&path).unwrap().columns, none.columns);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(read_columns(&path).unwrap_err(), Error::Format { .. }));
    assert!(matches!(read_columns(&place.path().join("none.parquet")).unwrap_err(), Error::Io { .. }));
}

#[test]
fn more_rows_than_a_group_holds() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.parquet");
    let rows = (1 << 20) + 3;
    let values: Vec<f32> = (0..rows).map(|row| row as f32).collect();
    let table = Columns { columns: vec![("x".into(), Column::Numbers(values.into()))], metadata: Vec::new() };
    write_columns(&path, &table).unwrap();
    assert_eq!(read_columns(&path).unwrap().columns, table.columns);
}

#[test]
fn csv_gives_back_the_same_numbers() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.csv");
    let table = example(50);
    write_columns(&path, &table).unwrap();
    let back = read_columns(&path).unwrap();
    assert_eq!(back.numbers(&path, "z").unwrap(), table.numbers(&path, "z").unwrap());
    let Some(Column::Numbers(Values::F32(scores))) = table.get("score") else { panic!() };
    let read: Vec<f32> = back.numbers(&path, "score").unwrap().iter().map(|&x| x as f32).collect();
    assert_eq!(&read, scores);
    for name in ["edge", "name", "gaps"] {
        assert_eq!(back.get(name), table.get(name), "{name}");
    }
    assert!(back.numbers(&path, "gaps").unwrap_err().to_string().contains("row 0"));
    assert!(back.numbers(&path, "name").unwrap_err().to_string().contains("text"));
    assert!(back.numbers(&path, "nothing").unwrap_err().to_string().contains("label, score"));
    for (text, word) in [("", "empty"), ("a,b\n1\n", "line 2"), ("a,a\n1,2\n", "twice"), ("a\n\"open\n", "quote")] {
        std::fs::write(&path, text).unwrap();
        let error = read_columns(&path).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.csv");
    std::fs::write(&path, "old").unwrap();
    let mut table = example(3);
    table.columns[0].1 = Column::Strings(vec!["one".into()]);
    assert!(write_columns(&path, &table).unwrap_err().to_string().contains("1 rows"));
    assert!(matches!(write_columns(&place.path().join("a.txt"), &example(1)).unwrap_err(), Error::Parameter { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn markers_go_through_xml() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("cells.xml");
    write_markers(&path, &[[1.4, 2.5, 3.0], [0.0, -0.2, 7.6]]).unwrap();
    assert_eq!(read_markers(&path, Marker::Cell).unwrap(), [[1.0, 2.0, 3.0], [0.0, 0.0, 8.0]]);
    assert!(read_markers(&path, Marker::Artifact).unwrap().is_empty());
    assert!(write_markers(&path, &[[-1.0, 0.0, 0.0]]).is_err());
    std::fs::write(&path, "<a/>").unwrap();
    assert!(read_markers(&path, Marker::Cell).unwrap_err().to_string().contains("CellCounter_Marker_File"));
    let bad = "<CellCounter_Marker_File><Marker_Type><Type>2</Type><Marker><MarkerX>1</MarkerX></Marker></Marker_Type></CellCounter_Marker_File>";
    std::fs::write(&path, bad).unwrap();
    assert!(read_markers(&path, Marker::Cell).unwrap_err().to_string().contains("MarkerZ"));
}
