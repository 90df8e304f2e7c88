# Rscript make.R voom|pooled FOLDER: reads the folder's tables, writes FOLDER/out/*.csv. Called by make.py.
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[2]
dir.create(file.path(folder, "out"))
table <- function(name) as.matrix(read.csv(file.path(folder, paste0(name, ".csv")), header = FALSE))
keep <- function(name, values) {
    write.table(format(as.matrix(values), digits = 17), file.path(folder, "out", paste0(name, ".csv")),
                sep = ",", quote = FALSE, row.names = FALSE, col.names = FALSE)
}

voom_fits <- function() {
    suppressPackageStartupMessages({library(limma); library(edgeR)})
    counts <- t(table("counts"))
    dimnames(counts) <- NULL
    treated <- as.vector(table("treated"))
    donor <- factor(as.vector(table("donor")))
    age <- as.vector(table("age"))
    designs <- list(paired = model.matrix(~ treated + donor), numeric = model.matrix(~ treated + age))
    for (name in names(designs)) {
        design <- designs[[name]]
        all <- DGEList(counts)
        kept <- filterByExpr(all, design)
        dge <- calcNormFactors(all[kept, , keep.lib.sizes = FALSE])
        weighted <- voom(dge, design)
        fit <- eBayes(lmFit(weighted, design))
        keep(paste0(name, "_kept"), as.integer(kept))
        keep(paste0(name, "_norm_factors"), dge$samples$norm.factors)
        keep(paste0(name, "_library_sizes"), dge$samples$lib.size)
        keep(paste0(name, "_logfoldchanges"), fit$coefficients[, 2])
        keep(paste0(name, "_scores"), fit$t[, 2])
        keep(paste0(name, "_pvals"), fit$p.value[, 2])
        keep(paste0(name, "_pvals_adj"), p.adjust(fit$p.value[, 2], "BH"))
        keep(paste0(name, "_sigma"), fit$sigma)
        keep(paste0(name, "_prior"), c(fit$df.prior, fit$s2.prior))
    }
}

pooled_factors <- function() {
    suppressPackageStartupMessages(library(scran))
    counts <- t(table("counts"))
    kind <- as.vector(table("kind"))
    keep("one_cluster", calculateSumFactors(counts, min.mean = 0.1))
    keep("two_clusters", calculateSumFactors(counts, clusters = kind, min.mean = 0.1))
}

if (arguments[1] == "voom") voom_fits() else pooled_factors()
