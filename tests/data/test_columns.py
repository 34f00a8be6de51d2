"""Which column of a table names the pictures, and which says their classes, whatever they are called."""

import pytest
from tests.data.conftest import refusal

from linnaea.data.sources import open_dataset
from linnaea.errors import DataError, UsageError
from linnaea.text import command_line

KINDS = ("mel", "nv")


@pytest.fixture
def lesions(make_folder):
    """Six pictures in two folders, 0.png to 2.png and 3.png to 5.png."""
    root = make_folder({"part_1": 3, "more": 3})
    (root / "part_2").mkdir()
    for number in range(3):
        (root / "more" / f"{number}.png").rename(root / "part_2" / f"{number + 3}.png")
    (root / "more").rmdir()
    return root


def write(folder, head, row, name="meta.csv", encoding="utf-8"):
    """Write a table of six rows; row: what makes a line of a picture's number and its class."""
    path = folder / name
    lines = [head, *(row(number, KINDS[number % 2]) for number in range(6))]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def paths(dataset):
    return [path.rpartition("/")[2] for path in dataset.paths]


def test_pictures_named_without_folder_and_ending_are_found(lesions):
    path = write(lesions, "lesion_id,image_id,dx,age", lambda n, kind: f"HAM_{n},{n},{kind},50")
    dataset = open_dataset(path)
    assert dataset.paths == tuple(f"part_{1 + n // 3}/{n}.png" for n in range(6))
    assert (dataset.class_names, dataset.root) == (KINDS, lesions)
    assert sorted(dataset.columns) == ["age", "lesion_id"]
    assert dataset.notes == (
        "The pictures are those that the column 'image_id' names.",
        "The classes are those of the column 'dx'; label_column chooses another.",
        "6 pictures were found by their names below the table's folder, such as part_1/0.png for 0.",
    )


@pytest.mark.parametrize(
    "name",
    [
        "{n}.png",
        "{n}.PNG",
        "part_1/{n}.png",
        "photos/part_1/{n}",
        "/kaggle/input/part_1/{n}.png",
        "/data/upload/1/{n}.png",
        "C:\\x\\part_1\\{n}",
    ],
)
def test_a_path_that_was_written_elsewhere_is_found(lesions, name):
    path = lesions / "meta.csv"
    rows = [f"{name.format(n=n)},{KINDS[n % 2]}" for n in range(3)]
    path.write_text("\n".join(["path,label", *rows]))
    assert open_dataset(path).paths == ("part_1/0.png", "part_1/1.png", "part_1/2.png")


@pytest.mark.parametrize("name", ["part_9/{n}.png", "{n}.jpg", "x{n}", "{n}.png.png"])
def test_a_path_that_means_another_file_is_missing(lesions, name):
    path = write(lesions, "path,label", lambda n, kind: f"{name.format(n=n)},{kind}")
    assert "6 rows with a file that does not exist" in refusal(path)


def test_a_name_of_several_files_is_refused(lesions):
    (lesions / "part_2" / "3.png").rename(lesions / "part_2" / "0.png")
    path = lesions / "meta.csv"
    path.write_text("image,label\n0,nv\n1,mel\n4,mel\n")
    assert refusal(path).endswith(
        "cannot be used: 1 row with a name that several files have: 0 (line 2). Correct these rows. Write a "
        "name that several files have with its folder (part_1/0.png or part_2/0.png)."
    )
    path.write_text("image,label\npart_1/0,nv\n1,mel\n4,mel\n")
    assert open_dataset(path).paths[0] == "part_1/0.png"


@pytest.mark.parametrize(
    "head",
    [
        "Bild;Klasse",
        "Dateiname;Kategorie",
        "fichier;classe",
        "imagen;etiqueta",
        "id;breed",
        "img;Étiquette",
        "x;y",
    ],
)
def test_columns_of_other_names_are_found_by_what_stands_in_them(lesions, head):
    dataset = open_dataset(write(lesions, head, lambda n, kind: f"{n}.png;{kind}"))
    assert (dataset.class_names, paths(dataset)) == (KINDS, [f"{n}.png" for n in range(6)])
    picture, label = head.lower().split(";")
    assert dataset.notes[:2] == (
        f"The pictures are those that the column '{picture}' names.",
        f"The classes are those of the column '{label}'; label_column chooses another.",
    )


def test_where_several_columns_may_be_the_classes_they_are_named_with_the_option(lesions):
    path = write(lesions, ",image,kind,sex,name", lambda n, kind: f"{n},{n},{kind},{'mf'[n // 3]},n{n}")
    token = command_line.set("linnaea train meta.csv")
    try:
        told = refusal(path)
    finally:
        command_line.reset(token)
    assert "has no column 'label'; its columns are: , image, kind, sex, name." in told
    assert "name it (perhaps kind, sex or name): --label-column <name>." in told
    dataset = open_dataset(path, label_column="Kind")
    assert (dataset.class_names, sorted(dataset.columns)) == (KINDS, ["name", "sex"])
    assert open_dataset(path, label_column="sex").class_names == ("f", "m")
    with pytest.raises(DataError, match=r"has no column 'kin'; its columns are: .* Did you mean 'kind'"):
        open_dataset(path, label_column="kin")


def test_a_column_label_gives_way_to_the_one_that_is_chosen(lesions):
    path = write(lesions, "path,label,class", lambda n, kind: f"{n}.png,{n // 2},{kind}")
    assert open_dataset(path).class_names == ("0", "1", "2")
    dataset = open_dataset(path, label_column="class")
    assert (dataset.class_names, list(dataset.columns)) == (KINDS, ["label column"])


def test_a_label_column_of_a_folder_is_refused(lesions):
    with pytest.raises(UsageError, match=r"label_column is 'dx', and .* is no table"):
        open_dataset(lesions, label_column="dx")


def test_a_column_for_each_class_is_read(lesions):
    def row(number, kind):
        return f"{number},{float(kind == 'mel')},{float(kind == 'nv')},0.0"

    dataset = open_dataset(write(lesions, "image,MEL,NV,UNK", row))
    assert dataset.class_names == ("MEL", "NV")
    assert dataset.notes[0] == (
        "The classes are the columns of 0 and 1 (MEL, NV, UNK): of each picture the one that is 1."
    )
    # More than one class a picture is no classification.
    several = write(lesions, "image,MEL,NV", lambda n, kind: f"{n},1,{int(kind == 'nv')}", "several.csv")
    assert "gives 3 pictures several classes by its columns of 0 and 1 (mel, nv), and" in refusal(several)


@pytest.mark.parametrize(
    ("name", "encoding"), [("meta.txt", "utf-16"), ("meta.csv", "utf-16"), ("meta.tsv", "utf-8")]
)
def test_the_unicode_text_of_excel_is_read(lesions, name, encoding):
    path = write(lesions, "Bild\tKlasse", lambda n, kind: f"{n}.png\tkäfer {kind}", name, encoding)
    assert open_dataset(path).class_names == ("käfer mel", "käfer nv")


def test_labels_that_are_one_for_each_picture_are_no_classes(make_folder):
    root = make_folder({"files": 24})
    rows = [f"{n}.png,text {n}" for n in range(24)]
    (root / "captions.csv").write_text("\n".join(["image,caption", *rows]))
    assert "has no column 'label'; its columns are: image, caption." in refusal(root / "captions.csv")


def test_of_two_folders_the_one_with_all_that_a_table_names_is_meant(make_folder):
    root = make_folder({"train": 4, "test": 2})
    rows = [f"{n},{KINDS[n % 2]}" for n in range(4)]
    (root / "trainLabels.csv").write_text("\n".join(["id,label", *rows]))
    assert open_dataset(root / "trainLabels.csv").paths == tuple(f"train/{n}.png" for n in range(4))
    (root / "trainLabels.csv").write_text("\n".join(["id,label", *rows[:2]]))
    assert "2 rows with a name that several files have" in refusal(root / "trainLabels.csv")


def test_a_table_that_names_the_pictures_of_class_folders_is_told(make_folder):
    root = make_folder({"one": 4, "two": 4})
    for picture in root.glob("*/*.png"):
        picture.rename(picture.with_stem(f"{picture.parent.name}_{picture.stem}"))
    (root / "other.csv").write_text("a,b\n1,2\n")
    assert open_dataset(root).notes == ("1 file that is not a picture left out (other.csv).",)
    (root / "species.csv").write_text("file,species\n" + "".join(f"one_{n}.png,fox\n" for n in range(4)))
    assert open_dataset(root).notes[1:] == (
        f"species.csv names these pictures and was not read; to train on it: {root}/species.csv.",
    )


def test_a_name_without_ending_is_not_looked_for_above(lesions):
    path = lesions / "tables" / "meta.csv"
    path.parent.mkdir()
    for part in ("part_1", "part_2"):
        (lesions / part).rename(path.parent / part)
    for number in range(6):
        (lesions / str(number)).write_text("a file of another program")
    path.write_text("image,label\n" + "".join(f"{n},{KINDS[n % 2]}\n" for n in range(6)))
    dataset = open_dataset(path)
    assert (dataset.root, dataset.paths[0]) == (path.parent, "part_1/0.png")


def test_names_in_other_capitals_are_found(make_folder):
    root = make_folder({"files": 4})
    for number, name in enumerate(("a.jpg", "B.jpg", "b.jpg", "c.jpg")):
        (root / "files" / f"{number}.png").rename(root / "files" / name)
    (root / "x.csv").write_text("image,label\nA.JPG,x\nb.jpg,y\nC.jpg,x\n")
    assert open_dataset(root / "x.csv").paths == ("files/a.jpg", "files/b.jpg", "files/c.jpg")


def test_a_name_and_a_number_of_each_class_are_one_column(make_folder):
    root = make_folder({".": 6})
    rows = [f"{row}.png,{row % 3},{('cat', 'dog', 'fox')[row % 3]}" for row in range(6)]
    table = root / "table.csv"
    table.write_text("\n".join(["path,class_id,class_name", *rows]))
    assert open_dataset(table).class_names == ("cat", "dog", "fox")
    table.write_text("\n".join(["path,class_id,class_name", *rows]).replace("5.png,2", "5.png,1"))
    assert "name it (perhaps class_id or class_name)" in refusal(table)


def test_columns_of_which_several_are_1_are_no_classes(make_folder):
    root = make_folder({".": 4})
    table = root / "_classes.csv"
    table.write_text("filename, cat, dog\n0.png, 1, 1\n1.png, 0, 1\n2.png, 1, 0\n3.png, 0, 0\n")
    assert (
        "gives 1 picture several classes by its columns of 0 and 1 (cat, dog) and 1 none, and Linnaea learns "
        "one class for each picture."
    ) in refusal(table)
    assert open_dataset(table, label_column="cat").class_names == ("0", "1")
