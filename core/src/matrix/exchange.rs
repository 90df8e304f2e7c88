//! Sources whose passes processes share, and those of one process.

use std::ops::Range;
use std::sync::Arc;

use super::{RowBlock, RowBlocks, Scratch};
use crate::Result;
use crate::exchange::Exchange;

/// A source whose passes are shared out.
pub struct Shared<S> {
    source: S,
    exchange: Arc<dyn Exchange>,
}

impl<S: RowBlocks> Shared<S> {
    /// Shares the passes over `source`.
    pub fn new(source: S, exchange: Arc<dyn Exchange>) -> Self {
        Self { source, exchange }
    }
}

/// A source whose passes run in this process alone, whatever the source below says.
pub struct Local<'a>(pub &'a dyn RowBlocks);

macro_rules! forward {
    ($me:ident => $to:expr) => {
        fn n_rows(&$me) -> usize {
            $to.n_rows()
        }
        fn n_cols(&$me) -> usize {
            $to.n_cols()
        }
        fn n_entries(&$me) -> usize {
            $to.n_entries()
        }
        fn n_blocks(&$me) -> usize {
            $to.n_blocks()
        }
        fn block_rows(&$me, block: usize) -> Range<usize> {
            $to.block_rows(block)
        }
        fn read<'a>(&'a $me, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>> {
            $to.read(block, scratch)
        }
        fn is_cheap_to_read(&$me) -> bool {
            $to.is_cheap_to_read()
        }
    };
}

impl<S: RowBlocks> RowBlocks for Shared<S> {
    forward!(self => self.source);
    fn exchange(&self) -> Option<&Arc<dyn Exchange>> {
        Some(&self.exchange)
    }
}

impl<S: RowBlocks + Send + ?Sized> RowBlocks for Arc<S> {
    forward!(self => (**self));
    fn exchange(&self) -> Option<&Arc<dyn Exchange>> {
        (**self).exchange()
    }
}

impl RowBlocks for Local<'_> {
    forward!(self => self.0);
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::DataFault;
    use crate::aggregate::{AggregateOptions, aggregate};
    use crate::data::Csr;
    use crate::exchange::{Outbox, StoredBlocks, Turn};
    use crate::hvg::{Flavor, HvgInput, HvgOptions, highly_variable_genes};
    use crate::markers::{Grouping, Method, RankGenesOptions, rank_genes_groups};
    use crate::matrix::{Lazy, MemoryStore, PackedRows, collect, count_entries};
    use crate::normalize::{NormalizeTotalOptions, size_factors};
    use crate::pca::{PcaOptions, Solver, pca};
    use crate::qc::{QcOptions, qc_metrics};
    use crate::random::Stream;
    use crate::sketch::{LeverageOptions, leverage_scores};
    use crate::{Ctx, Error};

    /// Units of the passes that are over, and the passes that the parts stand for.
    #[derive(Default)]
    pub(crate) struct Board {
        done: Mutex<Vec<BTreeMap<usize, Vec<u8>>>>,
    }

    /// One process: its place among the passes, and the part that it computes.
    struct Process {
        board: Arc<Board>,
        passed: AtomicUsize,
        part: Option<(usize, usize)>,
    }

    struct Kept(BTreeMap<usize, Vec<u8>>);

    impl StoredBlocks for Kept {
        fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
            read(&self.0[&block])
        }
    }

    struct Letter<'a>(&'a Board, usize, usize);

    impl Outbox for Letter<'_> {
        fn put(&mut self, unit: &[u8]) -> Result<()> {
            let mut done = self.0.done.lock().unwrap();
            if done.len() == self.1 {
                done.push(BTreeMap::new());
            }
            done[self.1].insert(self.2, unit.to_vec());
            self.2 += 1;
            Ok(())
        }
        fn keep(&mut self, _: &[u8]) -> Result<()> {
            unreachable!("passes over matrices keep nothing")
        }
        fn close(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    impl Exchange for Process {
        fn kept(&self, _: &str, _: usize) -> Result<Box<dyn StoredBlocks>> {
            unreachable!("passes over matrices keep nothing")
        }
        fn turn(&self, _: &str, units: usize, _: bool, _: &Ctx) -> Result<Turn<'_>> {
            let pass = self.passed.fetch_add(1, Ordering::Relaxed);
            let done = self.board.done.lock().unwrap();
            match done.get(pass) {
                Some(kept) if kept.len() == units => Ok(Turn::Merge(Box::new(Kept(kept.clone())))),
                _ => {
                    let (part, of) = self.part.ok_or(Error::PartDone)?;
                    let range = part * units / of..(part + 1) * units / of;
                    let first = range.start;
                    Ok(Turn::Compute(range, Box::new(Letter(&self.board, pass, first))))
                }
            }
        }
    }

    /// Runs `job` on a source that `parts` processes share, pass by pass; returns how many passes there were, and the result.
    pub(crate) fn in_parts<T>(
        source: &dyn RowBlocks,
        parts: usize,
        job: impl Fn(&dyn RowBlocks) -> Result<T>,
    ) -> Result<(usize, T)> {
        let board = Arc::new(Board::default());
        let run = |part| {
            let process = Process { board: board.clone(), passed: AtomicUsize::new(0), part };
            job(&Shared::new(Local(source), Arc::new(process)))
        };
        loop {
            match run(None) {
                Err(Error::PartDone) => {}
                outcome => return Ok((board.done.lock().unwrap().len(), outcome?)),
            }
            for part in 0..parts {
                match run(Some((part, parts))) {
                    Err(Error::PartDone) => {}
                    Err(error) => return Err(error),
                    Ok(_) => unreachable!("a part ran to the end"),
                }
            }
        }
    }

    /// Rows of which block sizes, groups and results differ; `n_blocks() > 4`.
    fn counts() -> Csr {
        let (n_rows, n_cols) = (9000, 900u32);
        let mut stream = Stream::new(3, 0);
        let (mut indptr, mut indices, mut values) = (vec![0u64], Vec::new(), Vec::new());
        for row in 0..n_rows {
            for column in (0..n_cols).filter(|column| (column + row) % 3 > 0 || column % 2 == 0) {
                if stream.below(5) > 0 {
                    indices.push(column);
                    values.push((1 + stream.below(4 + u64::from(column * (row % 3) % 7))) as f32);
                }
            }
            indptr.push(indices.len() as u64);
        }
        Csr::new(n_rows as usize, n_cols as usize, indptr, indices, values).unwrap()
    }

    fn same<T: PartialEq>(source: &dyn RowBlocks, passes: usize, job: impl Fn(&dyn RowBlocks) -> Result<T>) {
        let whole = job(source).unwrap();
        for parts in [1, 2, 5] {
            let (passed, shared) = in_parts(source, parts, &job).unwrap();
            assert_eq!(passed, passes);
            assert!(shared == whole, "{parts} parts");
        }
    }

    #[test]
    fn parts_give_the_bits_of_the_whole() {
        let (counts, ctx) = (counts(), Ctx::quiet());
        assert!(counts.n_blocks() > 3, "{}", counts.n_blocks());
        same(&counts, 1, |source| Ok(qc_metrics(source, &[], &QcOptions::default(), &ctx)?.cells));
        same(&counts, 1, |source| Ok(size_factors(source, &NormalizeTotalOptions::default(), &ctx)?.divisors()));
        same(&counts, 2, |source| {
            let options = HvgOptions { flavor: Flavor::SeuratV3, n_top_genes: Some(50), ..Default::default() };
            let found = highly_variable_genes(HvgInput::new(source), &options, &ctx)?;
            Ok((found.means, found.highly_variable))
        });
        same(&counts, 1, |source| collect(&Lazy::new(source).log1p(None), &ctx));
        let divisors: Vec<f64> = (0..9000).map(|row| 0.7 + f64::from(row % 11)).collect();
        for (solver, passes) in [(Solver::Gram, 3), (Solver::Krylov, 0)] {
            let job = |source: &dyn RowBlocks| {
                let options = PcaOptions { n_comps: Some(5), chunked: true, svd_solver: solver, ..Default::default() };
                pca(&Lazy::new(source).divide_rows(divisors.clone())?.log1p(None), &options, &ctx)
            };
            let whole = job(&counts).unwrap();
            let (passed, shared) = in_parts(&counts, 3, job).unwrap();
            assert!(shared == whole && if passes == 0 { passed > 3 } else { passed == passes }, "{passed} passes");
        }
        let labels: Vec<i32> = (0..9000).map(|row| row * 7 % 5 - 1).collect();
        let names: Vec<String> = (0..4).map(|group| group.to_string()).collect();
        for method in [Method::TTest, Method::Wilcoxon] {
            same(&counts, 1, |source| {
                let options = RankGenesOptions { method, pts: true, memory: 1 << 20, ..Default::default() };
                let ranked = rank_genes_groups(
                    &Lazy::new(source).log1p(None),
                    &Grouping::new(&labels, names.clone(), None)?,
                    &options,
                    &ctx,
                )?;
                Ok(ranked.groups.into_iter().map(|group| (group.genes, group.scores)).collect::<Vec<_>>())
            });
        }
        same(&counts, 1, |source| aggregate(source, &labels, 4, &AggregateOptions::default(), &ctx));
        for n_comps in [Some(5), None] {
            let options = LeverageOptions { n_comps, ..Default::default() };
            same(&counts, 3, |source| leverage_scores(&Lazy::new(source).log1p(None), &options, &ctx));
        }
    }

    #[test]
    fn packed_parts_are_shared_on() {
        let (counts, ctx) = (counts(), Ctx::quiet());
        let rows: Vec<bool> = (0..9000).map(|row| row % 7 != 3).collect();
        let columns: Vec<bool> = (0..900).map(|column| column % 5 > 0).collect();
        same(&counts, 4, |source| {
            let packed = PackedRows::pack(source, counts.nnz(), Box::new(MemoryStore::default()), "pack", &ctx)?;
            let chosen = Lazy::new(&packed).select_rows(&rows)?.select_columns(&columns)?;
            let entries = count_entries(&chosen, "count", &ctx)?;
            let packed = PackedRows::pack(&chosen, entries, Box::new(MemoryStore::default()), "pack", &ctx)?;
            assert!(packed.n_blocks() > 2);
            let shape = packed.shape();
            Ok(((shape.n_rows, shape.n_cols, shape.entries, shape.bytes), collect(&packed, &ctx)?))
        });
    }

    #[test]
    fn what_is_wrong_in_a_part_is_told_by_it() {
        let (mut counts, ctx) = (counts(), Ctx::quiet());
        let last = counts.nnz() - 1;
        counts.values[last] = f32::NAN;
        let labels: Vec<i32> = (0..9000).map(|row| row % 2).collect();
        let grouping = Grouping::new(&labels, vec!["a".into(), "b".into()], None).unwrap();
        let said = |outcome: Result<()>| match outcome {
            Err(error @ Error::Data { fault: DataFault::NotFinite, .. }) => error.to_string(),
            _ => String::new(),
        };
        for method in [Method::TTest, Method::Wilcoxon] {
            let job = |source: &dyn RowBlocks| {
                rank_genes_groups(source, &grouping, &RankGenesOptions { method, ..Default::default() }, &ctx).map(drop)
            };
            let shared = said(in_parts(&counts, 3, job).map(drop));
            assert!(shared.contains("row 8999, column 89"), "{shared}");
            assert_eq!(shared, said(job(&counts)));
        }
        // An empty matrix has nothing to share.
        let empty = Csr::empty(0, 3);
        assert_eq!(in_parts(&empty, 2, |source| collect(source, &Ctx::quiet())).unwrap(), (0, empty.clone()));
    }
}
