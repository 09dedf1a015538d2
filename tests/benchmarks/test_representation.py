import numpy as np

from benchmarks.representation import _closer, pairings


def test_each_blur_goes_to_other_photographs_and_each_image_gets_as_many():
    photographs = list("aabbccdd")
    chosen = pairings(photographs, targets=3)
    assert len(chosen) == len(set(chosen)) == 24
    assert all(photographs[a] != photographs[b] for a, b in chosen)
    assert [sum(a == k for a, _ in chosen) for k in range(8)] == [3] * 8
    assert max(sum(b == k for _, b in chosen) for k in range(8)) <= 4


def test_closer_counts_blurs_and_what_measuring_allows():
    # Two targets each of two blurs: (moved, own) to the motion of (A, B).
    near, far = [1.0, 2.0], [2.0, 1.0]
    distances = np.array([[near, far], [near, far], [near, near], [far, far]])
    # Of the blurs one is always closer and one half of the time: the mean is 0.5, 0.75 or 1.
    assert _closer(distances, [0, 0, 1, 1]) == "0.75 (0.50 … 1.00) [0.75]"
