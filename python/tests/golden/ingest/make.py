"""Makes golden.npz: what scanpy 1.11.5's tl.ingest carries from 2,160 cells of PBMC 3k to the other 540.

Run: ZENSAIBO_DATA=.../data python make.py
Needs: scanpy==1.11.5 umap-learn==0.5.12 pynndescent==0.6.0 igraph numpy==2.4.6 scikit-learn.

Holds the clusters and layout of the reference, and labels, layout and the first components of the new cells.
"""

import gzip
import os
import pathlib

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from scipy.io import mmread

DATA = pathlib.Path(os.environ["ZENSAIBO_DATA"]) / "pbmc3k/filtered_gene_bc_matrices/hg19"


def prepared():
    """Also used by the test (there through the fixture pbmc3k)."""
    with gzip.open(DATA / "matrix.mtx.gz") as file:
        adata = ad.AnnData(sparse.csr_matrix(mmread(file).T.astype(np.float32)))
    genes = pd.read_csv(DATA / "genes.tsv.gz", sep="\t", header=None)
    adata.var_names = genes[1].to_numpy().astype(str)
    adata.var_names_make_unique()
    return adata


def split(adata):
    adata.obs_names = [str(i) for i in range(adata.n_obs)]
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=1000)
    adata = adata[:, adata.var["highly_variable"]].copy()
    new = np.arange(adata.n_obs) % 5 == 0
    return adata[~new].copy(), adata[new].copy()


def main():
    reference, query = split(prepared())
    sc.pp.pca(reference, n_comps=30)
    sc.pp.neighbors(reference, n_neighbors=15)
    sc.tl.leiden(reference, flavor="igraph", n_iterations=2, directed=False)
    sc.tl.umap(reference)
    sc.tl.ingest(query, reference, obs="leiden")
    np.savez_compressed(
        pathlib.Path(__file__).parent / "golden.npz",
        clusters=reference.obs["leiden"].astype(int).to_numpy(np.int8),
        layout=reference.obsm["X_umap"].astype(np.float32),
        curve=np.array([reference.uns["umap"]["params"][name] for name in "ab"]),
        labels=query.obs["leiden"].astype(int).to_numpy(np.int8),
        new_layout=query.obsm["X_umap"].astype(np.float32),
        new_pca=query.obsm["X_pca"][:, :10].astype(np.float32),
    )
    print(reference.shape, query.shape, reference.obs["leiden"].value_counts().to_dict())


if __name__ == "__main__":
    main()
