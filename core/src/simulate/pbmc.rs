//! Blood cells: types, their shares and the genes known to mark them.

/// (type, lineage, share, markers).
pub(super) const TYPES: [(&str, usize, f64, &[&str]); 8] = [
    ("CD4 T", 0, 0.38, &["IL7R", "TCF7", "MAL", "LEF1", "CCR7", "TRAT1", "LDHB", "NOSIP", "PIK3IP1", "CD40LG"]),
    (
        "CD14+ monocyte",
        1,
        0.19,
        &["CD14", "S100A8", "S100A9", "S100A12", "VCAN", "FCN1", "MS4A6A", "CSF3R", "CD36", "FOLR3"],
    ),
    ("B", 2, 0.14, &["MS4A1", "CD79A", "CD79B", "TCL1A", "BANK1", "LINC00926", "VPREB3", "CD19", "FCER2", "HLA-DOB"]),
    ("CD8 T", 0, 0.12, &["CD8A", "CD8B", "GZMK", "GZMH", "CD160", "LYAR", "TRGC2", "DUSP2", "KLRG1", "CST7"]),
    ("NK", 3, 0.09, &["GNLY", "NKG7", "GZMB", "PRF1", "KLRD1", "SPON2", "FGFBP2", "KLRF1", "XCL2", "CLIC3"]),
    (
        "FCGR3A+ monocyte",
        1,
        0.05,
        &["FCGR3A", "MS4A7", "CDKN1C", "LILRA3", "HES4", "RHOC", "CKB", "LRRC25", "VMO1", "SIGLEC10"],
    ),
    (
        "Dendritic",
        1,
        0.02,
        &["FCER1A", "CLEC10A", "CD1C", "ENHO", "SERPINF1", "CLIC2", "FLT3", "PLD4", "NDRG2", "CLEC9A"],
    ),
    ("Megakaryocyte", 4, 0.01, &["PPBP", "PF4", "GNG11", "SDPR", "TUBB1", "GP9", "CLU", "TREML1", "CA2", "ITGA2B"]),
];

/// Lineages and what their types share.
pub(super) const LINEAGES: [(&str, &[&str]); 5] = [
    ("T", &["CD3D", "CD3E", "CD3G", "CD2", "CD27", "LCK", "IL32", "TRAC"]),
    ("myeloid", &["LYZ", "CST3", "TYROBP", "FCER1G", "AIF1", "LST1", "CTSS", "TYMP"]),
    ("B", &["CD74", "CD37", "CD22", "POU2F2", "IGHM", "IGHD", "BLK", "PAX5"]),
    ("NK", &["CTSW", "CD7", "GZMA", "HOPX", "CCL5", "CCL4", "CD247", "IL2RB"]),
    ("platelet", &["SPARC", "ACRBP", "MYL9", "CLDN5", "PTCRA", "TSC22D1", "NRGN", "RGS18"]),
];
