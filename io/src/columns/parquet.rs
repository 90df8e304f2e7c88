//! Flat columns in Parquet.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::LogicalType;
use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescriptor, Type, TypePtr};
use zensaibo_core::{Error, Result};

use super::{Columns, texts_with_gaps, with_gaps};
use crate::table::Column;
use crate::values::Values;

/// Rows of a row group.
const GROUP: usize = 1 << 20;

/// What the crate reports when the system refuses, and everything else, which cannot happen to columns that were checked.
fn refused(error: ParquetError) -> std::io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => *error,
            Err(error) => std::io::Error::other(error),
        },
        other => std::io::Error::other(other),
    }
}

pub(super) fn write(file: &mut File, table: &Columns) -> std::io::Result<()> {
    let fields = table.columns.iter().map(|(name, column)| field(name, column)).collect::<Result2<Vec<_>>>();
    let schema = fields.and_then(|fields| Type::group_type_builder("schema").with_fields(fields).build());
    let said = table.metadata.iter().map(|(key, text)| KeyValue::new(key.clone(), text.clone())).collect();
    let properties = WriterProperties::builder()
        .set_created_by(format!("zensaibo {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(said))
        .build();
    let job = |schema: TypePtr| {
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
        let rows = table.len();
        for start in (0..rows).step_by(GROUP) {
            let mut group = writer.next_row_group()?;
            let end = (start + GROUP).min(rows);
            for (_, column) in &table.columns {
                put(&mut group, column, start, end)?;
            }
            group.close()?;
        }
        writer.close()?;
        Ok(())
    };
    schema.map(Arc::new).and_then(job).map_err(refused)
}

type Result2<T> = std::result::Result<T, ParquetError>;

fn field(name: &str, column: &Column) -> Result2<TypePtr> {
    let whole = |bits, signed| Some(LogicalType::integer(bits, signed));
    let of = |values: &Values| match values {
        Values::I8(_) => (Physical::INT32, whole(8, true)),
        Values::I16(_) => (Physical::INT32, whole(16, true)),
        Values::I32(_) => (Physical::INT32, None),
        Values::I64(_) => (Physical::INT64, None),
        Values::U8(_) => (Physical::INT32, whole(8, false)),
        Values::U16(_) => (Physical::INT32, whole(16, false)),
        Values::U32(_) => (Physical::INT32, whole(32, false)),
        Values::U64(_) => (Physical::INT64, whole(64, false)),
        Values::F16(_) | Values::F32(_) => (Physical::FLOAT, None),
        Values::F64(_) => (Physical::DOUBLE, None),
        Values::Bool(_) => (Physical::BOOLEAN, None),
    };
    let ((physical, logical), repetition) = match column {
        Column::Numbers(values) => (of(values), Repetition::REQUIRED),
        Column::Optional { values, .. } => (of(values), Repetition::OPTIONAL),
        Column::OptionalStrings(_) => ((Physical::BYTE_ARRAY, Some(LogicalType::String)), Repetition::OPTIONAL),
        Column::Strings(_) => ((Physical::BYTE_ARRAY, Some(LogicalType::String)), Repetition::REQUIRED),
        Column::Categories { .. } => ((Physical::BYTE_ARRAY, Some(LogicalType::String)), Repetition::REQUIRED),
    };
    let builder = Type::primitive_type_builder(name, physical).with_logical_type(logical).with_repetition(repetition);
    Ok(Arc::new(builder.build()?))
}

/// One column of a row group; `missing` leaves out what is not there.
fn put_as<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut File>,
    values: &[T::T],
    missing: Option<&[bool]>,
) -> Result2<()> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    match missing {
        None => column.typed::<T>().write_batch(values, None, None)?,
        Some(missing) => {
            let levels: Vec<i16> = missing.iter().map(|&gone| i16::from(!gone)).collect();
            let there: Vec<T::T> =
                values.iter().zip(missing).filter(|(_, gone)| !**gone).map(|(value, _)| value.clone()).collect();
            column.typed::<T>().write_batch(&there, Some(&levels), None)?
        }
    };
    column.close()
}

fn put(group: &mut SerializedRowGroupWriter<'_, &mut File>, column: &Column, start: usize, end: usize) -> Result2<()> {
    let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
    let mut texts = |texts: Vec<ByteArray>, missing: Option<&[bool]>| put_as::<ByteArrayType>(group, &texts, missing);
    let (values, missing) = match column {
        Column::Numbers(values) => (values, None),
        Column::Optional { values, missing } => (values, Some(&missing[start..end])),
        Column::Strings(all) => return texts(all[start..end].iter().map(|one| text(one)).collect(), None),
        Column::OptionalStrings(all) => {
            let all = &all[start..end];
            let missing: Vec<bool> = all.iter().map(Option::is_none).collect();
            let there = all.iter().map(|one| text(one.as_deref().unwrap_or_default())).collect();
            return texts(there, Some(&missing));
        }
        Column::Categories { .. } => {
            return texts(column.labels()[start..end].iter().map(|one| text(one)).collect(), None);
        }
    };
    macro_rules! put_cast {
        ($type:ty, $all:expr, $cast:expr) => {{
            let cast: Vec<<$type as DataType>::T> = $all[start..end].iter().map($cast).collect();
            put_as::<$type>(group, &cast, missing)
        }};
    }
    match values {
        Values::I8(v) => put_cast!(Int32Type, v, |&x| i32::from(x)),
        Values::I16(v) => put_cast!(Int32Type, v, |&x| i32::from(x)),
        Values::I32(v) => put_as::<Int32Type>(group, &v[start..end], missing),
        Values::I64(v) => put_as::<Int64Type>(group, &v[start..end], missing),
        Values::U8(v) => put_cast!(Int32Type, v, |&x| i32::from(x)),
        Values::U16(v) => put_cast!(Int32Type, v, |&x| i32::from(x)),
        Values::U32(v) => put_cast!(Int32Type, v, |&x| x as i32),
        Values::U64(v) => put_cast!(Int64Type, v, |&x| x as i64),
        Values::F16(_) => {
            let cast: Vec<f32> = values.to_f64()[start..end].iter().map(|&x| x as f32).collect();
            put_as::<FloatType>(group, &cast, missing)
        }
        Values::F32(v) => put_as::<FloatType>(group, &v[start..end], missing),
        Values::F64(v) => put_as::<DoubleType>(group, &v[start..end], missing),
        Values::Bool(v) => put_cast!(BoolType, v, |&x| x != 0),
    }
}

pub(super) fn read(path: &Path) -> Result<Columns> {
    let fault = |error: ParquetError| Error::format(path, "file", "a Parquet file", error.to_string());
    let file = File::open(path).map_err(|error| Error::io(path, "open", error))?;
    let reader = SerializedFileReader::new(file).map_err(fault)?;
    let meta = reader.metadata().file_metadata();
    let said = meta.key_value_metadata().into_iter().flatten();
    let metadata = said.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect();
    let schema = meta.schema_descr();
    let mut columns = Vec::new();
    for at in 0..schema.num_columns() {
        let descriptor = schema.column(at);
        let name = descriptor.path().string();
        if descriptor.max_rep_level() > 0 || descriptor.max_def_level() > 1 || descriptor.path().parts().len() != 1 {
            return Err(Error::format(path, name, "a flat column", "a list or a record"));
        }
        let mut held = Held::new(&descriptor).ok_or_else(|| {
            let found = format!("{} ({})", descriptor.physical_type(), descriptor.converted_type());
            Error::format(path, &name, "numbers, booleans or text", found)
        })?;
        let mut missing = Vec::new();
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(fault)?;
            let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            let column = group.get_column_reader(at).map_err(fault)?;
            held.read(column, rows, descriptor.max_def_level() > 0, &mut missing).map_err(fault)?;
        }
        let column = held.column(&descriptor, missing);
        columns.push((name.clone(), column.ok_or_else(|| Error::format(path, &name, "text in UTF-8", "other bytes"))?));
    }
    let table = Columns { columns, metadata };
    table.check().map_err(|error| Error::format(path, "file", "columns of one length", error.to_string()))?;
    Ok(table)
}

/// Values of a column as they are read.
enum Held {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

/// Reads all rows of a group; places without a value take the default.
fn take<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    gaps: bool,
    out: &mut Vec<T::T>,
    missing: &mut Vec<bool>,
) -> Result2<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let (records, _, _) = reader.read_records(rows - read, gaps.then_some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::General(format!("{read} of {rows} rows")));
        }
        read += records;
    }
    if gaps {
        let mut there = values.into_iter();
        for &level in &levels {
            let value = if level > 0 { there.next() } else { Some(T::T::default()) };
            out.push(value.ok_or_else(|| ParquetError::General("fewer values than levels".into()))?);
            missing.push(level == 0);
        }
    } else {
        missing.resize(missing.len() + values.len(), false);
        out.append(&mut values);
    }
    Ok(())
}

impl Held {
    fn new(descriptor: &ColumnDescriptor) -> Option<Self> {
        use ConvertedType::{INT_8, INT_16, INT_32, INT_64, NONE, UINT_8, UINT_16, UINT_32, UINT_64, UTF8};
        let kind = descriptor.converted_type();
        let whole = matches!(kind, NONE | INT_8 | INT_16 | INT_32 | INT_64 | UINT_8 | UINT_16 | UINT_32 | UINT_64);
        match descriptor.physical_type() {
            Physical::BOOLEAN => Some(Self::Bool(Vec::new())),
            Physical::INT32 if whole => Some(Self::Int32(Vec::new())),
            Physical::INT64 if whole => Some(Self::Int64(Vec::new())),
            Physical::FLOAT => Some(Self::Float(Vec::new())),
            Physical::DOUBLE => Some(Self::Double(Vec::new())),
            Physical::BYTE_ARRAY if matches!(kind, NONE | UTF8) => Some(Self::Bytes(Vec::new())),
            _ => None,
        }
    }

    fn read(&mut self, reader: ColumnReader, rows: usize, gaps: bool, missing: &mut Vec<bool>) -> Result2<()> {
        match (self, reader) {
            (Self::Bool(out), ColumnReader::BoolColumnReader(reader)) => take(reader, rows, gaps, out, missing),
            (Self::Int32(out), ColumnReader::Int32ColumnReader(reader)) => take(reader, rows, gaps, out, missing),
            (Self::Int64(out), ColumnReader::Int64ColumnReader(reader)) => take(reader, rows, gaps, out, missing),
            (Self::Float(out), ColumnReader::FloatColumnReader(reader)) => take(reader, rows, gaps, out, missing),
            (Self::Double(out), ColumnReader::DoubleColumnReader(reader)) => take(reader, rows, gaps, out, missing),
            (Self::Bytes(out), ColumnReader::ByteArrayColumnReader(reader)) => take(reader, rows, gaps, out, missing),
            _ => Err(ParquetError::General("a column of another type than the schema says".into())),
        }
    }

    fn column(self, descriptor: &ColumnDescriptor, missing: Vec<bool>) -> Option<Column> {
        let kind = descriptor.converted_type();
        let values = match self {
            Self::Bool(v) => Values::from(v),
            Self::Int32(v) => match kind {
                ConvertedType::INT_8 => Values::I8(v.iter().map(|&x| x as i8).collect()),
                ConvertedType::INT_16 => Values::I16(v.iter().map(|&x| x as i16).collect()),
                ConvertedType::UINT_8 => Values::U8(v.iter().map(|&x| x as u8).collect()),
                ConvertedType::UINT_16 => Values::U16(v.iter().map(|&x| x as u16).collect()),
                ConvertedType::UINT_32 => Values::U32(v.iter().map(|&x| x as u32).collect()),
                _ => Values::I32(v),
            },
            Self::Int64(v) if kind == ConvertedType::UINT_64 => Values::U64(v.iter().map(|&x| x as u64).collect()),
            Self::Int64(v) => Values::I64(v),
            Self::Float(v) => Values::F32(v),
            Self::Double(v) => Values::F64(v),
            Self::Bytes(v) => {
                let mut texts = Vec::with_capacity(v.len());
                for (bytes, gone) in v.iter().zip(missing) {
                    texts.push(if gone { None } else { Some(std::str::from_utf8(bytes.data()).ok()?.to_string()) });
                }
                return Some(texts_with_gaps(texts));
            }
        };
        Some(with_gaps(values, missing))
    }
}
