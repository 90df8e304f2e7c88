"""Passes over a file on SLURM nodes through dask-jobqueue (``pip install dask-jobqueue``).

python slurm_dask.py /data/atlas.h5ad /data/out.h5ad
"""

from __future__ import annotations

import sys


def cluster_of(jobs: int):
    """`jobs` SLURM jobs of 16 workers with a core each."""
    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(
        queue="standard",
        cores=16,
        processes=16,
        memory="64GB",
        walltime="02:00:00",
        # The workers need zensaibo and the files under the same names.
        job_script_prologue=["source /opt/zensaibo/bin/activate"],
    )
    cluster.scale(jobs=jobs)
    return cluster


def main(source: str, out: str) -> None:
    """Clusters `source` into `out`, then an answer that needs no recipe."""
    from distributed import Client

    import zensaibo as zs

    with cluster_of(jobs=4) as cluster, Client(cluster) as client:
        client.wait_for_workers(16)
        adata = zs.dist.recipe(client, source, out, work=f"{out}.parts")
        print(adata)
        with zs.dist.use(client):
            counts = zs.io.open_matrix(source)
            quality = zs.arrays.qc_metrics(counts)
        print(quality)


if __name__ == "__main__":
    main(*sys.argv[1:])
