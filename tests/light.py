"""Commands of the light install: those that work without an extra, and those that name the extra they need."""

HEAVY = ("tensorflow", "keras", "h5py", "matplotlib", "sklearn", "skimage", "scipy", "pyarrow", "pandas", "openpyxl")
HEAVY += (
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "onnx",
    "onnxruntime",
    "nncf",
    "openvino",
    "faiss",
    "umap",
    "pydicom",
    "pillow_heif",
    "tensorboard",
)

# {run}: a frozen network with a head; {blocks}: one with trained upper blocks; {scratch}: one without averages of a
# feature map; {classic}: a classic classifier;
# {data}: its images; {image}: one of them; {out}: an empty folder
WORKS = (
    "--help",
    "--version",
    "predict {run} {data} -o {out}/predictions.csv",
    "predict {run} {data} --sheet {out}/sheet.html --sort-into {out}/sorted",
    "predict {run} {image} --verify",
    "predict {blocks} {image}",
    "predict {classic} {image}",
    "evaluate {run} {data} --include-training -o {out}/tables",
    "explain {run} {image} -o {out}/explain.png",
    "explain {classic} {image} -o {out}/classic.png",
    "explain {blocks} {image} --method occlusion -o {out}/occlusion.png",
    "attack {run} {data} --method square --steps 2 --max-images 2 -o {out}/adversarial",
    "robustness {run} {data} --corruptions jpeg --severities 1",
    "search index {data} -o {out}/index --descriptor pixels",
    "search near {data}",
    "doctor {run}",
    "report {run} --images {data} -o {out}/report.html",
    "report {run} {classic} --images {data} -o {out}/runs.html",
    "runs {run}",
    "check {data} -o {out}/check.html",
    "augment {data} -o {out}/augment.png",
    "models",
    "cache info",
)
NEEDS = {  # what the sentence names: the package, and the extra that installs it
    "finetune {data} -o {out}/r": ("TensorFlow", "train"),
    "finetune {data} --dry-run": ("TensorFlow", "train"),
    "finetune {data} --from {run} -o {out}/r": ("TensorFlow", "train"),
    "train {data} --model lenet5 -o {out}/r": ("TensorFlow", "train"),
    "train {data} --descriptor hog -o {out}/r": ("scikit-learn", "classic"),
    "train {data} --features mobilenet_v2 -o {out}/r": ("scikit-learn", "classic"),
    "compare {data} -o {out}/r": ("TensorFlow", "train"),
    "lr-find {data} -o {out}/lr.png": ("TensorFlow", "train"),
    "serve {run}": ("Starlette", "serve"),
    "export {run} -o {out}/e": ("tensorflow", "train"),
    "features {data} -o {out}/f.npz": ("TensorFlow", "train"),
    "features {data} --pca 2 -o {out}/f.npz": ("scikit-learn", "classic"),
    "features {data} --pq 4 -o {out}/f.npz": ("faiss", "search"),
    "features {data} -o {out}/f.parquet": ("pyarrow", "parquet"),
    "features {data} -o {out}/f/": ("pyarrow", "parquet"),
    "summary lenet5": ("TensorFlow", "train"),
    "gradcheck lenet5": ("TensorFlow", "train"),
    "visualize mobilenet_v2 -o {out}/v.png": ("TensorFlow", "train"),
    "models mobilenet_v2 --cuts": ("TensorFlow", "train"),
    "models mobilenet_v2 --measure": ("TensorFlow", "train"),
    "attack {run} {image} --method square --sheet {out}/attack.png": ("matplotlib", "plots"),
    "attack {run} {data} --method square --tables {out}/t": ("matplotlib", "plots"),
    "search index {data} -o {out}/i": ("TensorFlow", "train"),
    "robustness {run} {data} -o {out}/r": ("matplotlib", "plots"),
    "models -o {out}/models.png": ("matplotlib", "plots"),
    "predict {run} {image} --sheet {out}/sheet.png": ("matplotlib", "plots"),
    "predict {run} {image} -o {out}/p.xlsx": ("openpyxl", "xlsx"),
    "predict {run} {image} -o {out}/p.parquet": ("pyarrow", "parquet"),
    "predict {run} {image} -o {out}/p/": ("pyarrow", "parquet"),
    "sample digits {out}/digits": ("scikit-learn", "samples"),
}
NEEDS_OF_OWN_RUNS = {  # of a run from another machine, the command first says something else
    "report {run} --map tsne --images {data} -o {out}/tsne.html": ("scikit-learn", "classic"),
    "explain {scratch} {image} -o {out}/scratch.png": ("TensorFlow", "train"),
    "attack {run} {data} --method pgd": ("TensorFlow", "train"),
    "summary {run}": ("TensorFlow", "train"),
    "visualize {run} -o {out}/v.png": ("TensorFlow", "train"),
}

NO_ENGINE = (  # a command, and its sentence: engines have one of their own
    "predict {run} {image} --engine openvino",
    "Error: the openvino engine is not installed; install it with `pip install 'tlkit[openvino]'`.\n",
)


def sentence(package: str, extra: str) -> str:
    """Give the end of the sentence that names what is missing."""
    return f" needs {package}, which is not installed: pip install 'tlkit[{extra}]'."
