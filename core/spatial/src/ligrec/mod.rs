//! Ligands of some cells and receptors of others: scores, and how often random labels reach them.
//!
//! A partner is a gene or a complex of several, which counts with its scarcest part: the least of the values of its genes, taken
//! anew in every random order as in every group of cells. A score joins the ligand's value in the sender's cells with the receptor's in
//! the receiver's. Random orders deal the labels out among the cells of each library; with a graph the groups are the cells of one
//! label that touch the other, found anew in every order, so that what is tested is both who expresses and who is where.
//!
//! References: Efremova et al., Nature Protocols 15 (2020), for the test; Jin et al., Nature Communications 12 (2021), for the
//! trimean and the probability (without its factors for agonists and sizes).

mod options;
mod slots;
mod values;

#[cfg(test)]
mod tests;

pub use options::{LigrecOptions, Score};

use slots::Layout;
use values::Genes;
use zensaibo_core::options::Options;
use zensaibo_core::parallel::{ordered_reduce, pieces};
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::Edges;
use crate::enrichment::check_labels;

/// Random orders counted by one task.
const ORDERS: usize = 8;

/// Cells x genes by rows, as scipy's csr; what is not stored is zero.
#[derive(Clone, Copy, Debug)]
pub struct Expression<'a> {
    /// One more than there are cells.
    pub indptr: &'a [i64],
    /// Genes.
    pub indices: &'a [i32],
    /// Values.
    pub values: &'a [f64],
    /// Number of genes.
    pub genes: usize,
}

impl<'a> Expression<'a> {
    fn cells(&self) -> usize {
        self.indptr.len() - 1
    }

    #[inline]
    fn row(&self, cell: usize) -> impl Iterator<Item = (usize, f64)> + use<'a> {
        let range = self.indptr[cell] as usize..self.indptr[cell + 1] as usize;
        let (genes, values) = (&self.indices[range.clone()], &self.values[range]);
        genes.iter().zip(values).map(|(&gene, &value)| (gene as usize, value))
    }

    fn check(&self) -> Result<()> {
        const WHAT: &str = "expression";
        let stored = self.indices.len();
        if self.indptr.first() != Some(&0)
            || self.indptr.last() != Some(&(stored as i64))
            || self.values.len() != stored
            || self.indptr.windows(2).any(|pair| pair[0] > pair[1])
        {
            return Err(Error::data(DataFault::Shape, WHAT, "compressed rows", "parts that do not fit each other"));
        }
        if self.indices.iter().any(|&gene| gene < 0 || gene as usize >= self.genes) {
            return Err(Error::data(
                DataFault::Invalid,
                WHAT,
                format!("genes from 0 to below {}", self.genes),
                "others",
            ));
        }
        match self.values.iter().find(|value| !(value.is_finite() && **value >= 0.0)) {
            Some(value) => Err(Error::data(DataFault::Invalid, WHAT, "finite values of at least 0", value)),
            None => Ok(()),
        }
    }
}

/// Who signals to whom.
#[derive(Clone, Copy, Debug)]
pub struct Partners<'a> {
    /// Where the genes of each partner begin, and where the last ends.
    pub starts: &'a [u32],
    /// The genes of all partners.
    pub genes: &'a [u32],
    /// (ligand, receptor) as partners.
    pub interactions: &'a [[u32; 2]],
    /// (sender, receiver) as labels.
    pub pairs: &'a [[u32; 2]],
    /// interactions x pairs: whether a score is tested, other than 0.
    pub tested: &'a [u8],
}

impl Partners<'_> {
    fn check(&self, genes: usize, labels: usize) -> Result<()> {
        let partners = self.starts.len().saturating_sub(1);
        let fits = self.starts.first() == Some(&0)
            && self.starts.last() == Some(&(self.genes.len() as u32))
            && self.starts.windows(2).all(|pair| pair[0] < pair[1])
            && self.genes.iter().all(|&gene| (gene as usize) < genes)
            && self.interactions.iter().flatten().all(|&partner| (partner as usize) < partners)
            && self.pairs.iter().flatten().all(|&label| (label as usize) < labels)
            && self.tested.len() == self.interactions.len() * self.pairs.len();
        if fits {
            return Ok(());
        }
        let found =
            format!("{} interactions, {} pairs, {partners} partners", self.interactions.len(), self.pairs.len());
        Err(Error::data(DataFault::Shape, "ligands and receptors", "parts that fit each other", found))
    }
}

/// What [`ligrec`] found, interactions x pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct Ligrec {
    /// Scores.
    pub scores: Vec<f64>,
    /// Random orders that reach the score (with `squidpy_compat`: pass it), where it is tested.
    pub reached: Vec<u32>,
}

/// Means of genes in groups of cells.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMeans {
    /// groups x genes; 0 for groups without cells.
    pub means: Vec<f64>,
    /// Cells of each group.
    pub sizes: Vec<u32>,
}

/// Means of genes over the cells of each label (labels x genes), or with `edges` over the cells of each label that touch each
/// label (labels x labels x genes).
///
/// # Errors
/// [`Error::Data`] for parts that do not fit, NaN, infinity or values below 0; [`Error::Interrupted`].
pub fn group_means(
    expression: &Expression<'_>,
    labels: &[u32],
    n_labels: usize,
    edges: Option<&Edges<'_>>,
    ctx: &Ctx,
) -> Result<GroupMeans> {
    expression.check()?;
    check_labels(labels, expression.cells(), n_labels)?;
    ctx.check()?;
    let layout = Layout::new(edges, labels.len())?;
    let slots = layout.slots(labels, n_labels);
    let sizes = slots.sizes(layout.groups(n_labels));
    Ok(GroupMeans { means: Genes::new(*expression, Score::Mean).over(&slots, &sizes), sizes })
}

/// Scores of all interactions between all pairs of labels, and how many of `n_perms` random orders of the labels within each library
/// reach them.
///
/// Order p takes its numbers from the stream (seed, p), and sums run over the cells in their order: threads change the time alone.
/// Cost: `n_perms` x (values that are not zero, with `edges` times the labels a cell touches, + interactions x pairs). Memory: 12 bytes
/// per value for trimeans; for each thread 8 bytes x genes x groups (labels, with `edges` labels squared), 4 x cells, 16 x interactions
/// x pairs.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for parts that do not fit, NaN, infinity or values below 0;
/// [`Error::Interrupted`].
#[allow(clippy::too_many_arguments)]
pub fn ligrec(
    expression: &Expression<'_>,
    labels: &[u32],
    n_labels: usize,
    libraries: &[u32],
    n_libraries: usize,
    edges: Option<&Edges<'_>>,
    partners: &Partners<'_>,
    score: Score,
    options: &LigrecOptions,
    ctx: &Ctx,
) -> Result<Ligrec> {
    options.validate()?;
    expression.check()?;
    check_labels(labels, expression.cells(), n_labels)?;
    check_labels(libraries, expression.cells(), n_libraries)?;
    partners.check(expression.genes, n_labels)?;
    let test = Test {
        layout: Layout::new(edges, labels.len())?,
        genes: Genes::new(*expression, score),
        n_genes: expression.genes,
        k: n_labels,
        partners: *partners,
        score,
        plain: options.squidpy_compat,
    };
    let mut members = vec![Vec::new(); n_libraries];
    for (cell, &library) in libraries.iter().enumerate() {
        members[library as usize].push(cell);
    }
    let size = partners.tested.len();
    let mut scores = vec![0.0; size];
    test.each(labels, |at, score| scores[at] = score);
    let mut reached = vec![0u32; size];
    let orders = pieces(options.n_perms as usize, ORDERS);
    let stage = ctx.stage("random orders of labels", options.n_perms);
    ordered_reduce(
        orders.len(),
        ctx,
        |task| {
            let mut counts = vec![0u8; size];
            let mut dealt = labels.to_vec();
            for order in orders[task].clone() {
                ctx.check()?;
                let mut stream = Stream::new(options.seed, order as u64);
                for cells in &members {
                    let mut pack: Vec<u32> = cells.iter().map(|&cell| labels[cell]).collect();
                    stream.shuffle(&mut pack);
                    cells.iter().zip(pack).for_each(|(&cell, label)| dealt[cell] = label);
                }
                test.each(&dealt, |at, score| {
                    let there = if options.squidpy_compat { score > scores[at] } else { score >= scores[at] };
                    counts[at] += u8::from(there && partners.tested[at] != 0);
                });
            }
            Ok((counts, orders[task].len() as u64))
        },
        |_, (counts, many)| {
            reached.iter_mut().zip(counts).for_each(|(total, count)| *total += u32::from(count));
            stage.advance(many)
        },
    )?;
    Ok(Ligrec { scores, reached })
}

struct Test<'a> {
    layout: Layout,
    genes: Genes<'a>,
    n_genes: usize,
    k: usize,
    partners: Partners<'a>,
    score: Score,
    plain: bool,
}

impl Test<'_> {
    /// Hands out the score of each interaction and pair.
    fn each(&self, labels: &[u32], mut take: impl FnMut(usize, f64)) {
        let slots = self.layout.slots(labels, self.k);
        let sizes = slots.sizes(self.layout.groups(self.k));
        let values = self.genes.over(&slots, &sizes);
        let many = self.partners.starts.len() - 1;
        // groups x partners.
        let mut least = Vec::with_capacity(sizes.len() * many);
        for row in values.chunks_exact(self.n_genes.max(1)) {
            least.extend(self.partners.starts.windows(2).map(|ends| {
                let genes = &self.partners.genes[ends[0] as usize..ends[1] as usize];
                genes.iter().map(|&gene| row[gene as usize]).fold(f64::INFINITY, f64::min)
            }));
        }
        let sides: Vec<(usize, usize)> =
            self.partners.pairs.iter().map(|&[from, to]| self.layout.sides(from, to, self.k)).collect();
        for (row, &[ligand, receptor]) in self.partners.interactions.iter().enumerate() {
            for (column, &(from, to)) in sides.iter().enumerate() {
                let (l, r) = (least[from * many + ligand as usize], least[to * many + receptor as usize]);
                take(row * sides.len() + column, self.join(l, r));
            }
        }
    }

    #[inline]
    fn join(&self, l: f64, r: f64) -> f64 {
        match self.score {
            Score::Mean if self.plain || (l > 0.0 && r > 0.0) => (l + r) / 2.0,
            Score::Mean => 0.0,
            Score::Geometric => (l * r).sqrt(),
            Score::Probability => l * r / (0.5 + l * r),
        }
    }
}
