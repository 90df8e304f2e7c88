// All parts of one step of a recipe; main.nf includes it once per step.

process PART {
    tag "${step} ${part}/${params.parts}"
    cpus 1

    input:
    val step
    each part
    val before // what this step waits for

    output:
    val true, emit: done

    script:
    """
    ${params.zensaibo} run-blocks ${step} '${params.input}' --work '${params.work}' --blocks ${part}/${params.parts} \
        --recipe ${params.recipe} \
        --threads ${task.cpus} --quiet ${params.options}
    """
}
