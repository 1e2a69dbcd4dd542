import pytest
import torch

from fairway.config import sections
from fairway.training import augmentation, epochs


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (3, 1, [1, 1, 1]), (1, 4, [1]), (4, 4, [4])],
)
def test_every_row_is_in_one_batch_and_no_larger_batch_ends_with_a_single_row(count, size, sizes):
    parts = epochs.batches(count, size=size, seed=1)
    assert [len(part) for part in parts] == sizes
    assert sorted(torch.cat(list(parts)).tolist()) == list(range(count))


def test_the_seed_fixes_the_order():
    one, same, other = (
        torch.cat(list(epochs.batches(50, size=8, seed=seed))).tolist() for seed in (1, 1, 2)
    )
    assert one == same != other


def test_augmentation_changes_pictures_differently_and_keeps_their_shape():
    augment = augmentation.changes(sections.Augmentation(rotation=30, translation=0.1, erasing=0.5))
    torch.manual_seed(0)
    image = torch.rand(1, 1, 8, 8).expand(32, 1, 8, 8)
    changed = augment(image)
    assert changed.shape == image.shape
    assert len({tuple(picture.ravel().tolist()) for picture in changed}) > 1


def test_without_augmentation_there_is_nothing_to_apply():
    assert augmentation.changes(sections.Augmentation()) is None
