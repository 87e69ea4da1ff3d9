"""What `--input` reads: every format, in value, and every fault with the file's name."""

import builtins
import contextlib
import gzip
import io
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnspec import bundled
from cnnspec.data import idx, inputs
from cnnspec.errors import InputError
from cnnspec.graph.settings import Input

PIL = pytest.importorskip("PIL.Image")

GREY = Input(shape=(1, 2, 3))
RGB = Input(shape=(3, 2, 3))
VECTOR = Input(shape=(6,))

PIXELS = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
NUMBERS = PIXELS / 255
COLOURS = np.stack([PIXELS, 255 - PIXELS, np.full((2, 3), 7, np.uint8)])


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(file, graph_input=GREY, *, fit="exact", **options):
    return inputs.read([file], graph_input.model_copy(update={"fit": fit}), **options)


def message(file, graph_input=GREY, **options):
    with pytest.raises(InputError) as caught:
        read(file, graph_input, **options)
    return str(caught.value)


def npy(array, name="x.npy"):
    np.save(name, array)
    return name


def png(array, name="x.png", mode=None, **options):
    array = np.asarray(array)
    image = PIL.fromarray(array if array.ndim == 2 else np.moveaxis(array, 0, -1))
    (image.convert(mode) if mode else image).save(name, **options)
    return name


def given_on_stdin(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


# Arrays


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (1, 1, 2, 3)])
def test_one_image_of_one_channel(shape):
    x = np.arange(6.0).reshape(shape)
    batch = read(npy(x))
    assert batch.x.shape == (1, 1, 2, 3)
    assert batch.x.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.sources == ("x.npy",)


@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 1, 2, 3)])
def test_a_batch_of_one_channel(shape):
    x = np.arange(24.0).reshape(shape)
    batch = read(npy(x))
    assert (batch.x == x.reshape(4, 1, 2, 3)).all()
    assert batch.sources == ("x.npy[0]", "x.npy[1]", "x.npy[2]", "x.npy[3]")


def test_an_exact_sample_comes_before_a_batch():
    x = np.arange(8.0).reshape(2, 2, 2)
    assert read(npy(x), Input(shape=(2, 2, 2))).x.shape == (1, 2, 2, 2)
    assert read(npy(x), Input(shape=(1, 2, 2))).x.shape == (2, 1, 2, 2)


@pytest.mark.parametrize(
    ("shape", "n"),
    [((6,), 1), ((5, 6), 5), ((2, 3), 1), ((5, 2, 3), 5), ((3, 2, 1), 1), ((5, 3, 2, 1), 5), ((1, 6), 1)],
)
def test_vectors_may_be_written_as_images(shape, n):
    x = np.arange(6.0 * n).reshape(shape)
    assert (read(npy(x), VECTOR).x == x.reshape(n, 6)).all()


def test_floats_are_taken_as_they_are():
    normalising = Input(shape=(1, 2, 3), mean=0.5, std=2)
    for dtype, kept in (("f2", "f4"), ("<f4", "f4"), (">f4", "f4"), ("f8", "f8"), (">f8", "f8")):
        x = np.array([[0, 1, 2], [300, -4, 0.5]], dtype)
        batch = read(npy(x), normalising)
        assert batch.x.dtype == np.dtype(kept)
        assert (batch.x[0, 0] == x).all()


def test_pixels_become_numbers_as_the_spec_says():
    assert np.allclose(read(npy(PIXELS)).x[0, 0], NUMBERS, rtol=1e-15)
    per_channel = Input(shape=(3, 2, 3), scale=1.0, mean=[1, 2, 3], std=[1, 10, 100])
    x = read(npy(COLOURS), per_channel).x[0]
    for c, (mean, std) in enumerate([(1, 1), (2, 10), (3, 100)]):
        assert np.allclose(x[c], (COLOURS[c].astype(float) - mean) / std, rtol=1e-15)
    assert np.allclose(read(npy(PIXELS), VECTOR).x[0], NUMBERS.ravel(), rtol=1e-15)


def test_fortran_order_is_read():
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert (read(npy(x)).x[0, 0] == x).all()


@pytest.mark.parametrize("dtype", ["i8", "i4", "u2", "i1", "?"])
def test_integers_that_are_not_pixels_are_refused(dtype):
    assert f"`x.npy` holds {np.dtype(dtype)}, and a network takes pixels (uint8, 0 to 255) or" in message(
        npy(np.ones((2, 3), dtype))
    )


@pytest.mark.parametrize("array", [np.ones((2, 3), complex), np.full((2, 3), "a"), np.zeros((2, 3), "f4,f4")])
def test_other_dtypes_are_refused(array):
    assert message(npy(array)).startswith("`x.npy` ")


def test_nothing_is_unpickled():
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    array = np.array([Bomb()], object)
    assert message(npy(array)) == "`x.npy` holds Python objects, which are never unpickled; save numbers"
    np.savez("x.npz", array)
    assert "never unpickled" in message("x.npz")


def test_nan_and_infinity_are_refused():
    x = np.zeros((2, 1, 2, 3))
    x[1, 0, 1, 2], x[1, 0, 1, 0] = np.nan, -np.inf
    assert message(npy(x)) == "`x.npy` holds 2 numbers that are NaN or infinite, the first at [1, 0, 1, 0]"


@pytest.mark.parametrize("shape", [(), (3,), (2, 4), (3, 2), (2, 2, 3, 1), (1, 1, 1, 2, 3)])
def test_a_wrong_shape_says_both(shape):
    found = str(list(shape))
    assert message(npy(np.zeros(shape))).startswith(
        f"`x.npy` has the shape {found}, and the network takes [1, 2, 3] or a batch [n, 1, 2, 3]"
    )


def test_channels_last_are_recognised():
    assert message(npy(np.zeros((2, 3, 3))), RGB).endswith("channels come first here: x.transpose(2, 0, 1)")
    assert message(npy(np.zeros((5, 2, 3, 3))), RGB).endswith("channels come first here: x.transpose(0, 3, 1, 2)")


def test_an_empty_batch_is_refused():
    assert message(npy(np.zeros((0, 1, 2, 3)))) == "`x.npy` holds no samples: its shape is [0, 1, 2, 3]"


# .npz


def test_npz_with_one_array_or_a_known_name():
    x = np.arange(12.0).reshape(2, 2, 3)
    np.savez("one.npz", anything=x)
    np.savez_compressed("x.npz", y=np.arange(2), x=x)
    np.savez("images.npz", images=x, labels=np.arange(2))
    for name in ("one.npz", "x.npz", "images.npz"):
        batch = read(name)
        assert (batch.x[:, 0] == x).all()
        assert batch.sources == (f"{name}[0]", f"{name}[1]")


def test_npz_with_several_arrays_lists_them():
    np.savez("a.npz", first=np.zeros(1), second=np.zeros(1))
    assert message("a.npz").startswith("`a.npz` holds several arrays: `first`, `second`; ")
    np.savez("b.npz", x=np.zeros(1), images=np.zeros(1))
    assert message("b.npz").startswith("`b.npz` holds several arrays: `x`, `images`; ")


def test_npz_without_arrays():
    np.savez("a.npz")
    assert message("a.npz") == "`a.npz` is a zip file without arrays"
    with zipfile.ZipFile("b.npz", "w") as archive:
        archive.writestr("readme.txt", "x")
    assert message("b.npz") == "`b.npz` is a zip file without arrays"


# Headers that promise too much


def header_of(shape, dtype="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("shape", [(1 << 40, 1 << 40), (10**30,), (-1, 4)])
def test_a_gigantic_npy_header_is_refused(tmp_path, shape):
    (tmp_path / "x.npy").write_bytes(header_of(shape) + b"1234")
    assert message("x.npy").startswith("`x.npy` is cut short or damaged: its header says float64")
    with zipfile.ZipFile("x.npz", "w") as archive:
        archive.writestr("x.npy", header_of(shape) + b"1234")
    assert message("x.npz").startswith("`x.npz` is cut short or damaged: its header says float64")


def test_truncated_and_too_long_npy(tmp_path):
    npy(np.zeros((2, 3)))
    content = (tmp_path / "x.npy").read_bytes()
    for wrong, says in ((content[:-1], "and 47 follow"), (content + b"x", "and 49 follow")):
        (tmp_path / "x.npy").write_bytes(wrong)
        assert message("x.npy").endswith(says)


# IDX


@pytest.mark.parametrize("name", ["digits-idx3-ubyte", "digits-idx3-ubyte.gz"])
def test_idx_holds_pixels(name):
    pixels = np.stack([PIXELS, 255 - PIXELS])
    idx.write(name, pixels)
    batch = read(name)
    assert np.allclose(batch.x, pixels[:, None] / 255, rtol=1e-15)
    assert batch.sources == (f"{name}[0]", f"{name}[1]")
    assert np.allclose(read(name, VECTOR).x, pixels.reshape(2, 6) / 255, rtol=1e-15)


def test_idx_by_its_definition():
    content = bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x01, 0x02, 0xFF, 0xFF])
    assert idx.read(content).tolist() == [[258, -1]]
    assert idx.read(gzip.compress(content, mtime=0)).tolist() == [[258, -1]]


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_keeps_every_dtype(dtype, suffix):
    array = np.array([[[1, 2], [3, 100]]], dtype)
    idx.write(f"x{suffix}", array)
    found = idx.read(f"x{suffix}")
    assert found.dtype == array.dtype
    assert (found == array).all()
    assert found.flags.writeable


IDX = struct.pack(">4BI", 0, 0, 8, 1, 4) + b"abcd"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "begins with nothing"),
        (b"abcd", "begins with 61 62 63 64"),
        (bytes([0, 0, 7, 1]), "begins with 00 00 07 01"),
        (bytes([0, 0, 8, 0]), "begins with 00 00 08 00"),
        (bytes([0, 0, 8, 200]), "begins with 00 00 08 c8"),
        (IDX[:6], "its header of 1 sizes is not complete"),
        (IDX[:-1], "which is 4 bytes, and 3 follow"),
        (IDX + b"e", "is too long: its header says [4], which is 4 bytes"),
        (bytes([0, 0, 14, 3]) + b"\xff" * 12, "cut short: its header says [4294967295, 4294967295, 4294967295]"),
        (bytes([0, 0, 8, 3]) + b"\0" * 4 + b"\xff" * 8, "has the sizes [0, 4294967295, 4294967295]"),
        (gzip.compress(IDX[:-1], mtime=0), "which is 4 bytes, and 3 follow"),
        (gzip.compress(IDX + b"e", mtime=0), "is too long"),
        (gzip.compress(bytes([0, 0, 8, 1]) + b"\x7f" * 4, mtime=0), "cut short: its header says [2139062143]"),
        (gzip.compress(IDX, mtime=0)[:-9], "its gzip data ends too early"),
        (gzip.compress(IDX, mtime=0)[:-8] + b"\0" * 8, "has corrupt gzip data: CRC check failed"),
        (gzip.compress(IDX, mtime=0)[:10] + b"\xff" * 20, "has corrupt gzip data: Error -3"),
    ],
)
def test_broken_idx(content, says):
    with pytest.raises(InputError) as caught:
        idx.read(content)
    assert says in str(caught.value)


def test_idx_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="`no` cannot be read: No such file"):
        idx.read("no")
    with pytest.raises(InputError, match="Is a directory"):
        idx.read(tmp_path)


def test_what_idx_cannot_hold_is_not_written(tmp_path):
    for array in (np.zeros(2, "i8"), np.zeros((), "u1")):
        with pytest.raises(InputError, match="IDX holds no"):
            idx.write("x", array)
    assert not list(tmp_path.iterdir())


# Pictures


def test_a_grey_picture():
    batch = read(png(PIXELS, "shoe.png"))
    assert np.allclose(batch.x, NUMBERS[None, None], rtol=1e-15)
    assert batch.sources == ("shoe.png",)


def test_a_colour_picture():
    assert np.allclose(read(png(COLOURS), RGB).x[0], COLOURS / 255, rtol=1e-15)


def test_the_content_counts_not_the_name():
    assert np.allclose(read(png(PIXELS, "x.npy", format="PNG")).x[0, 0], NUMBERS, rtol=1e-15)


def test_jpeg():
    PIL.fromarray(np.full((16, 24), 200, np.uint8)).save("x.jpg", quality=95)
    assert np.allclose(read("x.jpg", Input(shape=(1, 16, 24), scale=1.0)).x, 200, atol=1)
    PIL.new("CMYK", (24, 16), (0, 255, 255, 0)).save("red.jpg", quality=95)
    x = read("red.jpg", Input(shape=(3, 16, 24), scale=1.0)).x
    assert np.allclose(x.mean((0, 2, 3)), [255, 0, 0], atol=3)


def test_a_palette_is_read_as_colours():
    image = PIL.new("P", (3, 2))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save("x.png")
    x = read("x.png", Input(shape=(3, 2, 3), scale=1.0)).x[0]
    assert x[:, 0, 0].tolist() == [10, 20, 30]
    assert x[:, 0, 1].tolist() == [200, 100, 50]


def test_black_and_white():
    PIL.fromarray(PIXELS > 100).save("x.png")
    assert (read("x.png").x[0, 0] == (PIXELS > 100)).all()


def test_sixteen_bits_keep_their_precision():
    deep = np.array([[0, 1, 257], [1000, 65534, 65535]], np.uint16)
    png(deep)
    assert np.allclose(read("x.png").x[0, 0], deep / 65535, rtol=1e-6)


def test_a_flat_network_takes_pictures_of_its_size():
    assert np.allclose(read(png(PIXELS), VECTOR).x, NUMBERS.reshape(1, 6), rtol=1e-15)
    assert "has the shape [1, 2, 3], and the network takes [7]" in message("x.png", Input(shape=(7,)))


def test_another_size_offers_resize():
    assert message(png(np.zeros((4, 5), np.uint8))) == (
        "`x.png` has 1×4×5 pixels (channels × height × width), and the network takes 1×2×3; "
        "`--resize` (or `fit` in the spec's `input`) converts it"
    )
    assert "has 3×2×3 pixels" in message(png(COLOURS))


def test_resize_averages_when_it_shrinks():
    """Without antialiasing, most of the large picture would not be looked at."""
    big = np.zeros((40, 60), np.uint8)
    big[:, 30:] = 240
    big[::2] //= 2
    x = read(png(big), Input(shape=(1, 2, 3), scale=1.0), fit="resize").x[0, 0]
    assert x[0, 0] == pytest.approx(0, abs=1)
    assert x[0, 1] == pytest.approx(90, abs=3)
    assert x[0, 2] == pytest.approx(180, abs=3)


def test_resize_changes_nothing_that_fits():
    for array, graph_input in ((PIXELS, GREY), (COLOURS, RGB)):
        png(array)
        assert (read("x.png", graph_input, fit="resize").x == read("x.png", graph_input).x).all()


def test_resize_converts_colours():
    raw_grey, raw_rgb = Input(shape=(1, 2, 3), scale=1.0), Input(shape=(3, 2, 3), scale=1.0)
    luma = 0.299 * COLOURS[0] + 0.587 * COLOURS[1] + 0.114 * COLOURS[2]
    assert np.allclose(read(png(COLOURS), raw_grey, fit="resize").x[0, 0], luma, rtol=1e-5)
    assert (read(png(PIXELS), raw_rgb, fit="resize").x[0] == PIXELS).all()
    assert "has 3 channels, which cannot become the network's 2" in message(
        png(COLOURS), Input(shape=(2, 2, 3)), fit="resize"
    )


def test_transparent_places_show_white():
    alpha = np.array([[0, 255, 51], [0, 255, 255]], np.uint8)
    grey = Input(shape=(1, 2, 3), scale=1.0)
    png(np.stack([PIXELS, alpha]), "la.png")
    assert "has 2×2×3 pixels" in message("la.png", grey)
    x = read("la.png", grey, fit="resize").x[0, 0]
    assert np.allclose(x[0], [255, 51, 255 - (255 - 102) * 0.2], rtol=1e-6)
    png(np.stack([*COLOURS, alpha]), "rgba.png")
    x = read("rgba.png", Input(shape=(3, 2, 3), scale=1.0), fit="resize").x[0]
    assert x[:, 0, 0].tolist() == [255, 255, 255]
    assert x[:, 0, 1].tolist() == COLOURS[:, 0, 1].tolist()
    assert (read("rgba.png", Input(shape=(4, 2, 3), scale=1.0)).x[0, 3] == alpha).all()


def test_opaque_alpha_says_nothing():
    opaque = np.full((2, 3), 255, np.uint8)
    assert np.allclose(read(png(np.stack([*COLOURS, opaque])), RGB).x[0], COLOURS / 255, rtol=1e-15)
    assert np.allclose(read(png(np.stack([PIXELS, opaque]))).x[0, 0], NUMBERS, rtol=1e-15)


def test_a_transparent_colour_is_alpha():
    png(PIXELS, transparency=0)
    x = read("x.png", Input(shape=(1, 2, 3), scale=1.0), fit="resize").x[0, 0]
    assert x.ravel().tolist() == [255, 51, 102, 153, 204, 255]


def test_photos_are_turned_upright():
    exif = PIL.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn right by 90°
    stored = np.array([[0, 100], [20, 120], [40, 140]], np.uint8)
    png(stored, exif=exif)
    x = read("x.png", Input(shape=(1, 2, 3), scale=1.0)).x[0, 0]
    assert x.tolist() == [[40, 20, 0], [140, 120, 100]]


def test_arrays_of_pixels_are_resized_too():
    big = np.repeat(np.repeat(np.stack([PIXELS, 255 - PIXELS]), 2, 1), 2, 2)
    idx.write("x.gz", big)
    assert message("x.gz").endswith("; `--resize` (or `fit` in the spec's `input`) converts it")
    batch = read("x.gz", Input(shape=(3, 4, 6), scale=1.0), fit="resize")  # the size fits, grey is repeated
    assert (batch.x == big[:, None]).all()
    for array in (big, big[:, None], big[0]):
        x = read(npy(array), Input(shape=(1, 8, 12), scale=1.0), fit="resize").x
        assert x.shape == (2 if array.ndim > 2 else 1, 1, 8, 12)
        assert (x[0, 0, 0, 0], x[0, 0, -1, -1]) == (0, 255)
    colour = np.repeat(np.repeat(COLOURS, 2, 1), 2, 2)
    x = read(npy(colour), Input(shape=(3, 8, 12), scale=1.0), fit="resize").x
    assert x.shape == (1, 3, 8, 12)
    assert x[0, :, 0, 0].tolist() == COLOURS[:, 0, 0].tolist()


def test_pad_centres_on_zero_pixels():
    padded = Input(shape=(1, 5, 6), scale=1.0, mean=(1.0,), fit="pad")
    x = inputs.read([png(PIXELS[:1] if PIXELS.ndim == 3 else PIXELS)], padded).x[0, 0]
    h, w = PIXELS.shape[-2:]
    top, left = (5 - h) // 2, (6 - w) // 2
    assert (x[top : top + h, left : left + w] == PIXELS.reshape(-1, h, w)[0].astype(float) - 1).all()
    x[top : top + h, left : left + w] = -1
    assert (x == -1).all()
    assert "cannot make it smaller" in message(png(PIXELS), Input(shape=(1, 1, 1)), fit="pad")


def test_floats_are_not_resized():
    assert "only pixels (uint8) are converted" in message(npy(np.zeros((4, 5))), fit="resize")


def bomb(width, height):
    """A PNG of all zeros, which packs to a thousandth."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 12_000, 100_000])  # Pillow: silent, a warning, an error
def test_decompression_bombs_are_refused(tmp_path, side):
    (tmp_path / "x.png").write_bytes(bomb(side, side))
    assert "pixels; at most 67,108,864 are read" in message("x.png", fit="resize")


def test_broken_pictures(tmp_path):
    png(np.arange(256, dtype=np.uint8).reshape(16, 16))
    content = (tmp_path / "x.png").read_bytes()
    for wrong in (content[:45], content[:12], content[:30] + b"xxxx" + content[34:]):
        (tmp_path / "x.png").write_bytes(wrong)
        assert message("x.png").startswith("`x.png` is not a complete image: ")


def test_without_pillow(monkeypatch):
    png(PIXELS)
    wanted = builtins.__import__

    def absent(name, *arguments, **more):
        if name.startswith("PIL"):
            raise ImportError(name)
        return wanted(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert message("x.png") == '`x.png` needs Pillow, which is not installed: pip install "cnnspec[images]"'


# Files


def test_files_are_stacked_in_order():
    npy(np.zeros((2, 1, 2, 3)), "a.npy")
    png(PIXELS, "b.png")
    npy(np.ones((2, 3), np.float32), "c.npy")
    batch = inputs.read(["a.npy", "b.png", "c.npy"], GREY)
    assert batch.sources == ("a.npy[0]", "a.npy[1]", "b.png", "c.npy")
    assert np.allclose(batch.x[:, 0, 1, 1], [0, 0, 0.8, 1], rtol=1e-15)


def test_the_culprit_is_named():
    npy(np.zeros((2, 3)), "good.npy")
    npy(np.zeros((2, 4)), "bad.npy")
    with pytest.raises(InputError, match=r"^`bad.npy` has the shape \[2, 4\]"):
        inputs.read(["good.npy", "bad.npy"], GREY)


def test_a_limit():
    x = np.arange(24.0).reshape(4, 2, 3)
    x[3] = np.nan  # beyond the limit, and not looked at
    files = [npy(x, "a.npy"), npy(x, "b.npy")]
    assert read("a.npy", limit=3).sources == ("a.npy[0]", "a.npy[1]", "a.npy[2]")
    npy(x[:3], "a.npy")
    batch = inputs.read(files, GREY, limit=5)
    assert batch.sources == ("a.npy[0]", "a.npy[1]", "a.npy[2]", "b.npy[0]", "b.npy[1]")
    assert (batch.x[3:, 0] == x[:2]).all()
    assert message("a.npy", limit=0) == "a batch has at least one sample, not 0"


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    assert message("no.npy") == "there is no file `no.npy`"
    assert message(".") == "`.` is a directory; give the files in it"
    assert message("empty") == "`empty` is empty"
    assert message("text").startswith("`text` is in no format that is read: .npy, .npz, PNG, JPEG, or IDX")
    assert message("x" * 5000).startswith(f"`{'x' * 5000}` cannot be read: File name too long")
    with pytest.raises(InputError, match="no input file is given"):
        inputs.read([], GREY)


def test_bundled_pictures_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "specs").mkdir()
    png(PIXELS, "specs/shoe.png")
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path / "specs")
    assert np.allclose(read("shoe.png").x[0, 0], NUMBERS, rtol=1e-15)
    png(255 - PIXELS, "shoe.png")  # a file in the working directory wins
    assert np.allclose(read("shoe.png").x[0, 0], 1 - NUMBERS, rtol=1e-12)


def test_standard_input(tmp_path, monkeypatch):
    np.savez("x.npz", x=NUMBERS)
    idx.write("x.gz", PIXELS)
    idx.write("x.idx", PIXELS)
    for name in (npy(NUMBERS), "x.npz", png(PIXELS), "x.gz", "x.idx"):
        given_on_stdin(monkeypatch, (tmp_path / name).read_bytes())
        batch = read("-")
        assert np.allclose(batch.x[0, 0], NUMBERS, rtol=1e-15)
        assert batch.sources == ("standard input",)


def test_faults_on_standard_input(monkeypatch):
    given_on_stdin(monkeypatch, b"")
    assert message("-") == "`standard input` is empty"
    given_on_stdin(monkeypatch, b"y\n" * 1000)
    assert message("-").startswith("`standard input` is in no format that is read")
    monkeypatch.setattr(inputs, "MOST_BYTES", 100)
    given_on_stdin(monkeypatch, IDX * 1000)
    assert message("-") == "`standard input` has more than 100 bytes"


def test_endless_devices_are_refused():
    assert message("/dev/urandom").startswith("`/dev/urandom` is in no format")


def test_large_arrays_are_refused(monkeypatch):
    npy(np.zeros((2, 3)))
    monkeypatch.setattr(inputs, "MOST_BYTES", 10)
    assert message("x.npy") == "`x.npy` has 48 bytes; at most 10 are read"


# Random


def test_a_random_batch_is_seeded():
    one, same, other = (inputs.random(RGB.shape, 50, seed) for seed in (1, 1, 2))
    assert one.x.shape == (50, 3, 2, 3)
    assert (one.x == same.x).all()
    assert not (one.x == other.x).any()
    assert abs(one.x.mean()) < 0.2  # over 900 numbers; six times what is usual
    assert one.x.std() == pytest.approx(1, abs=0.15)
    assert one.sources[49] == "random[49]"
    with pytest.raises(InputError, match="at least one sample, not 0"):
        inputs.random(RGB.shape, 0, 0)


# Anything


def _valid():
    out = []
    for write in (
        lambda f: np.save(f, NUMBERS),
        lambda f: np.savez(f, x=NUMBERS),
        lambda f: np.savez_compressed(f, x=NUMBERS, y=PIXELS),
        lambda f: PIL.fromarray(PIXELS).save(f, "PNG"),
        lambda f: PIL.fromarray(COLOURS.transpose(1, 2, 0).copy()).save(f, "JPEG"),
        lambda f: f.write(struct.pack(">4B2I", 0, 0, 8, 2, 2, 3) + PIXELS.tobytes()),
        lambda f: f.write(gzip.compress(struct.pack(">4B2I", 0, 0, 8, 2, 2, 3) + PIXELS.tobytes(), mtime=0)),
    ):
        file = io.BytesIO()
        write(file)
        out.append(file.getvalue())
    return out


@st.composite
def damaged(draw):
    """A good file with a stretch of it replaced."""
    content = draw(st.sampled_from(_valid()))
    start = draw(st.integers(0, len(content)))
    return content[:start] + draw(st.binary(max_size=12)) + content[start + draw(st.integers(0, 12)) :]


MAGICS = [b"", *inputs._MAGIC, b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", b"\x93NUMPY\x03\x00"]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(damaged(), st.builds(lambda a, b: a + b, st.sampled_from(MAGICS), st.binary(max_size=200))),
    st.sampled_from([GREY, RGB, VECTOR]),
    st.sampled_from(["exact", "resize", "pad"]),
)
def test_any_bytes_are_a_batch_or_an_input_error(tmp_path, content, graph_input, fit):
    (tmp_path / "any").write_bytes(content)
    with contextlib.suppress(InputError):
        batch = read("any", graph_input, fit=fit)
        assert batch.x.shape == (len(batch.sources), *graph_input.shape)
        assert np.isfinite(batch.x).all()


@given(st.text("{}[]()'\"\\:,0123456789-<f8descrshape \n", max_size=60))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_npy_header_is_a_batch_or_an_input_error(tmp_path, text):
    content = text.encode()
    (tmp_path / "any").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(content)) + content + b"\0" * 48)
    with contextlib.suppress(InputError):
        read("any")


def test_pillow_is_imported_only_when_needed():
    code = "import sys, cnnspec.data.inputs; assert not any(name.startswith('PIL') for name in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
