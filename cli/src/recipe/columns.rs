//! Expression of a few chosen genes, gene by gene, and their means over clusters.

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{Lazy, collect};
use zensaibo_core::{Ctx, Result};

/// Chosen genes of a matrix, stored by gene.
#[derive(Clone, Debug)]
pub(super) struct GeneColumns {
    /// The genes, as columns of the matrix, ascending.
    pub(super) genes: Vec<u32>,
    /// One row per chosen gene, one column per cell.
    by_gene: Csr,
}

impl GeneColumns {
    /// Gathers the columns `genes` (ascending, without repetition). One read; 8 bytes per value found.
    pub(super) fn gather(source: Lazy<'_>, n_genes: usize, genes: Vec<u32>, ctx: &Ctx) -> Result<Self> {
        let mut mask = vec![false; n_genes];
        genes.iter().for_each(|&gene| mask[gene as usize] = true);
        let by_gene = collect(&source.select_columns(&mask)?, ctx)?.transpose();
        Ok(Self { genes, by_gene })
    }

    /// Where `gene` is among the chosen.
    pub(super) fn place(&self, gene: u32) -> Option<usize> {
        self.genes.binary_search(&gene).ok()
    }

    /// A value per cell of the chosen gene at `place`.
    pub(super) fn values(&self, place: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.by_gene.n_cols];
        let (cells, found) = self.by_gene.row(place);
        cells.iter().zip(found).for_each(|(&cell, &value)| values[cell as usize] = value);
        values
    }

    /// Mean and share of non-zero cells in each cluster, of the chosen gene at `place`.
    pub(super) fn by_cluster(&self, place: usize, labels: &[u32], sizes: &[usize]) -> Vec<(f64, f64)> {
        let mut sums = vec![(0.0f64, 0usize); sizes.len()];
        let (cells, found) = self.by_gene.row(place);
        for (&cell, &value) in cells.iter().zip(found) {
            let (sum, count) = &mut sums[labels[cell as usize] as usize];
            *sum += f64::from(value);
            *count += usize::from(value != 0.0);
        }
        sums.iter()
            .zip(sizes)
            .map(|((sum, count), &size)| (sum / size.max(1) as f64, *count as f64 / size.max(1) as f64))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // [[1, 0, 2], [0, 3, 0], [4, 0, 6]]
        let matrix = Csr::new(3, 3, vec![0, 2, 3, 5], vec![0, 2, 1, 0, 2], vec![1.0, 2.0, 3.0, 4.0, 6.0]).unwrap();
        let columns = GeneColumns::gather(Lazy::new(&matrix), 3, vec![0, 2], &Ctx::quiet()).unwrap();
        assert_eq!(columns.place(2), Some(1));
        assert_eq!(columns.place(1), None);
        assert_eq!(columns.values(1), [2.0, 0.0, 6.0]);
        assert_eq!(columns.by_cluster(1, &[0, 0, 1], &[2, 1]), [(1.0, 0.5), (6.0, 1.0)]);
    }
}
