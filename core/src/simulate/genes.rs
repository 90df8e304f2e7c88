//! Names of genes and what each one is for.

use std::collections::BTreeSet;

use super::pbmc;
use crate::random::Stream;

/// The protein-coding genes of the human mitochondrion.
pub(super) const MITOCHONDRIAL: [&str; 13] = [
    "MT-ND1", "MT-ND2", "MT-CO1", "MT-CO2", "MT-ATP8", "MT-ATP6", "MT-CO3", "MT-ND3", "MT-ND4L", "MT-ND4", "MT-ND5",
    "MT-ND6", "MT-CYB",
];

/// Families that made-up names come from: (stem, letters that may follow the number).
const FAMILIES: [(&str, &str); 16] = [
    ("ZNF", ""),
    ("SLC25A", ""),
    ("TMEM", "AB"),
    ("FAM", "ABC"),
    ("CCDC", ""),
    ("KIAA", ""),
    ("ANKRD", "AB"),
    ("RBM", ""),
    ("USP", ""),
    ("TRIM", ""),
    ("LRRC", ""),
    ("C1orf", ""),
    ("PPP1R", "AB"),
    ("DNAJC", ""),
    ("WDR", ""),
    ("LINC", ""),
];

/// The large and small ribosomal proteins.
fn ribosomal() -> Vec<String> {
    let large = (3..=41).filter(|n| ![16, 20, 25, 33, 40].contains(n)).map(|n| format!("RPL{n}"));
    let small = (2..=29).filter(|n| ![1, 22].contains(n)).map(|n| format!("RPS{n}"));
    large.chain(small).collect()
}

/// Names of `n` genes, all different: mitochondrial, ribosomal, the known markers of blood, then made-up ones
/// that look like human symbols. Their order is drawn from `stream`.
pub(super) fn names(n: usize, stream: &mut Stream) -> Vec<String> {
    let mut names: Vec<String> = MITOCHONDRIAL.iter().map(ToString::to_string).collect();
    names.extend(ribosomal());
    names.extend(pbmc::TYPES.iter().flat_map(|kind| kind.3).map(ToString::to_string));
    names.extend(pbmc::LINEAGES.iter().flat_map(|lineage| lineage.1).map(ToString::to_string));
    names.extend(
        ["ACTB", "B2M", "MALAT1", "TMSB4X", "FTH1", "FTL", "EEF1A1", "GAPDH", "PTPRC", "HLA-DRA"].map(String::from),
    );
    let mut seen: BTreeSet<String> = names.iter().cloned().collect();
    let mut number = 1usize;
    while names.len() < n {
        for (stem, letters) in FAMILIES {
            let endings = std::iter::once(String::new()).chain(letters.chars().map(String::from));
            for ending in endings {
                let name = match stem {
                    "LINC" => format!("LINC{number:05}"),
                    "KIAA" => format!("KIAA{number:04}"),
                    _ => format!("{stem}{number}{ending}"),
                };
                if names.len() < n && seen.insert(name.clone()) {
                    names.push(name);
                }
            }
        }
        number += 1;
    }
    names.truncate(n);
    stream.shuffle(&mut names);
    names
}

/// Whether a name is that of a ribosomal protein.
pub(super) fn is_ribosomal(name: &str) -> bool {
    ["RPL", "RPS"]
        .iter()
        .any(|stem| name.strip_prefix(stem).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit())))
}
