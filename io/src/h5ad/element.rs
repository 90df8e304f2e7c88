//! Reading one element of an h5ad file by its encoding.

use hdf5_metno_sys::h5d::{H5Dget_type, H5Dread};
use hdf5_metno_sys::h5p::H5P_DEFAULT;
use hdf5_metno_sys::h5s::H5S_ALL;
use hdf5_metno_sys::h5t::{
    H5T_class_t, H5Tclose, H5Tcreate, H5Tget_class, H5Tget_member_index, H5Tget_member_type, H5Tget_size, H5Tinsert,
};
use zensaibo_core::{Ctx, Result};

use crate::h5::{
    Attr, Field, H5File, TypeKind, kind_of, locked, parse_fixed, read_attr, read_string_scalar, read_strings,
    read_variable_field, reference_target, values_from_bytes,
};
use crate::numbers::NumberArray;
use crate::rows::StoredMatrix;
use crate::table::{Column, Table};
use crate::value::{SparseArray, Value};

/// Deepest nesting of dictionaries that is followed.
const MAX_DEPTH: usize = 64;

/// Reads the element at `key`, whatever it is.
pub(crate) fn read_value(file: &H5File, key: &str, ctx: &Ctx) -> Result<Value> {
    read_nested(file, key, 0, ctx)
}

fn read_nested(file: &H5File, key: &str, depth: usize, ctx: &Ctx) -> Result<Value> {
    ctx.check()?;
    if depth > MAX_DEPTH {
        return Err(file.fault(key, format!("at most {MAX_DEPTH} levels of groups"), "more"));
    }
    if !file.is_group(key) {
        return read_dataset(file, key, ctx);
    }
    let group = file.group(key)?;
    let encoding = read_attr(&group, "encoding-type").and_then(Attr::text);
    match encoding.as_deref() {
        Some("csr_matrix" | "csc_matrix") => Ok(Value::Sparse(read_sparse(file, key, ctx)?)),
        Some("dataframe") => Ok(Value::Table(read_table(file, key, ctx)?)),
        Some("categorical" | "nullable-integer" | "nullable-boolean" | "nullable-string-array") => {
            Ok(Value::Column(read_column(file, key, ctx)?))
        }
        Some("awkward-array") => Err(file.fault(key, "an element that zensaibo reads", "an awkward array")),
        Some("dict" | "raw" | "anndata" | "") | None => {
            if read_attr(&group, "h5sparse_format").is_some() {
                return Ok(Value::Sparse(read_sparse(file, key, ctx)?));
            }
            let mut members = Vec::new();
            for name in file.members(key)? {
                let value = read_nested(file, &format!("{key}/{name}"), depth + 1, ctx)?;
                members.push((name, value));
            }
            Ok(Value::Dict(members))
        }
        Some(other) => Err(file.fault(key, "an encoding-type that zensaibo reads", other)),
    }
}

fn read_dataset(file: &H5File, key: &str, ctx: &Ctx) -> Result<Value> {
    let dataset = file.dataset(key)?;
    let encoding = read_attr(&dataset, "encoding-type").and_then(Attr::text);
    if encoding.as_deref() == Some("null") {
        return Ok(Value::Null);
    }
    let kind = kind_of(dataset.dtype().map_err(|error| file.broken(key, &error))?.id());
    let shape = dataset.get_shape().map_err(|error| file.broken(key, &error))?;
    match kind {
        TypeKind::Number { .. } => {
            let array = NumberArray::open(file, key)?;
            let values = array.read_values(ctx)?;
            Ok(if shape.is_empty() { Value::Scalar(values) } else { Value::Array { shape, values } })
        }
        TypeKind::Fixed { .. } | TypeKind::Variable if shape.is_empty() => {
            Ok(Value::Text(read_string_scalar(file, key)?))
        }
        TypeKind::Fixed { .. } | TypeKind::Variable => Ok(Value::Texts { shape, values: read_strings(file, key)? }),
        TypeKind::Compound(fields) => read_records(file, key, &fields).map(Value::Records),
        other => Err(file.fault(key, "numbers, strings or records", other.describe())),
    }
}

/// Reads a sparse matrix in the types of the file.
pub(crate) fn read_sparse(file: &H5File, key: &str, ctx: &Ctx) -> Result<SparseArray> {
    StoredMatrix::open(file, key)?.read_sparse(ctx)
}

/// Reads a data frame: a group of columns, or the records that files before 0.7 hold.
pub(crate) fn read_table(file: &H5File, key: &str, ctx: &Ctx) -> Result<Table> {
    if !file.is_group(key) {
        return read_record_table(file, key);
    }
    let group = file.group(key)?;
    let index_key = read_attr(&group, "_index").and_then(Attr::text).unwrap_or_else(|| "_index".into());
    let index = read_index(file, key, ctx)?;
    let order = match read_attr(&group, "column-order").and_then(Attr::texts) {
        Some(order) => order,
        None => file.members(key)?.into_iter().filter(|name| *name != index_key && name != "__categories").collect(),
    };
    let mut columns = Vec::with_capacity(order.len());
    for name in order {
        let at = format!("{key}/{name}");
        let column = read_column(file, &at, ctx)?;
        if column.len() != index.len() {
            return Err(file.fault(&at, format!("{} rows, as the index has", index.len()), column.len()));
        }
        columns.push((name, column));
    }
    let index_name = (index_key != "_index").then_some(index_key);
    Ok(Table { index_name, index, columns })
}

/// Reads the row names of a data frame and nothing else of it.
pub(crate) fn read_index(file: &H5File, key: &str, ctx: &Ctx) -> Result<Vec<String>> {
    if !file.is_group(key) {
        return Ok(read_record_table(file, key)?.index);
    }
    let name = read_attr(&*file.group(key)?, "_index").and_then(Attr::text).unwrap_or_else(|| "_index".into());
    Ok(match read_column(file, &format!("{key}/{name}"), ctx)? {
        Column::Strings(names) => names,
        other => other.labels(),
    })
}

/// Reads one column of a data frame.
pub(crate) fn read_column(file: &H5File, key: &str, ctx: &Ctx) -> Result<Column> {
    ctx.check()?;
    if !file.is_group(key) {
        return read_flat_column(file, key, ctx);
    }
    let group = file.group(key)?;
    let encoding = read_attr(&group, "encoding-type").and_then(Attr::text);
    match encoding.as_deref() {
        Some("categorical") => {
            let categories = read_column(file, &format!("{key}/categories"), ctx)?;
            let ordered = read_attr(&group, "ordered").and_then(Attr::flag).unwrap_or(false);
            let codes = NumberArray::open(file, &format!("{key}/codes"))?;
            categories_of(file, &codes, categories, ordered, ctx)
        }
        Some("nullable-integer" | "nullable-boolean" | "nullable-string-array") => {
            let at = format!("{key}/mask");
            let mask = NumberArray::open(file, &at)?.read_values(ctx)?;
            let missing: Vec<bool> = mask.to_f64().iter().map(|&x| x != 0.0).collect();
            let values = read_flat_column(file, &format!("{key}/values"), ctx)?;
            if values.len() != missing.len() {
                return Err(file.fault(&at, format!("{} entries", values.len()), missing.len()));
            }
            Ok(match values {
                Column::Numbers(values) => Column::Optional { values, missing },
                Column::Strings(texts) => Column::OptionalStrings(
                    texts.into_iter().zip(missing).map(|(text, gone)| (!gone).then_some(text)).collect(),
                ),
                other => other,
            })
        }
        other => Err(file.fault(key, "a column", other.map_or_else(|| "a group".into(), |name| format!("`{name}`")))),
    }
}

fn categories_of(file: &H5File, codes: &NumberArray, categories: Column, ordered: bool, ctx: &Ctx) -> Result<Column> {
    if codes.shape.len() != 1 {
        return Err(file.fault(&codes.key, "one dimension", codes.shape.len()));
    }
    let codes_read: Vec<i32> = codes.read_all(ctx)?;
    let n = categories.len();
    if let Some(row) = codes_read.iter().position(|&code| code < -1 || code >= 0 && code as usize >= n) {
        let found = format!("{} in row {row}", codes_read[row]);
        return Err(file.fault(&codes.key, format!("codes from -1 to {}", n as i64 - 1), found));
    }
    Ok(Column::Categories { codes: codes_read, categories: Box::new(categories), ordered })
}

fn read_flat_column(file: &H5File, key: &str, ctx: &Ctx) -> Result<Column> {
    let dataset = file.dataset(key)?;
    let kind = kind_of(dataset.dtype().map_err(|error| file.broken(key, &error))?.id());
    let shape = dataset.get_shape().map_err(|error| file.broken(key, &error))?;
    if shape.len() != 1 {
        return Err(file.fault(key, "one dimension", shape.len()));
    }
    match kind {
        TypeKind::Number { .. } => {
            let array = NumberArray::open(file, key)?;
            // anndata 0.7: the codes carry a reference to their categories.
            if let Some(Attr::Reference(reference)) = read_attr(&dataset, "categories") {
                let target = reference_target(&dataset, reference)
                    .ok_or_else(|| file.fault(key, "a reference to its categories", "one that leads nowhere"))?;
                let target = target.trim_start_matches('/').to_string();
                let categories = read_flat_column(file, &target, ctx)?;
                let ordered = read_attr(&*file.dataset(&target)?, "ordered").and_then(Attr::flag).unwrap_or(false);
                return categories_of(file, &array, categories, ordered, ctx);
            }
            Ok(Column::Numbers(array.read_values(ctx)?))
        }
        TypeKind::Fixed { .. } | TypeKind::Variable => Ok(Column::Strings(read_strings(file, key)?)),
        other => Err(file.fault(key, "a column of numbers or strings", other.describe())),
    }
}

/// Reads records (one dimension of a compound type) field by field.
fn read_records(file: &H5File, key: &str, fields: &[Field]) -> Result<Vec<(String, Column)>> {
    let dataset = file.dataset(key)?;
    let shape = dataset.get_shape().map_err(|error| file.broken(key, &error))?;
    let &[count] = shape.as_slice() else {
        return Err(file.fault(key, "records in one dimension", shape.len()));
    };
    if count as u64 > file.len {
        return Err(file.fault(key, "a length that the file can hold", count));
    }
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let at = format!("{key}[{}]", field.name);
        let damaged = || file.fault(&at, "readable data", "damaged data");
        let name = std::ffi::CString::new(field.name.as_str()).map_err(|_| damaged())?;
        let column = match &field.kind {
            TypeKind::Variable => Column::Strings(read_variable_field(&dataset, &name, count).ok_or_else(damaged)?),
            TypeKind::Number { .. } | TypeKind::Fixed { .. } => {
                // The field alone, packed: its own type inside a compound of one member.
                let bytes = locked(|| unsafe {
                    let own = H5Dget_type(dataset.id());
                    if own < 0 || H5Tget_class(own) != H5T_class_t::H5T_COMPOUND {
                        return None;
                    }
                    let member = H5Tget_member_type(own, u32::try_from(H5Tget_member_index(own, name.as_ptr())).ok()?);
                    let native = match &field.kind {
                        TypeKind::Number { dtype, .. } => crate::h5::memory_type(*dtype).unwrap_or(member),
                        _ => member,
                    };
                    let size = H5Tget_size(native);
                    let memory = H5Tcreate(H5T_class_t::H5T_COMPOUND, size);
                    H5Tinsert(memory, name.as_ptr(), 0, native);
                    let mut bytes = vec![0u8; count.checked_mul(size)?];
                    let read = count == 0
                        || H5Dread(dataset.id(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.as_mut_ptr().cast()) >= 0;
                    H5Tclose(memory);
                    H5Tclose(member);
                    H5Tclose(own);
                    read.then_some(bytes)
                })
                .ok_or_else(damaged)?;
                match field.kind {
                    TypeKind::Fixed { size, spaces } => Column::Strings(
                        bytes
                            .chunks_exact(size.max(1))
                            .map(|text| parse_fixed(text, spaces))
                            .collect::<Option<_>>()
                            .ok_or_else(|| file.fault(&at, "UTF-8 strings", "other bytes"))?,
                    ),
                    TypeKind::Number { dtype, .. } => Column::Numbers(values_from_bytes(dtype, &bytes)),
                    _ => return Err(damaged()),
                }
            }
            other => return Err(file.fault(&at, "numbers or strings", other.describe())),
        };
        columns.push((field.name.clone(), column));
    }
    Ok(columns)
}

/// The data frame of a file before 0.7: records whose first field, `index`, names the rows.
fn read_record_table(file: &H5File, key: &str) -> Result<Table> {
    let dataset = file.dataset(key)?;
    let kind = kind_of(dataset.dtype().map_err(|error| file.broken(key, &error))?.id());
    let TypeKind::Compound(fields) = kind else {
        return Err(file.fault(key, "a data frame", kind.describe()));
    };
    let mut columns = read_records(file, key, &fields)?;
    let at = columns.iter().position(|(name, _)| name == "index" || name == "_index").unwrap_or(0);
    if columns.is_empty() {
        return Err(file.fault(key, "a field with the row names", "none"));
    }
    let (_, index) = columns.remove(at);
    let categories = |name: &str| format!("uns/{name}_categories");
    for (name, column) in &mut columns {
        // Categories lay under uns.
        if let Column::Numbers(values) = &*column
            && file.is_dataset(&categories(name))
            && let Some(codes) = values.to_i64()
        {
            let names = read_strings(file, &categories(name))?;
            let codes: Option<Vec<i32>> = codes
                .into_iter()
                .map(|code| {
                    i32::try_from(code).ok().filter(|&code| code >= -1 && (code < 0 || (code as usize) < names.len()))
                })
                .collect();
            let codes =
                codes.ok_or_else(|| file.fault(&format!("{key}[{name}]"), "codes of its categories", "others"))?;
            *column = Column::Categories { codes, categories: Box::new(Column::Strings(names)), ordered: false };
        }
    }
    Ok(Table { index_name: None, index: index.labels(), columns })
}
