//! Which places a cell may go to.

use rayon::prelude::*;
use zensaibo_core::knn::{Algorithm, Metric, Points, knn_between};
use zensaibo_core::{Ctx, DataFault, Error, Result};

/// For each of n cells the numbers of the places, rising, that it may go to.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// Number of places.
    pub n_places: usize,
    /// n + 1 long, starts at 0.
    pub indptr: Vec<u64>,
    /// Places of each cell, rising.
    pub indices: Vec<u32>,
}

impl Candidates {
    /// Every place for every cell.
    ///
    /// # Errors
    /// [`Error::Limit`] for 2^32 pairs or more.
    pub fn all(n: usize, n_places: usize) -> Result<Self> {
        check_count(n.saturating_mul(n_places))?;
        let indptr = (0..=n as u64).map(|row| row * n_places as u64).collect();
        let indices = (0..n).flat_map(|_| 0..n_places as u32).collect();
        Ok(Self { n_places, indptr, indices })
    }

    /// Checked parts.
    ///
    /// # Errors
    /// [`Error::Data`] for pointers that fall, places out of range or not rising within a cell, a cell without any; [`Error::Limit`].
    pub fn new(n_places: usize, indptr: Vec<u64>, indices: Vec<u32>) -> Result<Self> {
        check_count(indices.len())?;
        let falls = indptr.windows(2).any(|pair| pair[0] > pair[1]);
        if indptr.first() != Some(&0) || falls || indptr.last() != Some(&(indices.len() as u64)) {
            let expected = format!("pointers from 0 to {}, never falling", indices.len());
            return Err(Error::data(DataFault::Shape, "candidates", expected, "others"));
        }
        for (cell, ends) in indptr.windows(2).enumerate() {
            let row = &indices[ends[0] as usize..ends[1] as usize];
            let fault = if row.is_empty() {
                "none"
            } else if row.windows(2).any(|pair| pair[0] >= pair[1]) {
                "some that do not rise"
            } else if row[row.len() - 1] as usize >= n_places {
                "one out of range"
            } else {
                continue;
            };
            let expected = format!("at least one place below {n_places} for each cell, rising");
            return Err(Error::data(DataFault::Invalid, "candidates", expected, format!("{fault} for cell {cell}")));
        }
        Ok(Self { n_places, indptr, indices })
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Pairs of a cell and a place.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Positions among the pairs are kept in 32 bits.
fn check_count(pairs: usize) -> Result<()> {
    if pairs > u32::MAX as usize {
        return Err(Error::Limit {
            what: "candidates".into(),
            needed: format!("{pairs} pairs of a cell and a place"),
            limit: "2^32; ask for fewer candidates per cell".into(),
        });
    }
    Ok(())
}

/// The `per_cell` places nearest to each cell, and each place for the `per_place` cells nearest to it, so that no place is out of reach; by
/// the cosine distance of the rows of `cells` (n x q) and `places` (s x q). All pairs where `per_cell` is at least s.
///
/// Cost: that of two searches, 12 bytes per pair. The same bits for any number of threads.
///
/// # Errors
/// [`Error::Parameter`] for a count of 0; those of [`knn_between`] and [`Candidates::all`].
pub fn candidates(
    cells: &Points<'_>,
    places: &Points<'_>,
    per_cell: usize,
    per_place: usize,
    algorithm: Algorithm,
    ctx: &Ctx,
) -> Result<Candidates> {
    for (name, count) in [("n_candidates", per_cell), ("per_place", per_place)] {
        if count == 0 {
            return Err(Error::parameter(name, "at least 1", 0));
        }
    }
    let (n, s) = (cells.n(), places.n());
    if per_cell >= s {
        return Candidates::all(n, s);
    }
    check_count(n.saturating_mul(per_cell).saturating_add(s.saturating_mul(per_place)))?;
    let there = knn_between(places, cells, per_cell, Metric::Cosine, algorithm, ctx)?;
    let back = knn_between(cells, places, per_place.min(n), Metric::Cosine, algorithm, ctx)?;
    // Places that ask for a cell, by cell.
    let mut starts = vec![0usize; n + 1];
    back.indices.iter().for_each(|&cell| starts[cell as usize + 1] += 1);
    for cell in 0..n {
        starts[cell + 1] += starts[cell];
    }
    let (mut next, mut asking) = (starts.clone(), vec![0u32; back.indices.len()]);
    for (place, near) in back.indices.chunks_exact(back.k).enumerate() {
        for &cell in near {
            asking[next[cell as usize]] = place as u32;
            next[cell as usize] += 1;
        }
    }
    let rows: Vec<Vec<u32>> = (0..n)
        .into_par_iter()
        .with_min_len(256)
        .map(|cell| {
            let mut row = there.indices[cell * there.k..(cell + 1) * there.k].to_vec();
            row.extend_from_slice(&asking[starts[cell]..starts[cell + 1]]);
            row.sort_unstable();
            row.dedup();
            row
        })
        .collect();
    let mut indptr = vec![0u64];
    for row in &rows {
        indptr.push(indptr[indptr.len() - 1] + row.len() as u64);
    }
    Ok(Candidates { n_places: s, indptr, indices: rows.concat() })
}
