"""Folders of shards: what is refused on disk and in an object store, what is continued, and predictions put there."""

import io
import json
import signal

import pytest

pytest.importorskip("pyarrow")

from tests.cli.commands import posix, refused, tlkit
from tests.inference.test_shards import SECONDS, TEMPORARY, read_folder, small_blocks, start  # noqa: F401  a fixture
from tlkit.distributed.shard_folder import SHARD, ShardFolder, names_folder, shard_name
from tlkit.errors import OptionError
from tlkit.inference.shards import describe_command
from tlkit.utils.progress import Silent
from tlkit.utils.storage import RemotePath, open_filesystem

COMMAND = {"format": 1, "block_size": 1024, "model": "a", "versions": {"pillow": "13"}, "top_k": 1, "unknown": None}


def test_a_folder_without_a_shard_yet_is_taken(tmp_path):
    for kind in ("missing", "empty", "temporary", "command"):
        folder = tmp_path / kind
        if kind != "missing":
            folder.mkdir()
        if kind == "temporary":
            (folder / TEMPORARY).touch()
        if kind == "command":
            (folder / "_command.json").write_text(json.dumps(COMMAND))
        shards = ShardFolder(folder, COMMAND)
        assert shards.find() == set()
        shards.start()
        row = shards.add(f"part-000000-{'0' * 16}.parquet", shard_of("a", "b"))
        assert row.rows == 2
        assert shards.find() == {row.file}
        shards.complete({}, [row])
        assert sorted(path.name[:9] for path in folder.iterdir()) == ["_command.", "_manifest", "part-0000"]


@pytest.mark.parametrize("size", [0, -1, 10**9, 1.5, "many", None])
def test_an_impossible_size_of_shards_is_refused(run, colors, tmp_path, size):
    assert tlkit("predict", run.path, colors, "-o", f"{tmp_path}/out/").exit_code == 0
    (tmp_path / "out" / "_manifest.json").unlink()
    command = json.loads((tmp_path / "out" / "_command.json").read_text())
    assert command["block_size"] == 128 == ShardFolder(tmp_path / "out", {}).block_size()
    (tmp_path / "out" / "_command.json").write_text(json.dumps(command | {"block_size": size}))
    words = refused(2, "predict", run.path, colors, "-o", f"{tmp_path}/out/")
    assert f"was started with another number of inputs a shard ({size})" in words
    assert len(list((tmp_path / "out").iterdir())) == 2


class Block:
    """A word that becomes a shard of its letters."""

    def __init__(self, number, word):
        self.word, self.file = word, shard_name(number, word)

    def __len__(self):
        return len(self.word)


def shard_of(*texts):
    """The bytes of a shard."""
    import pyarrow
    from pyarrow import parquet

    content = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": texts}), content, write_page_checksum=True)
    return content.getvalue()


def fill(folder, words, stop_after=None):
    """Fill a folder with the letters of words; a process that is killed writes a part of them."""
    blocks, computed, progress = [Block(number, word) for number, word in enumerate(words)], [], Silent()

    def compute(missing, advance):
        for block in missing:
            if len(computed) == stop_after:
                raise KeyboardInterrupt
            computed.append(block.word)
            yield folder.add(block.file, shard_of(*block.word))

    folder.complete({"words": len(words)}, folder.fill(blocks, compute, progress, "shards"))
    return computed, progress.notes


def test_a_folder_is_filled_and_continued_to_the_same_bytes(tmp_path):
    words = ["one", "two", "three", "four"]
    assert fill(ShardFolder(tmp_path / "whole", COMMAND), words) == (words, [])
    folder = ShardFolder(tmp_path / "parts", COMMAND)
    for count in (2, 1):
        with pytest.raises(KeyboardInterrupt):
            fill(folder, words, count)
    assert fill(folder, words) == (["four"], ["continues: 3 of 4 shards are there"])
    whole, parts = (
        {file.name: file.read_bytes() for file in folder.iterdir()} for folder in sorted(tmp_path.iterdir())
    )
    assert whole == parts
    assert read_folder(tmp_path / "parts").column("text").to_pylist() == list("".join(words))
    manifest = json.loads(whole["_manifest.json"])
    assert (manifest["rows"], manifest["words"], manifest["top_k"]) == (15, 4, 1)
    assert [shard["rows"] for shard in manifest["shards"]] == [3, 3, 5, 4]


@posix
def test_a_kill_behind_the_manifest_leaves_a_complete_folder(tmp_path):
    folder = ShardFolder(tmp_path / "out", COMMAND)
    fill(folder, ["one"])
    manifest = tmp_path / "out" / "_manifest.json"
    (tmp_path / "out" / TEMPORARY).hardlink_to(manifest)  # which then has two names for a moment
    before = manifest.read_bytes()
    with pytest.raises(OptionError, match="is complete"):
        folder.find()
    assert not (tmp_path / "out" / TEMPORARY).exists()
    assert manifest.read_bytes() == before


def test_shards_of_other_blocks_are_refused_and_stay(tmp_path):
    folder = ShardFolder(tmp_path / "out", COMMAND)
    with pytest.raises(KeyboardInterrupt):
        fill(folder, ["one", "two"], 1)
    before = sorted((tmp_path / "out").iterdir())
    with pytest.raises(OptionError, match="has shards of other inputs .* the list of inputs has changed"):
        fill(folder, ["two", "one"])
    assert sorted((tmp_path / "out").iterdir()) == before


def test_another_command_is_refused_before_its_files(tmp_path):
    folder = ShardFolder(tmp_path / "out", COMMAND, ("_learnt.npz",))
    folder.start()
    folder.write("_learnt.npz", b"arrays")
    assert folder.find() == set()
    with pytest.raises(OptionError, match="was started with --top-k 1, but now it is 2"):
        ShardFolder(tmp_path / "out", COMMAND | {"top_k": 2}).find()
    with pytest.raises(OptionError, match=r"has other files \('_learnt.npz'\)"):
        ShardFolder(tmp_path / "out", COMMAND).find()


@pytest.mark.parametrize("where", ["start", "middle", "footer", "end"])
def test_a_damaged_shard_is_named_wherever_the_damage_is(tmp_path, where):
    words = ["one", "a longer one" * 50]
    folder = ShardFolder(tmp_path / "out", COMMAND)
    with pytest.raises(KeyboardInterrupt):
        fill(folder, [*words, "three"], 2)
    shard = tmp_path / "out" / shard_name(1, words[1])
    content = bytearray(shard.read_bytes())
    position = {"start": 60, "middle": 100, "footer": len(content) - 60, "end": len(content) - 1}[where]
    content[position] ^= 0x40
    shard.write_bytes(content)
    with pytest.raises(OptionError, match=rf"{shard.name}' is damaged \(.*\); remove this file and repeat"):
        fill(folder, [*words, "three"])
    shard.unlink()
    assert fill(folder, [*words, "three"])[0] == [words[1], "three"]


def test_shards_that_another_command_puts_beside_are_found_before_the_manifest(tmp_path):
    folder = ShardFolder(tmp_path / "out", COMMAND)
    folder.start()
    rows = [folder.add(Block(0, "one").file, shard_of(*"one")), folder.add(Block(0, "two").file, shard_of(*"two"))]
    with pytest.raises(OptionError, match="another command has put shards into"):
        folder.complete({}, rows[:1])
    assert not (tmp_path / "out" / "_manifest.json").exists()
    folder.complete({}, rows)


def test_a_name_depends_on_everything_and_a_slash_means_a_folder():
    names = [shard_name(0, "a", ["b", "c"]), shard_name(1, "a", ["b", "c"]), shard_name(0, "a", ["bc"])]
    assert all(SHARD.fullmatch(name) for name in names)
    assert len(set(names)) == 3
    assert [names_folder(text) for text in ("out/", "s3://b/out/", "out", "out.parquet")] == [True, True, False, False]


@posix
def test_what_is_no_folder_of_shards_is_refused_and_stays(run, colors, tmp_path):
    places = tmp_path / "places"
    (places / "folder").mkdir(parents=True)
    (places / "folder" / "mine.txt").touch()
    (places / "sub" / "folder").mkdir(parents=True)
    (places / "file").touch()
    (places / "broken link").symlink_to("nowhere")
    (places / "half").mkdir()
    (places / "half" / "_command.json").write_text("{")
    (places / "list").mkdir()
    (places / "list" / "_command.json").write_text("[]")
    (places / "alone").mkdir()
    (places / "alone" / f"part-000000-{'0' * 16}.parquet").touch()
    before = sorted(str(path) for path in places.rglob("*"))
    expected = {
        "folder": "other files ('mine.txt')",
        "sub": "other files ('folder/')",
        "file": "is not a folder",
        "broken link": "is not a folder",
        "half": "cannot be read",
        "list": "cannot be read",
        "alone": "other files",
        "no/such": "is not a folder",
        "file/new": "is not a folder",
    }
    for name, words in expected.items():
        assert words in refused(2, "predict", run.path, colors, "-o", f"{places}/{name}/"), name
        assert sorted(str(path) for path in places.rglob("*")) == before, name


# in an object store


@pytest.fixture
def bucket(s3):
    """An empty bucket."""
    return s3.empty_bucket("answers")


def read_remote(uri):
    from pyarrow import dataset

    store, name = open_filesystem(uri)
    return dataset.dataset(name, filesystem=store, format="parquet").to_table().replace_schema_metadata()


def test_shards_in_an_object_store_have_the_bytes_of_those_on_disk(run, colors, tmp_path, s3, bucket, small_blocks):  # noqa: F811
    for output in (f"{tmp_path}/out/", "s3://answers/some/out/"):
        done = tlkit("predict", run.path, colors, "no such.jpg", "-o", output)
        assert done.exit_code == 6, done.stderr
        assert f"shards      {output}" in done.stderr
    keys = [key for key in s3.keys("answers") if not key.endswith("/")]
    assert keys == sorted(f"some/out/{path.name}" for path in (tmp_path / "out").iterdir())
    for key in keys:
        content = bucket.get_object(Bucket="answers", Key=key)["Body"].read()
        assert content == (tmp_path / "out" / key.rpartition("/")[2]).read_bytes(), key
    assert read_remote("s3://answers/some/out").equals(read_folder(tmp_path / "out"))
    words = refused(2, "predict", run.path, colors, "no such.jpg", "-o", "s3://answers/some/out/")
    assert words == "'s3://answers/some/out' already exists and is complete; choose another folder with -o."


def test_images_of_an_object_store_have_the_rows_of_those_on_disk(run, colors, tmp_path, s3, bucket, small_blocks):  # noqa: F811
    s3.upload(colors, "s3://answers/new")
    assert tlkit("predict", run.path, colors, "-o", f"{tmp_path}/out/").exit_code == 0
    done = tlkit("predict", run.path, "s3://answers/new/", "s3://answers/nothing.jpg", "-o", "s3://answers/out/")
    assert done.exit_code == 6, done.stderr
    expected, rows = read_folder(tmp_path / "out"), read_remote("s3://answers/out")
    paths = [path.replace(str(colors), "s3://answers/new") for path in expected.column("path").to_pylist()]
    assert rows.column("path").to_pylist() == [*paths, "s3://answers/nothing.jpg"]
    assert rows.column("error").to_pylist()[-1] == "does not exist"
    assert rows.slice(0, 36).drop_columns("path").equals(expected.drop_columns("path"))
    assert "inside the image folder" in refused(2, "predict", run.path, "s3://answers/new", "-o", "s3://answers/new/o/")


def test_an_unfinished_folder_in_an_object_store_is_continued(run, colors, s3, bucket, small_blocks):  # noqa: F811
    command = ("predict", run.path, colors, "-o", "s3://answers/out/")
    assert tlkit(*command).exit_code == 0
    before = {key: bucket.get_object(Bucket="answers", Key=key)["Body"].read() for key in s3.keys("answers")}
    for key in ("out/_manifest.json", *[key for key in before if "part-" in key][2:]):
        bucket.delete_object(Bucket="answers", Key=key)
    left = {key: bucket.head_object(Bucket="answers", Key=key)["LastModified"] for key in s3.keys("answers")}
    assert "--top-k 1, but now it is 2" in refused(2, *command, "--top-k", "2")
    done = tlkit(*command)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("Note: continues: 2 of 8 shards are there\n")
    assert {key: bucket.get_object(Bucket="answers", Key=key)["Body"].read() for key in s3.keys("answers")} == before
    assert {key: bucket.head_object(Bucket="answers", Key=key)["LastModified"] for key in left} == left


def test_what_is_no_folder_of_shards_in_an_object_store_is_refused_and_stays(run, colors, s3, bucket):
    bucket.put_object(Bucket="answers", Key="mine/thesis.txt", Body=b"years of work")
    bucket.put_object(Bucket="answers", Key="file", Body=b"a file")
    bucket.put_object(Bucket="answers", Key="half/_command.json", Body=b"{")
    before = s3.keys("answers")
    expected = {
        "answers/mine/": (2, "other files ('thesis.txt')"),
        "answers/": (2, "other files ("),
        "answers/file/": (2, "is not a folder"),
        "answers/half/": (2, "cannot be read"),
        "nowhere/out/": (3, "there is no bucket 's3://nowhere'"),
    }
    for name, (code, words) in expected.items():
        assert words in refused(code, "predict", run.path, colors, "-o", f"s3://{name}"), name
    assert "add / at its end" in refused(2, "predict", run.path, colors, "-o", "s3://answers/new.parquet")
    assert s3.keys("answers") == before


def test_a_shard_that_another_process_has_put_meanwhile_stays(run, s3, bucket):
    folder = ShardFolder(RemotePath("s3://answers/twice"), COMMAND)
    assert folder.find() == set()
    folder.start()
    assert folder.write("part-000000-0123456789abcdef.parquet", b"first") == b"first"
    assert folder.write("part-000000-0123456789abcdef.parquet", b"second") == b"first"
    assert folder.read("part-000000-0123456789abcdef.parquet") == b"first"


@posix
def test_a_command_that_is_killed_twice_continues_in_an_object_store(run, colors, tmp_path, s3, bucket):
    paths = [str(path) for path in sorted(colors.rglob("*.png"))] * 120
    (tmp_path / "list.txt").write_text("\n".join(paths))
    for count in (1, 17):
        running = start(run, tmp_path / "list.txt", "s3://answers/killed")
        while running.poll() is None and sum("part-" in key for key in s3.keys("answers")) < count:
            pass
        running.kill()
        running.communicate()
        assert running.returncode == -signal.SIGKILL
    running = start(run, tmp_path / "list.txt", "s3://answers/killed")
    words = running.communicate(timeout=SECONDS)[1].decode()
    assert running.returncode == 0, words
    assert "of 34 shards are there" in words
    rows = read_remote("s3://answers/killed")
    assert rows.column("path").to_pylist() == paths
    assert len([key for key in s3.keys("answers") if not key.endswith("/")]) == 34 + 2


def test_a_spec_travels_with_its_location(run, bucket):
    import pickle

    spec = describe_command(run, RemotePath("s3://answers/out"))
    assert pickle.loads(pickle.dumps(spec)) == spec
