"""Every reader of this project, on small whole files of its own: what ``tests/fuzz.py`` damages.

Each function here writes whole files into a folder, and gives those that may be damaged, and what reads them. Faces are
noise or drawn.
"""

import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

Prepared = tuple[list[Path], Callable[[], object]]


def fer2013(form: str):
    def prepare(folder: Path) -> Prepared:
        import made_up_fer2013 as made

        arrays = made.made_up()
        if form == "pictures":
            files = {
                **made.picture_files(*arrays, ".png"),
                **{f"x{name}": content for name, content in made.picture_files(*made.made_up(1), ".jpg").items()},
            }
            files = {name.replace("xtrain", "train").replace("xtest", "test"): files[name] for name in files}
            made.write_folder(folder / "faces", files)
            return [folder / "faces" / name for name in files], lambda: made.load(folder / "faces")
        path = folder / f"fer2013{form}"
        if form == ".npz":
            made.write_npz(path, *arrays)
        elif form == "-pictures.zip":
            made.write_zip(path, made.picture_files(*arrays))
        else:
            made.write(path, made.csv_text(*arrays))
        return [path], lambda: made.load(path)

    return prepare


def ferplus(folder: Path) -> Prepared:
    from fer_lib.data import ferplus

    lines = [",".join(("Usage", "Image name", *ferplus.COLUMNS))]
    lines += [
        f"{part},fer{k:07}.png,{k % 4},{10 - k % 4},0,0,0,0,0,0,0,0"
        for part in ("Training", "PublicTest")
        for k in range(9)
    ]
    (folder / "fer2013new.csv").write_text("\n".join(lines))
    return [folder / "fer2013new.csv"], lambda: ferplus.load(folder / "fer2013new.csv")


def affectnet(layout: str):
    def prepare(folder: Path) -> Prepared:
        from fer_lib.data import affectnet, drawn_affectnet

        tree = folder / "AffectNet"
        drawn_affectnet.write(tree, layout, 14, 7)
        files = [path for path in tree.rglob("*") if path.is_file()]
        lists = [path for path in files if path.suffix == ".csv"]
        return [*files, *lists * 9], lambda: affectnet.load(tree)

    return prepare


def predictions(form: str):
    def prepare(folder: Path) -> Prepared:
        import made_up_records as made

        from fer_lib.data.emotions import FER2013
        from fer_lib.evaluation import prediction_files

        faces = made.faces()
        rows = faces.rows("PublicTest")
        if form == "npz":
            path = made.network(folder, 0, lambda labels: made.answers(labels, 3))["folder"] / "predictions.npz"
        else:
            path = folder / "mine.csv"
            lines = [f"{row},{FER2013[label]}" for row, label in zip(faces.ids[rows], faces.labels[rows])]
            head = "row,emotion"
            if form == "probabilities":
                head = f"row,{','.join(FER2013)}"
                lines = [f"{row},0.1,0.1,0.1,0.1,0.1,0.1,0.4" for row in faces.ids[rows]]
            path.write_text("\n".join([head, *lines]))
        return [path], lambda: prediction_files.read(str(path), faces)

    return prepare


def record(folder: Path) -> Prepared:
    import made_up_records as made

    from fer_lib.evaluation import records

    place = made.network(folder, 0, lambda labels: made.answers(labels, 3))["folder"]

    def read():
        whole = records.read(place)
        records.check(whole)
        records.predictions(whole)

    return [place / "metrics.json"], read


def archive(folder: Path) -> Prepared:
    import made_up_records as made

    from fer_lib import paths, runs
    from fer_lib.runs import transport

    name = "saravanan2019/table1_feedforward"
    paths.RESULTS = folder / "there"
    run = runs.run(name, 1, "full", "tensorflow")
    made.network(paths.RESULTS, 1, lambda labels: made.answers(labels, 3), parameters=run.parameters)
    with redirect_stdout(io.StringIO()):
        transport.export_records(folder / "records.tar")
    return _imported(folder / "records.tar")


def _imported(archive: Path) -> Prepared:
    """An archive, taken each time where nothing is."""
    from fer_lib import paths
    from fer_lib.runs import transport

    paths.RESULTS = archive.parent / "here"

    def read():
        with redirect_stdout(io.StringIO()):
            transport.import_records(archive)
        shutil.rmtree(paths.RESULTS, ignore_errors=True)

    return [archive], read


def ledger(folder: Path) -> Prepared:
    from fer_lib import paths, runs
    from fer_lib.claims import ledger

    known = runs.experiments()
    (folder / "claims").mkdir()
    for name in ("schema.json", "vorontsov2018.yaml"):  # the other paper's are three times as long to read
        shutil.copy(paths.CLAIMS / name, folder / "claims")
    return [folder / "claims" / "vorontsov2018.yaml"], lambda: ledger.read(folder / "claims", known)


def history(folder: Path) -> Prepared:
    from fer_lib import paths
    from fer_lib.claims import ledger

    shutil.copytree(paths.CLAIMS, folder / "claims")

    def read():
        ledger.changes(folder / "claims")
        ledger.moves(folder / "claims")

    return [path for path in (folder / "claims" / "history").iterdir() if path.is_file()], read


def experiment(folder: Path) -> Prepared:
    from fer_lib import paths, runs

    some = ("saravanan2019/table1_feedforward", "ours/live_conditions", "vorontsov2018/table1_googlenet")
    some = [name for name in some if (paths.EXPERIMENTS / f"{name}.yaml").exists()]
    for name in some:
        (folder / "experiments" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.EXPERIMENTS / f"{name}.yaml", folder / "experiments" / f"{name}.yaml")
    paths.EXPERIMENTS = folder / "experiments"

    def read():
        for name in runs.experiments():
            runs.run(name, 0, "full", "tensorflow")

    return sorted((folder / "experiments").glob("*/*.yaml")), read


def weights(ending: str):
    def prepare(folder: Path) -> Prepared:
        import h5py
        import made_up_weights as made

        from fer_lib.models import weight_files

        weight_files.LONGEST = 10  # seconds, less than ours: these files are small
        path, rng = folder / f"weights{ending}", np.random.default_rng(0)
        if ending == ".h5":
            with h5py.File(path, "w") as file:
                file.attrs["layer_names"] = [b"block1", b"predictions"]
                for name in ("block1", "predictions"):
                    group = file.create_group(name)
                    group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
                    group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = rng.random((3, 4)), rng.random(4)
        elif ending == ".mat":
            layers = {
                "conv1_1": [rng.random((3, 3, 3, 4)), rng.random(4)],
                "fc8": [rng.random((1, 1, 4, 5)), rng.random(5)],
            }
            made.matconvnet(path, layers, "vgg-face")
        elif ending == ".caffemodel":
            shapes = {"fc6": (2, 256), "fc7": (2, 2), "fc8": (2, 2)}
            shapes = {**{f"conv{k}": (2, 3, 3, 3) for k in range(1, 6)}, **shapes}
            layers = {layer: [rng.random(shape), rng.random(2)] for layer, shape in shapes.items()}
            made.caffemodel(path, layers, old=True)
        else:
            tensors = {"fc.weight": rng.random((3, 4), np.float32), "fc.bias": rng.random(3, np.float32)}
            made.torch_file(path, tensors, old=ending == ".old.pth")
        return [path], lambda: weight_files.read(path)

    return prepare


def keras_file(folder: Path) -> Prepared:
    import keras

    from fer_lib.evaluation import crossdata

    layers = [
        keras.Input((48, 48, 1)),
        keras.layers.AveragePooling2D(16),
        keras.layers.Flatten(),
        keras.layers.Dense(7),
    ]
    keras.Sequential(layers).save(folder / "network.keras")
    return [folder / "network.keras"], lambda: crossdata._model(folder / "network.keras", "fer2013")


def checkpoint(folder: Path) -> Prepared:
    import keras

    from fer_lib.training import checkpoints

    def compiled():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse")
        return model

    model, identity = compiled(), {"protocol": {}, "seed": 0}
    model.optimizer.build(model.trainable_variables)
    from dataclasses import asdict

    from fer_lib.training.protocol import Protocol

    identity = {"protocol": asdict(Protocol()), "seed": 0}
    logits = {"best": np.zeros((3, 7), np.float32)}
    checkpoints.save(folder / "run", model, logits, {"history": [{}], "identity": identity})

    def read():
        with redirect_stdout(io.StringIO()):
            checkpoints.restore(folder / "run", compiled(), identity, lambda epoch: None)

    return [path for path in (folder / "run").rglob("*") if path.is_file()], read


def cache(folder: Path) -> Prepared:
    from fer_lib import data

    rows = np.zeros((5, 48, 48), np.uint8), np.zeros(5, np.uint8), np.zeros(5, np.uint8)
    data.keep_arrays(folder / "kept", rows, {})
    return sorted((folder / "kept").iterdir()), lambda: data.kept_arrays(folder / "kept")


def shown() -> np.ndarray:
    """(60, 80, 3) uint8: something to see."""
    return cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (80, 60))


def picture(ending: str):
    def prepare(folder: Path) -> Prepared:
        from fer_lib.live import sources

        path = folder / f"picture{ending}"
        if ending == ".gif":
            from PIL import Image

            images = [Image.fromarray(shown()[:, ::step]).resize((80, 60)) for step in (1, -1)]
            images[0].save(path, save_all=True, append_images=images[1:], duration=40)
        else:
            path.write_bytes(cv2.imencode(ending, shown())[1].tobytes())
        return [path], lambda: list(sources.frames(path))

    return prepare


def video(ending: str):
    def prepare(folder: Path) -> Prepared:
        import live_frames

        from fer_lib.live import sources

        path = live_frames.video(folder / f"video{ending}", [shown()[:, ::step] for step in (1, -1) * 5])
        return [path], lambda: list(sources.frames(path))

    return prepare


def live_model(ending: str):
    def prepare(folder: Path) -> Prepared:
        from fer_lib.live import inference

        path = folder / f"model{ending}"
        shutil.copy(next(inference.MODEL.parent.glob(f"model*{ending}")), path)
        faces = np.zeros((2, 48, 48), np.uint8)
        return [path], lambda: inference.load(path).classify(faces)

    return prepare


# ---- trees


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def tiny(colour: bool = False) -> bytes:
    """A PNG of 12 x 10 pixels of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (10, 12, 3)[: 2 + colour], np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def ckplus_tree(folder: Path) -> list[Path]:
    """Ten persons of one labelled sequence with one frame each; two have action units, one of them landmarks."""
    files = []
    for number in range(1, 11):
        person = f"S{number:03d}/001"
        name = f"{person}/{person.replace('/', '_')}_00000001"
        files.append(put(folder / "cohn-kanade-images" / f"{name}.png", tiny(number % 3 == 0)))
        files.append(put(folder / "Emotion" / f"{name}_emotion.txt", f"   {1 + number % 7}.0000000e+00\n"))
        if number < 3:
            lines = "   1.0000000e+00   2.0000000e+00\n   12.0000000e+00   0.0000000e+00\n"
            files.append(put(folder / "FACS" / f"{name}_facs.txt", lines))
    points = "".join(f"   {3 + k % 7}.5000000e+00   {2 + k % 6}.2500000e+00\n" for k in range(68))
    return [*files, put(folder / "Landmarks/S001/001/S001_001_00000001_landmarks.txt", points)]


def ckplus(folder: Path) -> Prepared:
    from fer_lib.data import ckplus

    files = ckplus_tree(folder / "ckplus")
    kinds = {path.name[4:]: path for path in reversed(files)}  # one or two of each kind are enough
    return sorted({*kinds.values(), *files[:4], files[-1]}), lambda: ckplus.load(folder / "ckplus", peaks=1)


def sfew_tree(folder: Path) -> list[Path]:
    from fer_lib.data.emotions import FER2013

    return [
        put(folder / part / emotion.capitalize() / f"Film{k}_{1000 * k + 12:09d}_00000005.png", tiny(k % 2 == 0))
        for part in ("Train_Aligned_Faces", "Val_Aligned_Faces")
        for k, emotion in enumerate(FER2013)
    ]


def sfew(folder: Path) -> Prepared:
    from fer_lib.data import sfew

    return sfew_tree(folder / "sfew"), lambda: sfew.load(folder / "sfew")


def names(data: str):
    """The names of a tree's files and folders, which are all that some data sets tell by: a list of them is damaged,
    and the tree of these names is read."""

    def prepare(folder: Path) -> Prepared:
        from fer_lib.data import afew, ckplus, gaf, sfew

        tree, seven = folder / "names", ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
        if data == "ckplus":
            whole, load = ckplus_tree(tree), ckplus.sequences
        elif data == "sfew":
            whole, load = sfew_tree(tree), sfew.load
        elif data == "afew":
            parts = [f"{part}_AFEW/{emotion}/00{k}.avi" for part in ("Train", "Val") for k, emotion in enumerate(seven)]
            whole, load = [tree / part for part in parts], afew.clips
        else:
            feelings = [f"{emotion}/{emotion[:3]}_{k}.jpg" for k, emotion in enumerate(gaf.EMOTIONS)]
            whole, load = [tree / part / name for part in ("Train", "Validation") for name in feelings], gaf.pictures
        listed = put(folder / "names.txt", "\n".join(str(path.relative_to(tree)) for path in whole))
        contents, above = {b".png": tiny(), b".txt": b"3.0 1.0\n"}, os.fsencode(tree) + b"/"

        def read():
            shutil.rmtree(tree, ignore_errors=True)
            tree.mkdir()
            for line in listed.read_bytes().split(b"\n")[:300]:
                place = os.path.normpath(above + line)
                if not place.startswith(above) or b"\0" in place:  # never outside the folder
                    continue
                with suppress(OSError, RecursionError):  # too long or deep, or one that is a file and a folder
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    with open(place, "wb") as file:
                        file.write(b"3.0\n" if b"emotion" in place else contents.get(place[-4:], b""))
            load(tree)

        return [listed], read

    return prepare


def affectnet_lists(folder: Path) -> Prepared:
    from fer_lib.data import affectnet_files, drawn_affectnet

    drawn_affectnet.write(folder / "AffectNet", "older", 14, 7)
    lists = sorted((folder / "AffectNet").rglob("*.csv"))
    return lists, lambda: affectnet_files.read(folder / "AffectNet")


def affectnet_annotation(folder: Path) -> Prepared:
    from fer_lib.data import affectnet_files

    np.save(folder / "7_exp.npy", np.array("3"))
    np.save(folder / "7_val.npy", np.array(-0.25))
    np.save(folder / "7_aro.npy", np.array("0.5"))
    files = sorted(folder.glob("*.npy"))

    def read():
        affectnet_files._DTYPES.clear()
        for path in (*files, *files):  # the second time headers are known
            affectnet_files._value(path)

    return files, read


def affectnet_unfinished(folder: Path) -> Prepared:
    """The log of a first load that was killed, and goes on."""
    from fer_lib.data import affectnet, affectnet_files, drawn_affectnet

    tree, partial = folder / "AffectNet", folder / "affectnet.partial"
    drawn_affectnet.write(tree, "newer", 14, 7)
    annotations = affectnet_files.read(tree)
    wanted = affectnet._wanted(annotations, 48, False, 7, "official")
    about = affectnet._about(annotations, 7) | {"stamp": "1"}
    count = len(wanted.pictures)
    for name in wanted.pictures:
        put(tree / name, tiny())
    line = json.dumps({"start": 0, "rows": affectnet._BLOCK_ROWS, "bad": {"2": "no such file"}})
    log = put(folder / "blocks.jsonl", f"{line}\n")

    def read():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        (partial / "images.npy").write_bytes(bytes(affectnet._HEADER + 48 * 48 * (count - 1)))
        shutil.copyfile(log, partial / "blocks.jsonl")
        affectnet._decode_all(tree, wanted, partial, about)
        if affectnet._opened(partial) is None:
            raise RuntimeError("what was kept cannot be read")

    return [log], read


# ---- caches, lists and notes of the study


def fer2013_index(folder: Path) -> Prepared:
    import made_up_fer2013 as made

    from fer_lib import paths

    paths.CACHE = folder / "kept"
    path = made.write(folder / "fer2013.csv", made.csv_text(*made.made_up()))
    made.load(path)
    return [paths.CACHE / "fer2013-index.json"], lambda: made.load(path)


def unpacked(folder: Path) -> Prepared:
    import made_up_records as made

    from fer_lib.evaluation import records, unpacked

    record = made.network(folder, 0, lambda labels: made.answers(labels, 3))
    unpacked.prepare([record])
    (copy,), whole = unpacked.place(record).iterdir(), records.read_arrays(record["folder"] / "predictions.npz")

    def read():
        unpacked._read.cache_clear()
        unpacked.prepare([record])
        arrays = unpacked.read(copy.parent, record["predictions_sha256"])
        if arrays.keys() != whole.keys() or any((arrays[name] != whole[name]).any() for name in whole):
            raise RuntimeError("other predictions than the record's")

    return [copy], read


def clips(folder: Path) -> Prepared:
    """The faces of clips, as they are kept after the first look."""
    from fer_lib.live import scenes

    arrays = np.zeros((3, 2, 48, 48), np.uint8), np.ones((3, 2), bool), np.arange(3, dtype=np.uint8)
    arrays += (np.arange(3, dtype=np.uint8),)
    kept = scenes.Clips(*arrays, np.arange(3, dtype=np.int32), "afew", scenes.array_hash(*arrays), {"left_out": 0})
    scenes._keep(folder / "clips.npz", kept)
    return [folder / "clips.npz"], lambda: scenes._opened(folder / "clips.npz", scenes.Clips)


def checkpoint_archive(folder: Path) -> Prepared:
    from fer_lib import paths, runs
    from fer_lib.runs import transport

    paths.RESULTS = folder / "there"
    run = runs.run("saravanan2019/table1_feedforward", 1, "full", "tensorflow")
    identity = {"protocol": {}, "seed": 1, "data": run.parameters["data"], "backend": run.backend}
    own = {name: value for name, value in run.parameters.items() if name not in ("data", "seed")}
    state = {"identity": identity | {"protocol": own}, "history": [{}, {}], "best_epoch": 1, "seconds": 1.5}
    put(run.unfinished / "checkpoint-2" / "state.json", json.dumps(state))
    put(run.unfinished / "checkpoint-2" / "model.weights.h5", b"weights")
    with redirect_stdout(io.StringIO()):
        transport.export_checkpoints(folder / "checkpoints.tar", [run])
    return _imported(folder / "checkpoints.tar")


def run_list(folder: Path) -> Prepared:
    from fer_lib import runs
    from fer_lib.runs import plan

    experiment(folder)  # few ones: they are read each time
    listed = [runs.run(name, seed, "full") for name in runs.experiments() for seed in (0, 3)]
    path = put(folder / "runs.json", plan.to_list("full", listed))
    return [path], lambda: plan.from_list(path)


def chosen(folder: Path) -> Prepared:
    """The text of ``ONLY=``, names of experiments."""
    from fer_lib import runs
    from fer_lib.runs import plan

    known, path = runs.experiments(), put(folder / "ONLY.txt", "table1_feedforward,ours/rung")
    return [path], lambda: plan.chosen(known, path.read_bytes().decode("utf-8", "surrogateescape"))


def region(folder: Path) -> Prepared:
    """The text of ``live --region``."""
    from fer_lib.live import pipeline

    path = put(folder / "region.txt", "0,10,640,480")
    return [path], lambda: pipeline.as_region(path.read_bytes().decode("utf-8", "surrogateescape"))


def failure(folder: Path) -> Prepared:
    from fer_lib import paths, runs

    paths.RESULTS = folder
    run = runs.run("saravanan2019/table1_feedforward", 1, "full", "tensorflow")
    path = put(run.unfinished / "failure.json", json.dumps({"cell": 3, "error": "ValueError: x", "source": "f(x)"}))

    def read():
        if not isinstance(runs.failure(run), str):
            raise RuntimeError("a failure that is no text")
        runs.failed_for_good(run)

    return [path], read


def checked_history(folder: Path) -> Prepared:
    """The epochs of a run that is made again."""
    from fer_lib.runs import check

    for name in ("metrics.json", "checkpoint-1/state.json"):
        path = put(folder / "again" / name, json.dumps({"history": [{"epoch": 1, "accuracy": 0.25}]}))
    (folder / "again" / "metrics.json").unlink()
    return [path], lambda: check.history(folder / "again")


def notebook(folder: Path) -> Prepared:
    from fer_lib import paths
    from fer_lib.runs import notebooks

    paths.NOTEBOOKS = folder
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["seed = 0\n", "data = 'fer2013'\n"]}
    cells = [{"cell_type": "markdown", "metadata": {}, "source": ["# A title"]}, cell]
    path = put(folder / "mine.ipynb", json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return [path], lambda: notebooks.defaults("mine")


def setting(folder: Path) -> Prepared:
    """A finished setting of first steps."""
    from fer_lib.training import first_steps

    path, arrays = folder / "setting.npz", {name: np.arange(4.0) for name in ("trace", "given", "seconds", "count")}
    first_steps._save(path, {"steps": 4}, arrays)

    def read():
        with redirect_stdout(io.StringIO()):
            first_steps._restore(path, {"steps": 4})

    return [path], read


def near(folder: Path) -> Prepared:
    import made_up_records as made

    from fer_lib.data import near_duplicates

    lines = ["row,partner,correlation,mirrored,down,right", "80,3,0.9921,no,0,-1", "91,5,0.9712,yes,2,0"]
    path, faces = put(folder / "near.csv", "\n".join([*lines, ""])), made.faces()

    def read():
        near_duplicates._read(path, faces)
        near_duplicates._near_ids(path, path.stat().st_mtime_ns)

    return [path], read


def audited(folder: Path) -> Prepared:
    from fer_lib.claims import measures

    path = put(folder / "audit" / "summary.csv", "finding,Training,all\nequal images,10,1234\nflat images,1,11\n")
    return [path], lambda: measures._audited(folder, "flat images")


def given_weights(folder: Path) -> Prepared:
    from fer_lib.models import weights

    path, layer = folder / "network.npz", SimpleNamespace(name="fc", weights=[np.zeros((2, 3)), np.zeros(3)])
    layer.set_weights = lambda arrays: None
    np.savez(path, **{"fc/0": np.ones((2, 3)), "fc/1": np.ones(3)})
    return [path], lambda: weights._assign_given(SimpleNamespace(layers=[layer]), path)


def architectures(folder: Path) -> Prepared:
    from fer_lib.models import architectures

    text = architectures._to_json("abc", {"feedforward": [{"layer": "Dense", "shape": [7], "parameters": 70}]})
    path = put(folder / "architectures.json", text)

    def read():
        for layers in architectures._kept(path, "abc").values():
            list(layers)

    return [path], read


# ---- live


def animation(ending: str):
    def prepare(folder: Path) -> Prepared:
        from PIL import Image

        from fer_lib.live import sources

        path = folder / f"animation{ending}"
        images = [Image.fromarray(shown()[::4, ::4][:, ::step]) for step in (1, -1, 1)]
        images[0].save(path, save_all=True, append_images=images[1:], duration=40)
        return [path], lambda: list(sources.frames(path))

    return prepare


def in_memory(folder: Path) -> Prepared:
    """A picture's bytes, as ``fer_lib.live`` takes them."""
    from fer_lib.files import pictures

    path = put(folder / "image", tiny(True))
    return [path], lambda: pictures.as_bgr(path.read_bytes())


def joined_jpegs(folder: Path) -> Prepared:
    from fer_lib.live import sources

    content = b"".join(cv2.imencode(".jpg", shown()[::4, ::step])[1].tobytes() for step in (4, -4, 4))
    path = put(folder / "joined.mjpeg", content)
    return [path], lambda: list(sources.frames(path))


def live_card(folder: Path) -> Prepared:
    """What lies beside the live model, and says which file it is."""
    from fer_lib.live import inference

    for ending in (".onnx", ".json"):
        shutil.copy(inference.MODEL.with_suffix(ending), folder / f"model{ending}")

    def read():
        kept, inference.MODEL = inference.MODEL, folder / "model.onnx"
        try:
            inference.load()
        finally:
            inference.MODEL = kept

    return [folder / "model.json"], read


def small_onnx(folder: Path) -> Prepared:
    """A network of the live model's form that answers by a face's mean grey level."""
    import onnx

    from fer_lib.data.emotions import FER2013
    from fer_lib.live import inference

    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["faces"], ["grey"], to=kinds.FLOAT),
        helper.make_node("Flatten", ["grey"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1]),
        helper.make_node("MatMul", ["mean", "slopes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    ends = ("faces", kinds.UINT8, ["k", 48, 48]), ("probabilities", kinds.FLOAT, ["k", 7])
    inputs, outputs = ([helper.make_tensor_value_info(*end)] for end in ends)
    slopes = onnx.numpy_helper.from_array(np.linspace(0, 0.01, 7, dtype=np.float32)[None], "slopes")
    graph = helper.make_graph(nodes, "small", inputs, outputs, [slopes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"emotions": ",".join(FER2013)})
    path, faces = put(folder / "network.onnx", model.SerializeToString()), np.zeros((2, 48, 48), np.uint8)
    return [path], lambda: inference.load(path).classify(faces)


def yunet(folder: Path) -> Prepared:
    import live_frames
    import onnx

    from fer_lib.live import detectors

    path, image = folder / "yunet.onnx", np.zeros((64, 64, 3), np.uint8)
    live_frames.like_yunet(path, onnx)
    return [path], lambda: detectors.detector("yunet", path)(image, image[..., 0])


READERS: dict[str, Callable[[Path], Prepared]] = {
    **{f"fer2013{form}": fer2013(form) for form in (".csv", ".csv.gz", ".csv.xz", ".zip", ".tar.gz", ".tar", ".npz")},
    "fer2013-pictures.zip": fer2013("-pictures.zip"),
    "fer2013 pictures": fer2013("pictures"),
    "fer2013 index": fer2013_index,
    "ferplus": ferplus,
    "affectnet older": affectnet("older"),
    "affectnet newer": affectnet("newer"),
    "affectnet lists": affectnet_lists,
    "affectnet annotation": affectnet_annotation,
    "affectnet unfinished": affectnet_unfinished,
    "ckplus": ckplus,
    "sfew": sfew,
    **{f"{data} names": names(data) for data in ("ckplus", "sfew", "afew", "gaf")},
    "clips": clips,
    "near duplicates": near,
    "audit": audited,
    **{f"predictions {form}": predictions(form) for form in ("emotions", "probabilities", "npz")},
    "unpacked predictions": unpacked,
    "record": record,
    "archive of records": archive,
    "archive of checkpoints": checkpoint_archive,
    "claims": ledger,
    "history of claims": history,
    "experiments": experiment,
    "notebook": notebook,
    "list of runs": run_list,
    "ONLY": chosen,
    "failure": failure,
    "history of a check": checked_history,
    "cache": cache,
    **{f"picture{ending}": picture(ending) for ending in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm", ".gif")},
    "picture in memory": in_memory,
    **{f"animation{ending}": animation(ending) for ending in (".png", ".webp")},
    **{f"video{ending}": video(ending) for ending in (".mp4", ".mkv", ".ts", ".avi")},
    "video.mjpeg": joined_jpegs,
    "region": region,
    "live model.onnx": live_model(".onnx"),
    "live model.tflite": live_model(".tflite"),
    "live model.json": live_card,
    "small.onnx": small_onnx,
    "yunet": yunet,
    **{f"weights{ending}": weights(ending) for ending in (".h5", ".mat", ".caffemodel", ".pth", ".old.pth")},
    "given weights": given_weights,
    "architectures": architectures,
    "first steps": setting,
    "keras": keras_file,
    "checkpoint": checkpoint,
}
SLOW = (
    *("keras", "checkpoint", "first steps", "live model.onnx", "live model.tflite", "yunet"),
    *(name for name in READERS if name.startswith("weights")),
)
"""Those that import or compute for seconds before the first file, or start a process for each."""

NEVER_WHOLE = ("weights.caffemodel",)
"""CaffeNet's dense layers have 240 MB. These files have small ones in their place, and are refused once parsed."""
