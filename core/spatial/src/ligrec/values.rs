//! What is known of a gene in a group of cells: its mean, or its trimean.

use super::slots::Slots;
use super::{Expression, Score};

/// Genes ready to be summed up over groups again and again.
pub(super) enum Genes<'a> {
    /// Rows as they are.
    Means(Expression<'a>),
    /// For each gene its cells that are not zero, highest first.
    Trimeans { starts: Vec<usize>, cells: Vec<u32>, values: Vec<f64>, genes: usize },
}

impl<'a> Genes<'a> {
    pub(super) fn new(expression: Expression<'a>, score: Score) -> Self {
        if score != Score::Probability {
            return Self::Means(expression);
        }
        let mut columns: Vec<Vec<(f64, u32)>> = vec![Vec::new(); expression.genes];
        for cell in 0..expression.cells() {
            for (gene, value) in expression.row(cell) {
                columns[gene].push((value, cell as u32));
            }
        }
        let (mut starts, mut cells, mut values) = (vec![0], Vec::new(), Vec::new());
        for column in &mut columns {
            column.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            cells.extend(column.iter().map(|entry| entry.1));
            values.extend(column.iter().map(|entry| entry.0));
            starts.push(cells.len());
        }
        Self::Trimeans { starts, cells, values, genes: expression.genes }
    }

    /// groups x genes; 0 for groups without cells.
    pub(super) fn over(&self, slots: &Slots, sizes: &[u32]) -> Vec<f64> {
        match self {
            Self::Means(expression) => {
                let mut sums = vec![0.0; sizes.len() * expression.genes];
                for cell in 0..expression.cells() {
                    for &group in slots.of(cell) {
                        let row = &mut sums[group as usize * expression.genes..][..expression.genes];
                        expression.row(cell).for_each(|(gene, value)| row[gene] += value);
                    }
                }
                for (row, &size) in sums.chunks_exact_mut(expression.genes.max(1)).zip(sizes) {
                    row.iter_mut().for_each(|value| *value = if size > 0 { *value / f64::from(size) } else { 0.0 });
                }
                sums
            }
            Self::Trimeans { starts, cells, values, genes } => {
                let marks: Vec<Marks> = sizes.iter().map(|&size| Marks::new(size)).collect();
                let mut found = vec![0.0; sizes.len() * genes];
                let mut counts = vec![0u32; sizes.len()];
                for gene in 0..*genes {
                    counts.fill(0);
                    for slot in starts[gene]..starts[gene + 1] {
                        for &group in slots.of(cells[slot] as usize) {
                            let group = group as usize;
                            found[group * genes + gene] += marks[group].weight(counts[group]) * values[slot];
                            counts[group] += 1;
                        }
                    }
                }
                found
            }
        }
    }
}

/// (first quartile + 2 median + third quartile) / 4 as a weighted sum of the values at some ranks, counted from the highest.
/// Quartiles lie between two values in proportion, as numpy's do.
struct Marks([(u32, f64); 6]);

impl Marks {
    fn new(size: u32) -> Self {
        let mut marks = [(u32::MAX, 0.0); 6];
        if size > 0 {
            let last = size - 1;
            for (at, (quantile, weight)) in [(0.25, 0.25), (0.5, 0.5), (0.75, 0.25)].into_iter().enumerate() {
                let place = quantile * f64::from(last);
                let share = place - place.floor();
                let low = place.floor() as u32;
                marks[2 * at] = (last - low, weight * (1.0 - share));
                marks[2 * at + 1] = (last - (low + 1).min(last), weight * share);
            }
        }
        Self(marks)
    }

    /// The weight of the value at a rank.
    #[inline]
    fn weight(&self, rank: u32) -> f64 {
        self.0.iter().map(|&(at, weight)| if at == rank { weight } else { 0.0 }).sum()
    }
}
