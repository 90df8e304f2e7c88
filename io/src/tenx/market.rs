//! Matrix Market text, parsed in parallel.

use std::fs;
use std::io::Read;
use std::path::Path;

use rayon::prelude::*;
use zensaibo_core::data::Csr;
use zensaibo_core::{Ctx, Error, Result};

use super::folder::{damaged, decompressed};

/// Text handed to one task.
const PIECE: usize = 1 << 20;

/// The first lines of a file.
struct Header {
    /// Entries carry no value.
    pattern: bool,
    rows: usize,
    columns: usize,
    entries: usize,
    /// Lines before the first entry.
    lines: usize,
}

/// Entries of a piece of text: major (the row of the result) in runs, minor and value one by one.
#[derive(Default)]
struct Piece {
    /// Major number and how many entries in a row have it.
    runs: Vec<(u32, u32)>,
    minors: Vec<u32>,
    values: Vec<f32>,
    lines: usize,
}

/// Reads a Matrix Market file (coordinate, general; integer, real or pattern; gzip or not). `transposed` gives
/// columns x rows, which is what a 10x matrix needs. Repeated entries are added up.
///
/// Memory: 8 bytes per entry where the file goes column by column (as 10x writes it) or row by row, else 20.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] naming the line that is wrong.
pub fn read_market(path: impl AsRef<Path>, transposed: bool, ctx: &Ctx) -> Result<Csr> {
    let path = path.as_ref();
    let io = |error| Error::io(path, "read", error);
    let file = fs::File::open(path).map_err(io)?;
    let stored = file.metadata().map_err(io)?.len();
    let mut source = decompressed(file).map_err(io)?;
    let mut text = Vec::new();
    let mut ended = fill(&mut source, &mut text, PIECE, path)?;
    let (header, body) = read_header(&text, path)?;
    let (n_rows, n_cols) = if transposed { (header.columns, header.rows) } else { (header.rows, header.columns) };
    // Four characters an entry at the least, and gzip shrinks a thousandfold at the most.
    if header.entries as u64 > stored.saturating_mul(260) {
        let found = format!("{} entries in a file of {stored} bytes", header.entries);
        return Err(Error::format(path, "size line", "as many entries as the file can hold", found));
    }
    let mut minors: Vec<u32> = Vec::new();
    let mut values: Vec<f32> = Vec::new();
    let room = || Error::Limit {
        what: path.display().to_string(),
        needed: format!("{} entries of 8 bytes", header.entries),
        limit: "the memory of this machine".into(),
    };
    minors.try_reserve_exact(header.entries).map_err(|_| room())?;
    values.try_reserve_exact(header.entries).map_err(|_| room())?;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let mut line = header.lines;
    text.drain(..body);
    let wave = PIECE * rayon::current_num_threads() * 2;
    loop {
        ctx.check()?;
        if !ended {
            ended = fill(&mut source, &mut text, wave, path)?;
        }
        // Whole lines only, unless this is the end.
        let whole =
            if ended { text.len() } else { text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1) };
        if whole == 0 && !ended {
            return Err(Error::format(
                path,
                format!("line {}", line + 1),
                "a line of three numbers",
                "a line without an end",
            ));
        }
        let spans = cut(&text[..whole]);
        let parsed: Vec<std::result::Result<Piece, (usize, String)>> =
            spans.par_iter().map(|span| parse(span, &header, transposed)).collect();
        for outcome in parsed {
            let piece = outcome.map_err(|(at, found)| {
                let expected = format!("row (1 to {}), column (1 to {}) and value", header.rows, header.columns);
                Error::format(path, format!("line {}", line + at + 1), expected, found)
            })?;
            line += piece.lines;
            if minors.len() + piece.minors.len() > header.entries {
                let expected = format!("{} entries, as the size line says", header.entries);
                return Err(Error::format(path, "file", expected, "more"));
            }
            minors.extend_from_slice(&piece.minors);
            values.extend_from_slice(&piece.values);
            for (major, count) in piece.runs {
                match runs.last_mut() {
                    Some((last, total)) if *last == major && total.checked_add(count).is_some() => *total += count,
                    _ => runs.push((major, count)),
                }
            }
        }
        text.drain(..whole);
        if ended {
            break;
        }
    }
    if minors.len() != header.entries {
        let expected = format!("{} entries, as the size line says", header.entries);
        return Err(Error::format(path, "file", expected, format!("{} (truncated?)", minors.len())));
    }
    Ok(assemble(n_rows, n_cols, &runs, minors, values))
}

/// Rows, columns and entries, as the size line says.
pub(crate) fn market_size(path: &Path) -> Result<(usize, usize, usize)> {
    let io = |error| Error::io(path, "read", error);
    let mut source = decompressed(fs::File::open(path).map_err(io)?).map_err(io)?;
    let mut text = Vec::new();
    fill(&mut source, &mut text, 1 << 16, path)?;
    let (header, _) = read_header(&text, path)?;
    Ok((header.rows, header.columns, header.entries))
}

/// Appends about `amount` bytes; true at the end of the file.
fn fill(source: &mut Box<dyn Read + Send>, text: &mut Vec<u8>, amount: usize, path: &Path) -> Result<bool> {
    let read = source.by_ref().take(amount as u64).read_to_end(text).map_err(|error| damaged(path, error))?;
    Ok(read < amount)
}

fn read_header(text: &[u8], path: &Path) -> Result<(Header, usize)> {
    let fault =
        |line: usize, expected: &str, found: &str| Err(Error::format(path, format!("line {line}"), expected, found));
    let mut at = 0;
    let mut pattern = None;
    for number in 1.. {
        let Some(length) =
            text[at..].iter().position(|&byte| byte == b'\n').or((at < text.len()).then(|| text.len() - at))
        else {
            return fault(number, "a size line", "the end of the file");
        };
        let line = String::from_utf8_lossy(&text[at..at + length]).trim().to_string();
        at = (at + length + 1).min(text.len());
        let Some(is_pattern) = pattern else {
            let words: Vec<String> = line.split_whitespace().map(str::to_ascii_lowercase).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            pattern = match words.as_slice() {
                ["%%matrixmarket", "matrix", "coordinate", "pattern", "general"] => Some(true),
                ["%%matrixmarket", "matrix", "coordinate", "integer" | "real" | "unsigned-integer", "general"] => {
                    Some(false)
                }
                _ => {
                    let expected = "%%MatrixMarket matrix coordinate (integer, real or pattern) general";
                    return fault(number, expected, &line.chars().take(80).collect::<String>());
                }
            };
            continue;
        };
        if line.starts_with('%') || line.is_empty() {
            continue;
        }
        let sizes: Option<Vec<usize>> = line.split_whitespace().map(|word| word.parse().ok()).collect();
        let Some(&[rows, columns, entries]) = sizes.as_deref() else {
            return fault(number, "rows, columns and number of entries", &line);
        };
        if rows.max(columns) >= u32::MAX as usize {
            return fault(number, "fewer than 2^32 rows and columns", &line);
        }
        return Ok((Header { pattern: is_pattern, rows, columns, entries, lines: number }, at));
    }
    fault(0, "a size line", "none")
}

/// Cuts text at line ends into pieces.
fn cut(text: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let mut to = (from + PIECE).min(text.len());
        if to < text.len() {
            to += text[to..].iter().position(|&byte| byte == b'\n').map_or(text.len() - to, |at| at + 1);
        }
        pieces.push(&text[from..to]);
        from = to;
    }
    pieces
}

fn parse(text: &[u8], header: &Header, transposed: bool) -> std::result::Result<Piece, (usize, String)> {
    let mut piece = Piece::default();
    piece.minors.reserve(text.len() / 8);
    piece.values.reserve(text.len() / 8);
    let mut at = 0;
    while at < text.len() {
        let start = at;
        let wrong = |piece: &Piece| {
            let end = text[start..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |n| start + n);
            let line = String::from_utf8_lossy(&text[start..end.min(start + 80)]).trim().to_string();
            (piece.lines, format!("\"{line}\""))
        };
        skip_spaces(text, &mut at);
        if at == text.len() {
            break;
        }
        if text[at] == b'\n' {
            at += 1;
            piece.lines += 1;
            continue;
        }
        let row = whole(text, &mut at).filter(|&row| row >= 1 && row <= header.rows as u64);
        skip_spaces(text, &mut at);
        let column = whole(text, &mut at).filter(|&column| column >= 1 && column <= header.columns as u64);
        let (Some(row), Some(column)) = (row, column) else { return Err(wrong(&piece)) };
        let value = if header.pattern {
            1.0
        } else {
            skip_spaces(text, &mut at);
            match number(text, &mut at) {
                Some(value) => value,
                None => return Err(wrong(&piece)),
            }
        };
        skip_spaces(text, &mut at);
        if at < text.len() {
            if text[at] != b'\n' {
                return Err(wrong(&piece));
            }
            at += 1;
        }
        piece.lines += 1;
        let (major, minor) = if transposed { (column - 1, row - 1) } else { (row - 1, column - 1) };
        piece.minors.push(minor as u32);
        piece.values.push(value);
        match piece.runs.last_mut() {
            Some((last, count)) if *last == major as u32 => *count += 1,
            _ => piece.runs.push((major as u32, 1)),
        }
    }
    Ok(piece)
}

#[inline]
fn skip_spaces(text: &[u8], at: &mut usize) {
    while *at < text.len() && matches!(text[*at], b' ' | b'\t' | b'\r') {
        *at += 1;
    }
}

/// A whole number without a sign.
#[inline]
fn whole(text: &[u8], at: &mut usize) -> Option<u64> {
    let start = *at;
    let mut value = 0u64;
    while *at < text.len() && text[*at].is_ascii_digit() {
        value = value.checked_mul(10)?.checked_add(u64::from(text[*at] - b'0'))?;
        *at += 1;
    }
    (*at > start).then_some(value)
}

/// Any number, as the nearest f64 and then the nearest f32.
#[inline]
fn number(text: &[u8], at: &mut usize) -> Option<f32> {
    let start = *at;
    let mut small = 0u64;
    while *at < text.len() && text[*at].is_ascii_digit() && *at - start < 15 {
        small = small * 10 + u64::from(text[*at] - b'0');
        *at += 1;
    }
    if *at > start && text.get(*at).is_none_or(|byte| matches!(byte, b'\n' | b' ' | b'\t' | b'\r')) {
        return Some(small as f64 as f32);
    }
    while *at < text.len() && !matches!(text[*at], b'\n' | b' ' | b'\t' | b'\r') {
        *at += 1;
    }
    std::str::from_utf8(&text[start..*at]).ok()?.parse::<f64>().ok().map(|value| value as f32)
}

/// Rows from runs of entries.
fn assemble(n_rows: usize, n_cols: usize, runs: &[(u32, u32)], minors: Vec<u32>, values: Vec<f32>) -> Csr {
    let mut indptr = vec![0u64; n_rows + 1];
    for &(major, count) in runs {
        indptr[major as usize + 1] += u64::from(count);
    }
    for row in 0..n_rows {
        indptr[row + 1] += indptr[row];
    }
    let in_order = runs.windows(2).all(|pair| pair[0].0 <= pair[1].0);
    let mut matrix = if in_order {
        Csr { n_rows, n_cols, indptr, indices: minors, values }
    } else {
        let mut next = indptr.clone();
        let (mut sorted, mut sorted_values) = (vec![0u32; minors.len()], vec![0f32; minors.len()]);
        let mut from = 0usize;
        for &(major, count) in runs {
            let (to, place) = (from + count as usize, next[major as usize] as usize);
            sorted[place..place + count as usize].copy_from_slice(&minors[from..to]);
            sorted_values[place..place + count as usize].copy_from_slice(&values[from..to]);
            next[major as usize] += u64::from(count);
            from = to;
        }
        Csr { n_rows, n_cols, indptr, indices: sorted, values: sorted_values }
    };
    matrix.canonical();
    matrix
}
