"""Types of the Rust extension. Private: use the public modules."""

from collections.abc import Callable
from typing import Any

Progress = Callable[[str, int, int], None] | None

__version__: str

class ZensaiboError(Exception): ...
class ParameterError(ZensaiboError, ValueError): ...
class DataError(ZensaiboError, ValueError): ...
class NegativeValuesError(DataError): ...
class NonFiniteError(DataError): ...
class NotCountsError(DataError): ...
class EmptyDataError(DataError): ...
class DuplicateNamesError(DataError): ...
class ShapeError(DataError): ...
class TooFewError(DataError): ...
class MissingKeyError(ZensaiboError, KeyError): ...
class FormatError(ZensaiboError, ValueError): ...
class FileError(ZensaiboError, OSError): ...
class LimitError(ZensaiboError, MemoryError): ...
class NotConvergedError(ZensaiboError, RuntimeError): ...
class NotTrustworthyError(ZensaiboError, RuntimeError): ...
def option_defaults() -> str: ...
def matrix_summary(matrix: Any, threads: int | None = None, progress: Progress = None) -> tuple[int, int, int, float]: ...
def pca(
    matrix: Any,
    mask: Any,
    options: str,
    covariates: Any = None,
    categories: Any = None,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
class RemoteFile:
    size: int
    def __init__(self, url: str) -> None: ...
    def read(self, start: int, count: int) -> bytes: ...

class RemoteStore:
    def __init__(self, url: str) -> None: ...
    def get(self, key: str, start: int | None = None, count: int | None = None) -> bytes | None: ...
    def members(self, key: str) -> list[str]: ...

def io_detect(path: Any) -> str: ...
def io_inspect(path: Any) -> tuple[str, str]: ...
def io_check_h5ad(path: Any) -> None: ...
def io_read_array(path: Any, key: str, threads: int | None = None, progress: Progress = None) -> Any: ...
def io_read_sparse(path: Any, key: str, threads: int | None = None, progress: Progress = None) -> tuple[Any, ...]: ...
def io_read_10x_h5(path: Any, options: str, threads: int | None = None, progress: Progress = None) -> dict[str, Any]: ...
def io_read_10x_mtx(path: Any, options: str, threads: int | None = None, progress: Progress = None) -> dict[str, Any]: ...
def io_read_mtx(path: Any, threads: int | None = None, progress: Progress = None) -> tuple[Any, ...]: ...
def io_convert(
    input: Any, output: Any, options: str, gzip: int | None = None, threads: int | None = None, progress: Progress = None
) -> None: ...
def io_describe_matrix(path: Any, key: str) -> tuple[tuple[int, int], str, str]: ...
def io_write_stacked(
    tables: Any, out: Any, matrices: list[Any], gzip: int | None = None, threads: int | None = None, progress: Progress = None
) -> None: ...
class NeighborIndex:
    path: Any
    shape: tuple[int, int]
    dtype: str
    metric: str
    n_lists: int
    seed: int
    fingerprint: str
    def __init__(self, path: str) -> None: ...
    @staticmethod
    def build(
        data: Any,
        path: str,
        options: str,
        memory: int | None = None,
        fetched: tuple[int, int, bool] | None = None,
        threads: int | None = None,
        progress: Progress = None,
    ) -> NeighborIndex: ...
    def neighbors(
        self, options: str, memory: int | None = None, threads: int | None = None, progress: Progress = None
    ) -> tuple[Any, Any]: ...
    def query(
        self, queries: Any, options: str, memory: int | None = None, threads: int | None = None, progress: Progress = None
    ) -> tuple[Any, Any]: ...

def index_fingerprint(
    data: Any, fetched: tuple[int, int, bool] | None = None, threads: int | None = None, progress: Progress = None
) -> str: ...
def knn_search(
    data: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, bool]: ...
def connectivities_from_neighbors(
    indices: Any, distances: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any]: ...
def knn_recall(
    data: Any,
    indices: Any,
    metric: str,
    sample: int,
    seed: int,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[float, float, int]: ...
def graph_summary(
    graph: Any, threads: int | None = None, progress: Progress = None
) -> tuple[int, int, bool, int, Any]: ...
def qc_metrics(
    matrix: Any, gene_masks: list[Any], options_json: str, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def check_counts(matrix: Any, threads: int | None = None, progress: Progress = None) -> None: ...
def filter_cells(
    matrix: Any, options_json: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any]: ...
def filter_genes(
    matrix: Any, options_json: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any]: ...
def compact_csr(
    indptr: Any, indices: Any, data: Any, row_mask: Any, column_mask: Any, done: Any, threads: int | None = None
) -> int: ...
def size_factors(
    matrix: Any, options_json: str, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def divide_rows(
    indptr: Any, data: Any, divisors: Any, threads: int | None = None, progress: Progress = None
) -> None: ...
def log1p(data: Any, base: float | None = None, threads: int | None = None, progress: Progress = None) -> None: ...
def highly_variable_genes(
    matrix: Any,
    options_json: str,
    batches: Any = None,
    log_base: float | None = None,
    tie_order: Any = None,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def loess(x: Any, y: Any, span: float) -> Any: ...
def rank_genes_groups(
    matrix: Any,
    labels: Any,
    names: list[str],
    reference: int | None,
    mask: list[bool] | None,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
class FileMatrix:
    shape: tuple[int, int]
    paths: list[Any]
    key: str
    def __init__(
        self,
        paths: list[str],
        key: str = "X",
        join: str = "inner",
        memory: int | None = None,
        scratch: str | None = None,
        progress: Progress = None,
    ) -> None: ...
    dtype: Any
    dense: bool
    def obs_names(self) -> list[str]: ...
    def var_names(self) -> list[str]: ...
    def collect(self, threads: int | None = None, progress: Progress = None) -> tuple[Any, Any, Any]: ...
    def select_rows(self, mask: list[bool]) -> FileMatrix: ...
    def select_columns(self, mask: list[bool]) -> FileMatrix: ...
    def divide_rows(self, divisors: list[float]) -> FileMatrix: ...
    def log1p(self, base: float | None = None) -> FileMatrix: ...
    def shared(self, passes: Any) -> FileMatrix: ...
    def for_part(self, history: list[list[bytes]], kept: list[tuple[str, bytes]], part: int, of: int) -> FileMatrix: ...
    def taken(self) -> tuple[bytes, bytes | None] | None: ...

class PartDone(Exception): ...

class Simulation:
    n_blocks: int
    shape: tuple[int, int]
    def __init__(self, options: str) -> None: ...
    def genes(self) -> dict[str, Any]: ...
    def cells(self) -> dict[str, Any]: ...
    def counts(
        self, start: int, stop: int, threads: int | None = None, progress: Progress = None
    ) -> tuple[Any, Any, Any]: ...
def umap(
    graph: Any, initial: Any | None, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, float, float]: ...
def umap_curve(min_dist: float, spread: float) -> tuple[float, float]: ...
def layout_score(
    score: str,
    x: Any,
    embedding: Any,
    n_neighbors: int,
    sample: int | None,
    seed: int,
    threads: int | None = None,
    progress: Progress = None,
) -> float: ...
def recipe_steps(toml: str) -> list[str]: ...
def recipe_part(
    inputs: list[str],
    join: str,
    work: str,
    toml: str,
    step: str,
    part: int,
    of: int,
    threads: int | None = None,
    progress: Progress = None,
) -> None: ...
def recipe_merge(
    inputs: list[str],
    join: str,
    work: str,
    toml: str,
    until: str | None = None,
    output: str | None = None,
    report: str | None = None,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[str, str] | None: ...
def recipe_files(
    inputs: list[str],
    join: str,
    output: str,
    toml: str,
    report: str | None = None,
    memory: int | None = None,
    scratch: str | None = None,
    checkpoints: str | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[str, str]: ...
def volume_steps(recipe: str, toml: str) -> list[str]: ...
def volume_part(
    recipe: str,
    input: str,
    beside: str | None,
    work: str,
    toml: str,
    step: str,
    part: int,
    of: int,
    threads: int | None = None,
    progress: Progress = None,
) -> None: ...
def volume_merge(
    recipe: str,
    input: str,
    beside: str | None,
    work: str,
    toml: str,
    output: str,
    table: str | None = None,
    report: str | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[str, str]: ...
def recipe_counts(
    matrix: Any,
    obs: tuple[list[str], list[tuple[str, str, Any]]],
    var: tuple[list[str], list[tuple[str, str, Any]]],
    name: str,
    output: str,
    toml: str,
    report: str | None = None,
    memory: int | None = None,
    scratch: str | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[str, str]: ...
def atlas_files(path: Any, name: str | None = None) -> dict[str, Any]: ...
def atlas_structures(path: Any) -> tuple[list[tuple[int, str, str, int | None, Any]], dict[int, int] | None]: ...
def atlas_structures_csv(
    text: str, name: str
) -> tuple[list[tuple[int, str, str, int | None, Any]], dict[int, int] | None]: ...
def recipe_cells(
    signal: str, background: str | None, output: str, toml: str, threads: int | None = None, progress: Any = None
) -> tuple[str, str]: ...
def recipe_template() -> str: ...
def cli_main(argv: list[str]) -> int: ...
def leiden(
    indptr: Any, indices: Any, weights: Any, initial: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, int, float, float, int, bool]: ...
def modularity(
    indptr: Any,
    indices: Any,
    weights: Any,
    membership: Any,
    resolution: float,
    use_weights: bool,
    threads: int | None = None,
    progress: Progress = None,
) -> float: ...
def partition_agreement(a: Any, b: Any) -> tuple[float, float]: ...
def raster_points(
    x: Any,
    y: Any,
    colors: Any,
    missing: tuple[int, int, int, int],
    options: str,
    codes: Any = None,
    values: Any = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, tuple[float, float, float, float], int]: ...
def category_colors(n: int) -> list[str]: ...
def diffmap(
    graph: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, float, int]: ...
def pseudotime(
    graph: Any, vectors: Any, values: Any, root: int, options: str, threads: int | None = None, progress: Progress = None
) -> Any: ...
def paga(
    graph: Any, labels: Any, groups: int, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any]: ...
def paga_transitions(
    graph: Any, labels: Any, groups: int, n_neighbors: int, threads: int | None = None, progress: Progress = None
) -> Any: ...
def louvain(
    indptr: Any, indices: Any, weights: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, int, float, float, int, bool]: ...
def gaussian_density(points: Any, threads: int | None = None, progress: Progress = None) -> Any: ...
def velocity_moments(graph: Any, counts: Any, threads: int | None = None, progress: Progress = None) -> Any: ...
def velocity(
    spliced_means: Any,
    unspliced_means: Any,
    counts: tuple[Any, Any, Any] | None,
    eligible: Any,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def velocity_graph(
    expression: Any, velocity: Any, distances: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any], Any]: ...
def transition_matrix(
    positive: Any, negative: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any]: ...
def velocity_embedding(
    transitions: Any, positions: Any, options: str, threads: int | None = None, progress: Progress = None
) -> Any: ...
def tsne(
    points: Any, initial: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, float, int]: ...
def force_atlas(
    graph: Any, initial: Any, options: str, threads: int | None = None, progress: Progress = None
) -> Any: ...
def fate_probabilities(
    vectors: Any,
    values: Any,
    n_dcs: int,
    pseudotime: Any,
    terminal: Any,
    fates: int,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any, int, int]: ...
def harmony(
    data: Any, keys: list[Any], options: str, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def lisi(
    indices: Any,
    distances: Any,
    labels: Any,
    n_labels: int,
    perplexity: float,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def silhouette(
    data: Any, labels: Any, n_labels: int, wanted: Any, threads: int | None = None, progress: Progress = None
) -> Any: ...
def kbet(
    indices: Any, batches: Any, n_batches: int, alpha: float, threads: int | None = None, progress: Progress = None
) -> tuple[float, Any, Any]: ...
def scrublet(
    matrix: Any, options: str, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def minimum_between_modes(values: Any) -> float | None: ...
def balanced_neighbors(
    data: Any, batches: Any, n_batches: int, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any]: ...
def trim_graph(graph: Any, most: int, threads: int | None = None, progress: Progress = None) -> tuple[Any, Any, Any]: ...
def pca_project(
    matrix: Any, components: Any, center: Any, threads: int | None = None, progress: Progress = None
) -> Any: ...
def knn_query(
    reference: Any,
    queries: Any,
    n_neighbors: int,
    metric: str,
    algorithm: str,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any]: ...
def umap_place(
    indices: Any,
    distances: Any,
    layout: Any,
    a: float,
    b: float,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def harmony_map(
    data: Any,
    batches: Any,
    centroids: Any,
    sizes: Any,
    sums: Any,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def hashsolo(counts: Any, options: str) -> tuple[Any, Any, Any]: ...
def aggregate(
    matrix: Any, labels: Any, n_groups: int, options: str, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def pseudobulk_test(
    counts: Any,
    design: Any,
    coefficients: list[str],
    samples: list[str],
    contrast: Any,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def lowess(x: Any, y: Any, span: float, delta: float) -> Any: ...
def logistic_fit(
    matrix: Any,
    labels: Any,
    n_classes: int,
    mask: Any,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def logistic_predict(
    matrix: Any,
    coefficients: Any,
    intercepts: Any,
    n_classes: int,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any]: ...
def clr(matrix: Any, options: str, threads: int | None = None, progress: Progress = None) -> tuple[Any, ...]: ...
def dsb(
    cells: Any, empty: Any, isotypes: list[int], options: str, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def tfidf(matrix: Any, options: str, threads: int | None = None, progress: Progress = None) -> tuple[Any, ...]: ...
def gene_activity(
    matrix: Any, peaks: Any, genes: Any, threads: int | None = None, progress: Progress = None
) -> tuple[tuple[Any, ...], list[int]]: ...
def wnn(
    modalities: list[Any], options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any]: ...
def regress_out(
    matrix: Any, covariates: Any = None, categories: Any = None, threads: int | None = None, progress: Progress = None
) -> tuple[Any, int]: ...
def combat(
    matrix: Any,
    batches: Any,
    covariates: list[Any],
    options_json: str,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def downsample_counts(
    matrix: Any,
    options_json: str,
    counts_per_cell: Any = None,
    total_counts: int = 0,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any, Any]: ...
def sketch_geometric(
    embedding: Any, n_obs: int, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, float, int]: ...
def leverage_scores(
    matrix: Any,
    options: str,
    cells: Any = None,
    mask: Any = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def sample_weighted(weights: Any, n_obs: int, seed: int) -> Any: ...
def spatial_nearest(places: Any, options: str, threads: int | None = None, progress: Progress = None) -> tuple[Any, Any]: ...
def spatial_within(
    places: Any, least: float, most: float, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any]: ...
def spatial_rings(
    graph: tuple[Any, Any, Any], n_rings: int, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any]: ...
def nhood_enrichment(
    graph: tuple[Any, Any, Any],
    labels: Any,
    n_labels: int,
    libraries: Any,
    n_libraries: int,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any, Any]: ...
def interaction_matrix(
    graph: tuple[Any, Any, Any], labels: Any, n_labels: int, threads: int | None = None
) -> tuple[Any, Any]: ...
def pairs_by_distance(
    places: Any,
    labels: Any,
    n_labels: int,
    distances: Any,
    sample: tuple[int, int] | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def spatial_autocorr(
    graph: tuple[Any, Any, Any],
    columns: tuple[Any, Any, Any],
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, float, float, tuple[Any, Any, Any] | None]: ...
def gaussian_mixture(values: Any, options: str, threads: int | None = None, progress: Progress = None) -> dict[str, Any]: ...
def spatially_variable(
    places: Any,
    libraries: Any,
    n_libraries: int,
    columns: tuple[Any, Any, Any],
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any, Any, Any]: ...
def bivariate(
    graph: tuple[Any, Any, Any],
    columns: tuple[Any, Any, Any],
    pairs: list[list[int]],
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def centrality(
    graph: tuple[Any, Any, Any], labels: Any, n_labels: int, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any, Any]: ...
def ripley(
    places: Any,
    labels: Any,
    n_labels: int,
    planes: Any,
    measure: float,
    distances: Any,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any, Any, Any]: ...
def group_means(
    expression: tuple[Any, Any, Any],
    genes: int,
    labels: Any,
    n_labels: int,
    graph: tuple[Any, Any, Any] | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any]: ...
def ligrec(
    expression: tuple[Any, Any, Any],
    genes: int,
    labels: Any,
    n_labels: int,
    libraries: Any,
    n_libraries: int,
    graph: tuple[Any, Any, Any] | None,
    partners: tuple[Any, Any, Any, Any, Any],
    score: str,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any]: ...
def align_points(
    moving: Any,
    fixed: Any,
    options: str,
    landmarks: tuple[Any, Any, Any] | None = None,
    initial: Any = None,
    features: tuple[Any, Any] | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def match_points(
    moving: Any,
    fixed: Any,
    options: str,
    features: tuple[Any, Any] | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def landmark_transform(moving: Any, fixed: Any, options: str, weights: Any = None) -> tuple[str, Any]: ...
def coherent_point_drift(
    moving: Any, fixed: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[str, Any, float, int, bool]: ...
def map_through(
    map: str, points: Any, inverse: bool = False, threads: int | None = None, progress: Progress = None
) -> Any: ...
def principal_vectors(
    cells: Any, places: Any, options: str, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def neighbor_weights(
    reference: Any, queries: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[tuple[Any, Any], Any, Any]: ...
def map_candidates(
    cells: Any,
    places: Any,
    per_cell: int,
    per_place: int,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, Any]: ...
def tangram(
    cells: Any,
    places: Any,
    options: str,
    candidates: tuple[Any, Any] | None = None,
    density: Any = None,
    masses: Any = None,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def weighted_rows(
    parts: tuple[int, Any, Any, Any], matrix: Any, empty: float, threads: int | None = None, progress: Progress = None
) -> Any: ...
def weighted_places(
    parts: tuple[int, Any, Any, Any], places: Any, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any]: ...
def label_shares(
    parts: tuple[int, Any, Any, Any],
    labels: Any,
    n_labels: int,
    mass: Any = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def deconvolve(
    spots: Any, mean: Any, variance: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any, Any]: ...
def nnls(gram: Any, products: Any, threads: int | None = None) -> Any: ...
def pooled_size_factors(
    matrix: Any, options_json: str, clusters: Any = None, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def scale_statistics(
    matrix: Any, mask: Any = None, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any]: ...
def scale_in_place(
    data: Any,
    mean: Any,
    std: Any,
    options_json: str,
    mask: Any = None,
    indptr: Any = None,
    indices: Any = None,
    threads: int | None = None,
    progress: Progress = None,
) -> None: ...
def scale_to_dense(
    matrix: Any,
    mean: Any,
    std: Any,
    options_json: str,
    out: Any,
    mask: Any = None,
    threads: int | None = None,
    progress: Progress = None,
) -> None: ...
def gene_totals(
    matrix: Any, double: bool, weights: Any | None = None, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any]: ...
def gene_set_means(
    matrix: Any, sets: list[Any], threads: int | None = None, progress: Progress = None
) -> Any: ...
def pearson_residuals(
    matrix: Any, options_json: str, threads: int | None = None, progress: Progress = None
) -> dict[str, Any]: ...
def dpt_branchings(
    graph: Any, vectors: Any, values: Any, root: int, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any, Any]: ...
class Volume:
    @staticmethod
    def from_array(bytes: Any, dtype: str, axes: str, shape: list[int]) -> Volume: ...
    @staticmethod
    def from_callable(
        fetch: Callable[..., Any], name: str, dtype: str, axes: str, shape: list[int], chunk: list[int]
    ) -> Volume: ...
    @staticmethod
    def from_path(
        path: str,
        spacing: tuple[float, float, float] | None = None,
        orientation: str | None = None,
        axes: str | None = None,
        series: int | None = None,
        level: int | None = None,
    ) -> Volume: ...
    def write(
        self,
        path: str,
        labels: str | None,
        mode: bool,
        version: str,
        chunk: tuple[int, ...] | None,
        shard: tuple[int, ...] | None,
        compression: str,
        levels: int | None,
        memory: int | None = None,
        threads: int | None = None,
        progress: Progress = None,
    ) -> None: ...
    def described(
        self,
        spacing: tuple[float, float, float] | None = None,
        origin: tuple[float, float, float] | None = None,
        time_step: float | None = None,
        orientation: str | None = None,
        channels: list[str] | None = None,
    ) -> Volume: ...
    def single(self) -> Volume | None: ...
    @property
    def in_file(self) -> bool: ...
    def shared(self, passes: Any) -> Volume: ...
    def for_part(self, history: list[list[bytes]], kept: list[tuple[str, bytes]], part: int, of: int) -> Volume: ...
    def taken(self) -> tuple[bytes, bytes | None] | None: ...
    def part(self, start: list[int], stop: list[int]) -> Volume: ...
    def read(self, threads: int | None = None, progress: Progress = None) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int, int, int, int]: ...
    @property
    def axes(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def spacing(self) -> tuple[float, float, float] | None: ...
    @property
    def origin(self) -> tuple[float, float, float]: ...
    @property
    def time_step(self) -> float | None: ...
    @property
    def orientation(self) -> str | None: ...
    @property
    def channels(self) -> list[str]: ...
    @property
    def chunk(self) -> tuple[int, int, int]: ...

def im_filter(
    volume: Volume,
    name: str,
    options: str,
    spacing: tuple[float, float, float],
    dtype: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def im_destripe(
    volume: Volume,
    options: str,
    spacing: tuple[float, float, float],
    dtype: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def im_estimate_flatfield(
    tiles: list[Volume],
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> list[tuple[Any, Any, Any, int]]: ...
def im_apply_flatfield(
    volume: Volume,
    flatfield: Any,
    darkfield: Any,
    dtype: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def im_subtract_background(
    signal: Volume,
    background: Volume,
    options: str,
    spacing: tuple[float, float, float],
    dtype: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, list[tuple[list[float], list[float], list[int], int, int]]]: ...
def im_downsample(
    volume: Volume,
    options: str,
    dtype: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, list[int], tuple[float, float, float] | None, tuple[float, float, float]]: ...
def im_resample(
    volume: Volume,
    options: str,
    spacing: tuple[float, float, float],
    dtype: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, list[int], tuple[float, float, float] | None, tuple[float, float, float]]: ...
def im_default_classifier() -> str: ...
def im_check_classifier(name: str, text: str) -> None: ...
def im_detect_cells(
    signal: Volume,
    background: Volume | None,
    options: str,
    spacing: tuple[float, float, float],
    classifier: str | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def im_train_cell_classifier(
    patches: list[tuple[Volume, Volume | None, Any, Any, int]],
    options: str,
    spacing: tuple[float, float, float],
    threads: int | None = None,
    progress: Progress = None,
) -> str: ...
def im_match_detections(
    reference_times: Any,
    reference: Any,
    result_times: Any,
    result: Any,
    radius: float,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def im_match_points(found: Any, truth: Any, radius: float) -> tuple[list[int], list[int], list[float]]: ...
def im_phantom(options: str) -> tuple[Volume, Volume, dict[str, Any]]: ...
def columns_write(path: Any, rows: Any, metadata: list[tuple[str, str]]) -> None: ...
def columns_read(path: Any) -> tuple[tuple[list[str], list[tuple[str, Any]]], list[tuple[str, str]]]: ...
def im_label(
    volume: Volume,
    options: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, list[int]]: ...
def im_distance_transform(
    volume: Volume,
    options: str,
    spacing: tuple[float, float, float],
    wide: bool,
    max_distance: float | None = None,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def im_watershed(
    image: Volume,
    markers: Volume,
    mask: Volume | None,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> Any: ...
def im_organoids(
    labels: Volume,
    picture: Volume | None,
    options: str,
    spacing: tuple[float, float, float],
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def im_phase_shift(fixed: Any, moving: Any, progress: Progress = None) -> tuple[list[float], float, float]: ...
def im_region_properties(
    labels: Volume,
    picture: Volume | None,
    options: str,
    spacing: tuple[float, float, float],
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> list[dict[str, Any]]: ...
def im_segment_nuclei(
    volume: Volume,
    channel: int,
    options: str,
    spacing: tuple[float, float, float],
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Any, list[tuple[dict[str, Any], float, float]]]: ...
def im_segmentation_scores(
    truth: Volume,
    found: Volume,
    thresholds: list[float],
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[list[dict[str, Any]], float]: ...
def im_track(
    offsets: list[int], points: Any, sizes: Any, options: str, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any]: ...
def im_label_centres(
    volume: Volume, threads: int | None = None, progress: Progress = None
) -> tuple[Any, Any, Any, Any]: ...
def im_match_labels(
    reference: Volume, result: Volume, threads: int | None = None, progress: Progress = None
) -> tuple[tuple[Any, Any, Any, Any], tuple[Any, Any, Any, Any], Any, float]: ...
def ctc_scores(
    reference_times: Any,
    reference_tracks: Any,
    reference_parents: Any,
    result_times: Any,
    result_tracks: Any,
    result_parents: Any,
    matches: Any,
    tolerance: int,
) -> dict[str, Any]: ...

class Registration:
    def __init__(
        self,
        vectors: Any,
        field_spacing: Any,
        affine: Any,
        fixed: Any,
        moving: Any,
        quality: str,
        origin: Any = (0.0, 0.0, 0.0),
    ) -> None: ...
    def vectors(self) -> Any: ...
    def inverse_vectors(self, threads: int | None = None, progress: Progress = None) -> Any: ...
    @property
    def field_spacing(self) -> Any: ...
    @property
    def affine(self) -> Any: ...
    @property
    def fixed(self) -> Any: ...
    @property
    def moving(self) -> Any: ...
    @property
    def quality(self) -> str: ...
    @property
    def origin(self) -> tuple[float, float, float]: ...
    @property
    def trustworthy(self) -> bool: ...
    def map_points(self, points: Any, to_moving: bool, threads: int | None = None, progress: Progress = None) -> Any: ...
    def warp_image(self, voxels: Any, to_moving: bool, threads: int | None = None, progress: Progress = None) -> Any: ...
    def warp_labels(self, labels: Any, to_moving: bool, threads: int | None = None, progress: Progress = None) -> Any: ...
    def save(self, path: Any) -> None: ...
    @staticmethod
    def load(path: Any) -> Registration: ...
    def jacobian(self) -> Any: ...

class Atlas:
    def __init__(
        self,
        name: str,
        annotation: Any,
        spacing: Any,
        orientation: str,
        structures: list[tuple[int, str, str, int | None, Any]],
        hemispheres: Any | None = None,
    ) -> None: ...
    def structures(self) -> list[tuple[int, str, str, int | None, int, int, Any]]: ...
    @property
    def remarks(self) -> list[str]: ...
    def hemispheres(self) -> Any: ...
    def density(
        self,
        points: Any,
        options: str,
        growth: tuple[Any, Any] | None = None,
        threads: int | None = None,
        progress: Progress = None,
    ) -> tuple[Any, Any]: ...
    def locate(self, points: Any, threads: int | None = None, progress: Progress = None) -> tuple[Any, Any]: ...
    def count(
        self,
        structures: Any,
        left: Any,
        growth: tuple[Any, Any] | None = None,
        threads: int | None = None,
        progress: Progress = None,
    ) -> tuple[Any, Any, Any, Any]: ...

def im_compare_regions(
    counts: Any,
    offsets: Any,
    design: Any,
    names: list[str],
    samples: list[str],
    coefficient: int,
    parents: list[int | None],
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def im_compare_volumes(
    volumes: list[Volume],
    first: int,
    mask: Any | None,
    options: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> dict[str, Any]: ...
def im_open_tiles(
    paths: list[str],
    spacing: Any = None,
    axes: str | None = None,
    overlap: Any = None,
    grid: Any = None,
    order: str = "rows",
) -> list[tuple[str, Volume, Any]]: ...
def im_grid_cells(n: int, grid: Any, order: str) -> list[list[int]]: ...
def im_stitch(
    tiles: list[Volume],
    positions: Any,
    spacing: Any,
    options: str,
    threads: int | None = None,
    progress: Progress = None,
) -> str: ...
def im_stitch_summary(found: str) -> str: ...
def im_fuse(tiles: list[Volume], positions: Any, gains: Any, dark: float, spacing: Any, options: str) -> Volume: ...
def im_register(
    moving: list[Volume],
    moving_spacing: Any,
    moving_orientation: str | None,
    moving_mask: Volume | None,
    fixed: list[Volume],
    fixed_spacing: Any,
    fixed_orientation: str | None,
    fixed_mask: Volume | None,
    landmarks: Any,
    options: str,
    memory: int | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Registration: ...
