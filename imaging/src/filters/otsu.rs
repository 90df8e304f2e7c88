//! The cut of a histogram into two classes (Otsu 1979, IEEE Trans. Systems, Man, and Cybernetics 9, 62).

/// Two classes of a histogram, in units of its bins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Classes {
    /// Last bin of the lower class.
    pub(crate) cut: usize,
    /// Variance between the classes.
    pub(crate) between: f64,
    /// Variance of all.
    pub(crate) all: f64,
    /// Distance of the means.
    pub(crate) apart: f64,
}

/// The cut with the largest variance between the classes, of equals the first, each class holding more than nothing and at
/// least a share `least` of all; none where no cut does that.
pub(crate) fn two_classes(counts: &[f64], least: f64) -> Option<Classes> {
    let total: f64 = counts.iter().sum();
    let sum: f64 = counts.iter().enumerate().map(|(bin, count)| bin as f64 * count).sum();
    let (mut below, mut sum_below) = (0f64, 0f64);
    let mut best: Option<Classes> = None;
    for (cut, count) in counts.iter().enumerate() {
        below += count;
        sum_below += cut as f64 * count;
        let above = total - below;
        if below <= 0.0 || above <= 0.0 || below < least * total || above < least * total {
            continue;
        }
        let apart = (sum - sum_below) / above - sum_below / below;
        let between = below * above / (total * total) * apart * apart;
        if best.is_none_or(|best| between > best.between) {
            best = Some(Classes { cut, between, all: 0.0, apart });
        }
    }
    let mean = sum / total;
    let all = counts.iter().enumerate().map(|(bin, count)| count * (bin as f64 - mean).powi(2)).sum::<f64>() / total;
    best.map(|best| Classes { all, ..best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_heaps_are_told_apart() {
        let found = two_classes(&[4.0, 4.0, 0.0, 0.0, 0.0, 2.0, 2.0], 0.0).unwrap();
        // Means 0.5 and 5.5 of 8 and 4 out of 12: between 2/9 * 25, within 1/4.
        assert_eq!((found.cut, found.apart), (1, 5.0));
        assert!((found.between - 50.0 / 9.0).abs() < 1e-12 && (found.all - found.between - 0.25).abs() < 1e-12);
        // With half of all in each class the cut lies elsewhere, or nowhere.
        assert_eq!(two_classes(&[4.0, 4.0, 0.0, 0.0, 0.0, 2.0, 2.0], 0.34).map(|found| found.cut), None);
        assert_eq!(two_classes(&[4.0, 4.0, 0.0, 4.0], 0.5), None);
        assert_eq!(two_classes(&[0.0, 5.0, 0.0], 0.0), None);
        assert_eq!(two_classes(&[], 0.0), None);
    }
}
