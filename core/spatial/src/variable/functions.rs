//! Functions of the coordinates, made orthogonal and of length 1 within each library.

use zensaibo_core::stats::quantile_sorted;
use zensaibo_core::{DataFault, Error, Result};

use super::SETS;
use crate::Places;

pub(super) struct Functions {
    axes: usize,
    /// Cells x ([`SETS`] x axes).
    values: Vec<f64>,
    cells: Vec<usize>,
    /// Independent functions, libraries x [`SETS`].
    ranks: Vec<usize>,
}

impl Functions {
    pub(super) fn new(places: &Places, libraries: &[u32], n_libraries: usize) -> Result<Self> {
        let axes = places.dimensions();
        let width = SETS * axes;
        let mut all = Self { axes, values: vec![0.0; places.len() * width], cells: Vec::new(), ranks: Vec::new() };
        let mut members = vec![Vec::new(); n_libraries];
        libraries.iter().enumerate().for_each(|(cell, &library)| members[library as usize].push(cell));
        for (library, members) in members.iter().enumerate() {
            if members.len() < 5 {
                let found = format!("{} in library {library}", members.len());
                return Err(Error::data(DataFault::TooFew, "cells", "at least five in each library", found));
            }
            all.cells.push(members.len());
            let axes_of: Vec<Axis> = (0..axes).map(|axis| Axis::new(places, members, axis)).collect();
            if axes_of.iter().all(|axis| axis.lengths[4] == 0.0) {
                let found = format!("all cells of library {library} at one place");
                return Err(Error::data(DataFault::Invalid, "positions of cells", "different places", found));
            }
            for set in 0..SETS {
                let basis = independent(axes_of.iter().map(|axis| axis.function(set)).collect());
                all.ranks.push(basis.len());
                for (slot, function) in basis.iter().enumerate() {
                    for (&cell, value) in members.iter().zip(function) {
                        all.values[cell * width + set * axes + slot] = *value;
                    }
                }
            }
        }
        Ok(all)
    }

    pub(super) fn axes(&self) -> usize {
        self.axes
    }

    pub(super) fn width(&self) -> usize {
        SETS * self.axes
    }

    pub(super) fn libraries(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn cells(&self, library: usize) -> usize {
        self.cells[library]
    }

    pub(super) fn rank(&self, library: usize, set: usize) -> usize {
        self.ranks[library * SETS + set]
    }

    /// The functions at a cell; zeros stand where a set has fewer than there are axes.
    pub(super) fn of(&self, cell: usize) -> &[f64] {
        &self.values[cell * self.width()..][..self.width()]
    }
}

/// One coordinate of the cells of a library, less its mean.
struct Axis {
    centred: Vec<f64>,
    lengths: [f64; 5],
}

impl Axis {
    fn new(places: &Places, members: &[usize], axis: usize) -> Self {
        let mean = members.iter().map(|&cell| places.points()[cell][axis]).sum::<f64>() / members.len() as f64;
        let centred: Vec<f64> = members.iter().map(|&cell| places.points()[cell][axis] - mean).collect();
        let mut sizes: Vec<f64> = centred.iter().map(|value| value.abs()).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        let lengths = std::array::from_fn(|at| quantile_sorted(&sizes, 0.2 * (at + 1) as f64));
        Self { centred, lengths }
    }

    fn function(&self, set: usize) -> Vec<f64> {
        let all = self.centred.iter();
        let length = self.lengths[(set + 4) % 5];
        match set {
            0 => all.copied().collect(),
            // Cells in a heap at the middle leave a length of 0: the function is that of the other cells, constant.
            _ if length == 0.0 => vec![0.0; self.centred.len()],
            1..=5 => all.map(|u| (-u * u / (2.0 * length * length)).exp()).collect(),
            _ => all.map(|u| (std::f64::consts::TAU * u / length).cos()).collect(),
        }
    }
}

/// An orthonormal basis of the functions less their means; those that others make up are left out.
fn independent(functions: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for mut function in functions {
        let mean = function.iter().sum::<f64>() / function.len() as f64;
        let raw = length(&function);
        function.iter_mut().for_each(|value| *value -= mean);
        let centred = length(&function);
        // What rounding leaves of a constant is no function of place.
        if !(centred > 1e-9 * raw) {
            continue;
        }
        // Twice is enough for orthogonality to the last digits.
        for _ in 0..2 {
            for other in &basis {
                let along: f64 = function.iter().zip(other).map(|(a, b)| a * b).sum();
                function.iter_mut().zip(other).for_each(|(value, b)| *value -= along * b);
            }
        }
        let left = length(&function);
        if left > 1e-7 * centred {
            function.iter_mut().for_each(|value| *value /= left);
            basis.push(function);
        }
    }
    basis
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}
