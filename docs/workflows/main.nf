// `zensaibo cluster`, `detect`, `segment` or `count` shared by many jobs: N parts of each step, what is not shared out, the output.
//
//   nextflow run main.nf --input /data/atlas.h5ad --output /data/out.h5ad --parts 16
//   nextflow run main.nf --recipe detect --input /data/brain.ome.zarr --output /data/cells.parquet --parts 16
//   nextflow run main.nf --recipe segment --input /data/organoid.ome.zarr --output /data/labels.ome.zarr \
//       --merge '--table /data/nuclei.parquet'
//
// Paths are absolute and the same on all machines. `work` (by default the output's name with .parts) can be removed once the
// output is there. The steps are those that `zensaibo run-blocks list` prints with the options given; options that add a
// step (`hvg.flavor=seurat_v3`: hvg-2) need it here as well.

nextflow.enable.dsl = 2

params.input = null
params.output = null
params.work = "${params.output}.parts"
params.parts = 8
params.recipe = 'cluster'
params.options = '' // of all jobs
params.merge = '' // of the one that writes the output
params.zensaibo = 'zensaibo'

include { PART as READ      } from './part.nf'
include { PART as QC        } from './part.nf'
include { PART as GENES     } from './part.nf'
include { PART as FILTER    } from './part.nf'
include { PART as NORMALIZE } from './part.nf'
include { PART as HVG       } from './part.nf'
include { PART as GATHER    } from './part.nf'
include { PART as MARKERS   } from './part.nf'
include { PART as LOCAL_NOISE    } from './part.nf'
include { PART as DETECT_CELLS   } from './part.nf'
include { PART as NUCLEI_NOISE   } from './part.nf'
include { PART as NUCLEI_DIVIDE  } from './part.nf'
include { PART as NUCLEI_OUTLINE } from './part.nf'
include { PART as NUCLEI_MEASURE } from './part.nf'
include { PART as PLACE_CELLS    } from './part.nf'

process CLUSTERS {
    cpus 8

    input:
    val before

    output:
    val true

    script:
    """
    ${params.zensaibo} merge '${params.input}' --work '${params.work}' --until markers --threads ${task.cpus} --quiet ${params.options}
    """
}

process OUTPUT {
    cpus 8

    input:
    val before

    output:
    val params.output

    script:
    """
    ${params.zensaibo} merge '${params.input}' --work '${params.work}' -o '${params.output}' --recipe ${params.recipe} --threads ${task.cpus} \
        --quiet ${params.options} ${params.merge}
    """
}

workflow {
    parts = Channel.of(1..params.parts)
    if (params.recipe == 'detect') {
        LOCAL_NOISE('local-noise', parts, true)
        DETECT_CELLS('detect-cells', parts, LOCAL_NOISE.out.done.collect())
        last = DETECT_CELLS.out.done
    } else if (params.recipe == 'segment') {
        NUCLEI_NOISE('nuclei-noise', parts, true)
        NUCLEI_DIVIDE('nuclei-divide', parts, NUCLEI_NOISE.out.done.collect())
        NUCLEI_OUTLINE('nuclei-outline', parts, NUCLEI_DIVIDE.out.done.collect())
        NUCLEI_MEASURE('nuclei-measure', parts, NUCLEI_OUTLINE.out.done.collect())
        last = NUCLEI_MEASURE.out.done
    } else if (params.recipe == 'count') {
        PLACE_CELLS('place-cells', parts, true)
        last = PLACE_CELLS.out.done
    } else {
        READ('read', parts, true)
        QC('qc', parts, READ.out.done.collect())
        GENES('genes', parts, QC.out.done.collect())
        FILTER('filter', parts, GENES.out.done.collect())
        NORMALIZE('normalize', parts, FILTER.out.done.collect())
        HVG('hvg', parts, NORMALIZE.out.done.collect())
        GATHER('gather', parts, HVG.out.done.collect())
        CLUSTERS(GATHER.out.done.collect())
        MARKERS('markers', parts, CLUSTERS.out)
        last = MARKERS.out.done
    }
    OUTPUT(last.collect()) | view
}
