"""Segmentation folders, images as targets, and samples as their own targets."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from file_samples import PIL, cut, everything, message, network, palette, picture, pixels

from cnnspec.data import augmentation_of, images, open_dataset

MAP = "conv: {channels: 3, kernel: 1}"
BINARY = "conv: {channels: 1, kernel: 1}"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def segmentation(root="shapes", n=3, values=3, write=picture, shape=(4, 5)):
    """Write images and masks; return these."""
    masks = np.random.default_rng(1).integers(0, values, (n, *shape), dtype=np.uint8)
    for i in range(n):
        picture(f"{root}/images/{i}.png", pixels(*shape, 3, seed=i))
        write(f"{root}/masks/{i}.png", masks[i])
    return masks


@pytest.mark.parametrize("write", [picture, palette])
def test_masks_are_class_indices_grey_and_palette(write):
    masks = segmentation(write=write)
    dataset = open_dataset("shapes", network(MAP))
    x, target = everything(dataset.train)
    assert target.dtype == np.int64
    assert (target == masks).all()
    assert np.array_equal(x[1], (pixels(4, 5, 3, seed=1) / 255).transpose(2, 0, 1).astype(np.float32))
    assert dataset.test is None


def test_parts_of_a_segmentation():
    for part, n in (("train", 3), ("val", 2), ("test", 1)):
        segmentation(f"shapes/{part}", n)
    dataset = open_dataset("shapes", network(MAP))
    assert (dataset.train.n, dataset.validation.n, dataset.test.n) == (3, 2, 1)


@pytest.mark.parametrize("loss", ["dice", "binary_cross_entropy"])
@pytest.mark.parametrize("white", [1, 255])
def test_of_one_channel_255_is_1(loss, white):
    masks = segmentation(values=2)
    for i, mask in enumerate(masks):
        picture(f"shapes/masks/{i}.png", mask * white)
    target = everything(open_dataset("shapes", network(BINARY, train=f"loss: {loss}")).train)[1]
    if loss == "dice":
        assert np.array_equal(target, masks)
        assert target.dtype == np.int64
    else:
        assert np.array_equal(target, masks[:, None])
        assert target.dtype == np.float32


def test_of_more_channels_255_is_an_unknown_value_unless_it_is_ignored():
    masks = segmentation()
    masks[1, 2, 3] = 255
    picture("shapes/masks/1.png", masks[1])
    assert message("shapes", network(MAP)) == (
        "the mask `shapes/masks/1.png` has the value 255, first at row 2, column 3, and the classes are 0 to 2: write "
        "the index of a class there, or leave such pixels out with `ignore: 255` of a loss that has it"
    )
    loss = "loss: {cross_entropy: {ignore: 255}}"
    assert np.array_equal(everything(open_dataset("shapes", network(MAP, train=loss)).train)[1], masks)


def test_masks_that_do_not_fit_are_named():
    segmentation()
    picture("shapes/masks/1.png", np.zeros((5, 4), np.uint8))
    assert message("shapes", network(MAP)) == (
        "the mask `shapes/masks/1.png` is 5×4, and its image `shapes/images/1.png` is 4×5 (height × width): save the "
        "mask in the size of the image"
    )
    picture("shapes/masks/1.png", np.full((4, 5), 9, np.uint8))
    assert "has the value 9, first at row 0, column 0, and the classes are 0 to 2" in message("shapes", network(MAP))
    picture("shapes/masks/1.png", pixels(4, 5, 3))
    assert "`shapes/masks/1.png` is a colour image (RGB)" in message("shapes", network(MAP))
    PIL.new("L", (5, 4)).save("shapes/masks/1.jpg")
    Path("shapes/masks/1.png").unlink()
    assert "`shapes/masks/1.jpg` is a JPEG file, whose values are not exact" in message("shapes", network(MAP))


def test_images_and_masks_without_each_other():
    segmentation()
    picture("shapes/images/more.png", pixels(4, 5, 3))
    assert message("shapes", network(MAP)) == (
        "`shapes/images/more.png` has no file of that name in `shapes/masks`: add it, or remove this one"
    )
    Path("shapes/images/more.png").unlink()
    Path("shapes/images/0.png").unlink()
    Path("shapes/images/1.png").unlink()
    said = message("shapes", network(MAP))
    assert said.startswith("`shapes/masks/0.png` has no file of that name in `shapes/images` (and 1 others have none)")


def test_outputs_that_masks_do_not_fit():
    segmentation()
    assert "the height and width of the input, 4×5; this one is 3×2×3" in message(
        "shapes", network("conv: {channels: 3, kernel: 3}")
    )
    assert "takes an image or a mask for each sample" not in message("shapes", network("flatten, dense: 3"))
    assert "images as targets, and the output is 3" in message("shapes", network("flatten, dense: 3"))
    assert "one channel and the height" in message("shapes", network(MAP, train="loss: binary_cross_entropy"))


def test_a_mask_is_fitted_as_its_image():
    masks = segmentation(shape=(2, 3))
    spec = network(MAP, (3, 4, 6)).resizing()
    assert np.array_equal(everything(open_dataset("shapes", spec).train)[1], masks.repeat(2, 1).repeat(2, 2))
    padded = network(MAP, (3, 4, 5), "loss: {cross_entropy: {ignore: 7}}").inputs["input"].shape
    assert padded == (3, 4, 5)
    found = images.fit_mask(masks[0], (4, 5), "m", "pad", 7)
    assert np.array_equal(found, np.pad(masks[0], 1, constant_values=7))


def test_image_and_mask_are_augmented_alike():
    for i in range(6):
        mask = np.zeros((8, 8), np.uint8)
        mask[i : i + 2, 1:4] = 1
        picture(f"shapes/images/{i}.png", np.stack([mask * 255] * 3, axis=2))
        picture(f"shapes/masks/{i}.png", mask)
    spec = network(
        "conv: {channels: 2, kernel: 1}", (3, 8, 8), "augment: [shift: 2, flip, {color_jitter: {brightness: 0.5}}]"
    )
    train = open_dataset("shapes", spec).train
    augmentation = augmentation_of(spec.train, spec.graph, spec.input)
    x, target = everything(train, augmentation)
    assert ((x[:, 0] > 0) == (target == 1)).all()
    assert (target != everything(train)[1]).any()


@pytest.mark.parametrize(("bits", "most"), [(1, 1), (2, 3), (4, 15)])
def test_greys_of_few_bits_keep_their_values(bits, most):
    values = np.arange(4).astype(np.uint8) % (most + 1)
    row = bytes([0]) + bytes([sum(int(v) << (8 - bits * (i + 1)) for i, v in enumerate(values[: 8 // bits]))])
    if bits == 4:
        row += bytes([int(values[2]) << 4 | int(values[3])])

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    Path("narrow.png").write_bytes(content)
    with Path("narrow.png").open("rb") as file:
        assert images.decode_mask(file, "narrow.png").tolist() == [values.tolist()]


# Images as targets


def pairs(root="photos", n=3, target_shape=(4, 5, 3)):
    for i in range(n):
        picture(f"{root}/inputs/{i}.png", pixels(4, 5, 3, seed=i))
        picture(f"{root}/targets/{i}.png", pixels(*target_shape, seed=100 + i))


NUMBERS = "loss: mean_squared_error"


def test_targets_that_are_images_are_scaled_as_the_input_is():
    pairs()
    more = "input: {shape: [3, 4, 5], mean: 0.5, std: 0.25}"
    spec = network(MAP, train=NUMBERS)
    target = everything(open_dataset("photos", spec).train)[1]
    assert np.array_equal(target[2], (pixels(4, 5, 3, seed=102) / 255).transpose(2, 0, 1).astype(np.float32))
    normalized = network(MAP, train=NUMBERS)
    given = normalized.input.model_copy(update={"mean": (0.5,), "std": (0.25,)})
    normalized.inputs["input"] = given
    found = everything(open_dataset("photos", normalized).train)[1]
    assert np.allclose(found, (target - 0.5) / 0.25, atol=1e-6), more


def test_targets_may_be_of_another_size_as_the_output_is():
    pairs(target_shape=(8, 10, 3))
    spec = network("conv: {channels: 3, kernel: 1}, upsample: 2", train=NUMBERS)
    assert everything(open_dataset("photos", spec).train)[1].shape == (3, 3, 8, 10)
    said = message("photos", network(MAP, train=NUMBERS))
    assert said.startswith("`photos/targets/0.png` has 3×8×10 pixels (channels × height × width)")


# Autoencoding


def test_the_target_is_the_sample():
    for i in range(3):
        picture(f"photos/some/{i}.png", pixels(4, 5, 3, seed=i))
    for source in ("photos", "photos/some"):
        x, target = everything(open_dataset(source, network(MAP, train=f"target: input, {NUMBERS}")).train)
        assert np.array_equal(x, target)
    np.savez("data.npz", x=pixels(4, 3, 4, 5))
    x, target = everything(open_dataset("data.npz", network(MAP, train=f"target: input, {NUMBERS}")).train)
    assert np.array_equal(x, target)


@pytest.mark.parametrize("source", ["photos", "data.npz"])
def test_the_target_moves_with_the_sample_and_has_no_noise(source):
    stack = []
    for i in range(8):
        stack.append(picture(f"photos/{i}.png", pixels(8, 8, 3, seed=i)).transpose(2, 0, 1))
    np.savez("data.npz", x=np.stack(stack))
    clean, noisy = (
        network(MAP, (3, 8, 8), f"target: input, {NUMBERS}, augment: [flip{more}]") for more in ("", ", noise: 20")
    )
    augmentations = [augmentation_of(spec.train, spec.graph, spec.input) for spec in (clean, noisy)]
    flipped, _ = everything(open_dataset(source, clean).train, augmentations[0])
    x, target = everything(open_dataset(source, noisy).train, augmentations[1])
    assert np.array_equal(target, flipped)
    assert (x != target).any(axis=(1, 2, 3)).all()


def test_one_output_has_a_class_and_another_the_sample():
    for i in range(4):
        picture(f"pets/{'cat' if i < 2 else 'dog'}/{i}.png", pixels(4, 5, 3, seed=i))
    spec = network(
        "conv: {channels: 3, kernel: 1, name: image}, flatten, dense: {units: 2, name: label}",
        train="losses: {image: mean_squared_error, label: cross_entropy}, targets: {image: input}",
        more="outputs: [image, label]",
    )
    x, target = everything(open_dataset("pets", spec).train)
    assert np.array_equal(target["image"], x)
    assert target["label"].tolist() == [0, 0, 1, 1]
    np.savez("data.npz", x=pixels(4, 3, 4, 5), y=np.array([0, 1, 1, 0]))
    x, target = everything(open_dataset("data.npz", spec).train)
    assert np.array_equal(target["image"], x)
    assert target["label"].tolist() == [0, 1, 1, 0]


def test_samples_that_an_output_cannot_be_compared_with():
    np.savez("data.npz", x=pixels(4, 3, 4, 5))
    said = message("data.npz", network("flatten, dense: 60", train=f"target: input, {NUMBERS}"))
    assert said.endswith("is the sample itself, 3×4×5, and the output is 60: end it with `reshape: [3, 4, 5]`")
    assert "takes classes: use `loss: mean_squared_error`" in message("data.npz", network(MAP, train="target: input"))
    given = network(MAP, train="target: input, loss: binary_cross_entropy")
    assert open_dataset("data.npz", given).train.n == 4
    given.inputs["input"] = given.input.model_copy(update={"mean": (0.5,)})
    assert "compares with numbers from 0 to 1, and `input` makes others" in message("data.npz", given)


# Broken files


def test_a_broken_mask_is_named_or_its_sample_is_left_out():
    masks = segmentation()
    cut("shapes/masks/1.png")
    assert message("shapes", network(MAP)).startswith("`shapes/masks/1.png` is not a complete image")
    dataset = open_dataset("shapes", network(MAP), skip_broken=True)
    assert dataset.skipped == {"train": 1}
    assert np.array_equal(everything(dataset.train)[1], masks[[0, 2]])
    (note,) = dataset.notes
    assert note.startswith("skipped 1 of 3 samples (train): `shapes/masks/1.png` is not a complete image")
    for i in (0, 2):
        cut(f"shapes/images/{i}.png")
    assert "all 3 files of `shapes` are broken" in message("shapes", network(MAP), skip_broken=True)


def test_a_wrong_value_is_no_broken_file():
    segmentation()
    picture("shapes/masks/1.png", np.full((4, 5), 9, np.uint8))
    assert "has the value 9" in message("shapes", network(MAP), skip_broken=True)
