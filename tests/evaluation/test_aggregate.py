import numpy as np
import pytest

from msdi_jax.evaluation import aggregate


def rows(blurry, deblurred):
    return [
        {"name": f"r{i:02d}", "photograph": "", "psnr_blurry": b, "psnr_deblurred": d}
        for i, (b, d) in enumerate(zip(blurry, deblurred, strict=True))
    ]


INF = float("inf")


def test_identical_pairs_are_left_out_of_all_means():
    """Of three images, the second input and the third result equal their target."""
    images = rows([20.0, INF, 24.0, 25.0], [30.0, 32.0, INF, 33.0])
    images = [row | {"ssim_deblurred": i / 4} for i, row in enumerate(images)]
    assert aggregate.without_identical(images) == [images[0], images[3]]
    expected = {"psnr_blurry": 22.5, "psnr_deblurred": 31.5, "ssim_deblurred": 0.375}
    assert aggregate.means(images) == expected
    deciles = aggregate.deciles(images)
    assert deciles["all"] == expected
    assert deciles["sharpest"]["psnr_blurry"] == 25.0


def test_identical_pairs_alone_have_no_means():
    images = [row | {"ecc_failed_deblurred": 1.0} for row in rows([INF] * 2, [30.0] * 2)]
    expected = {"psnr_blurry": None, "psnr_deblurred": None, "ecc_failed_deblurred": 2}
    assert aggregate.means(images) == expected
    assert aggregate.deciles(images) is None


def test_deciles_are_ranked_by_the_blurry_input():
    """Twenty images, the sharpest inputs deblurred worst: a tenth is two of them."""
    blurry = np.random.default_rng(0).permutation(20).astype(float)
    deciles = aggregate.deciles(rows(blurry, 100 - blurry))
    assert deciles["images"] == 2
    assert deciles["ranked_by"] == "psnr_blurry"
    assert deciles["blurriest"] == {"psnr_blurry": 0.5, "psnr_deblurred": 99.5}
    assert deciles["sharpest"] == {"psnr_blurry": 18.5, "psnr_deblurred": 81.5}
    assert deciles["all"] == {"psnr_blurry": 9.5, "psnr_deblurred": 90.5}
    assert "our reading" in deciles["note"].lower()


@pytest.mark.parametrize(("count", "tenth"), [(1, 1), (4, 1), (14, 1), (16, 2), (1111, 111)])
def test_a_tenth_is_whole_images(count, tenth):
    deciles = aggregate.deciles(rows(np.arange(count), np.arange(count)))
    assert deciles["images"] == tenth
    assert deciles["blurriest"]["psnr_blurry"] == pytest.approx((tenth - 1) / 2)


def test_equal_psnr_does_not_make_the_order_matter():
    images = rows([5.0] * 10, range(10))
    assert aggregate.deciles(images) == aggregate.deciles(images[::-1])
    assert aggregate.deciles(images)["blurriest"]["psnr_deblurred"] == 0


def test_the_psnr_at_hand_ranks():
    images = [
        {"name": str(i), "photograph": "", "ssim_blurry": 1.0, "psnr_aligned_blurry": float(i)}
        for i in range(10)
    ]
    assert aggregate.deciles(images)["ranked_by"] == "psnr_aligned_blurry"
    assert aggregate.deciles([{"name": "a", "photograph": "", "psnr_deblurred": 1.0}]) is None


def test_failed_alignments_are_counted_and_the_rest_averaged():
    images = [{"name": "", "photograph": "", "ecc_failed_deblurred": f} for f in (1.0, 0.0, 1.0)]
    images = [row | {"ssim_deblurred": i / 2} for i, row in enumerate(images)]
    assert aggregate.means(images) == {"ecc_failed_deblurred": 2, "ssim_deblurred": 0.5}
