import numpy as np
import pytest

from untrained.training.cutout import cut_out


@pytest.mark.parametrize("side", [1, 2, 4, 16, 40])
def test_a_square_around_the_drawn_middle_is_zero(side):
    images = np.random.default_rng(0).normal(1, 0.1, (20, 3, 8, 10)).astype(np.float32)
    before = images.copy()
    found = cut_out(images, side, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    for image, expected in zip(found, before, strict=True):
        row, column = rng.integers(8), rng.integers(10)
        for y in range(8):
            for x in range(10):
                in_rows = row - side // 2 <= y < row + side // 2
                if in_rows and column - side // 2 <= x < column + side // 2:
                    expected[:, y, x] = 0
        np.testing.assert_array_equal(image, expected)
    assert (images != 0).all()
    assert found.dtype == np.float32


def test_middles_are_everywhere():
    ones = np.ones((4000, 1, 6, 6), np.float32)
    cut = 1 - cut_out(ones, 2, np.random.default_rng(1))[:, 0].mean(0)
    # a pixel is inside for 4 of 36 middles, in the last row and column for fewer
    assert cut[:5, :5] == pytest.approx(np.full((5, 5), 4 / 36), abs=0.02)
    assert cut[5, 5] == pytest.approx(1 / 36, abs=0.01)
