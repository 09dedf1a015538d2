"""The published recipe, at full size. Every experiment is a change of this one.

Numbers are the paper's (Li et al., ECCV 2022) and its released training's unless a comment says
otherwise. Where that training did something unsound, there is a field for it; the default is the
sound choice and the comment names the published one.
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    # Which stages `launch.py` trains, in this order.
    config.stages = ("reblur", "deblur")
    # Of configs/ablation.py: which one, for the table.
    config.ablation = ""
    config.width = 64
    # Context channels of the modulation; 0 means 2 · width.
    config.hidden = 0
    # "published" or "calibrated", for trainings of thousands of steps; see
    # msdi_jax/networks/initialization.py.
    config.initial = "published"
    # Degradation encoder of the deblurring network: 2 is `msdi2_net`, 1 is `msdi_net`.
    config.version = 2
    # Published: False. The degradation encoder sees images as they are instead of at 256×256, and
    # normalises over the batch; see msdi_jax/networks/degradation.py.
    config.native = False
    # Published: False. The degradation encoder sees every neighbourhood at the same contrast, which
    # tells little of blur and much of content.
    config.contrast = False

    # "tensorfloat32", as PyTorch's convolutions unasked: products of fewer digits on GPUs that have
    # such; on CPUs the same as "float32". "bfloat16": weights and activations of the forward and
    # backward passes; the weights that are kept, norms' statistics, losses and optimiser stay
    # float32.
    config.compute_dtype = "tensorfloat32"
    # Blocks of so many of the finest U-Net levels (at most 5) are computed again in the backward
    # pass instead of being kept.
    config.remat = 0

    # data splits the batch, rows the rows of every image; data = -1 takes the devices that rows
    # leaves, and a process alone may take fewer. shard_state keeps weights and moments in one piece
    # per device of data.
    config.mesh = ml_collections.ConfigDict({"data": -1, "rows": 1, "shard_state": False})
    # Published: 0. So many photographs of the training split, or scenes, are not trained on, and
    # val crops, by which the best weights are chosen, are of them instead of the test split.
    config.val = 0
    # How many of the latest are kept, and of those with the highest PSNR on val crops.
    config.checkpoints = ml_collections.ConfigDict({"keep_last": 3, "keep_best": 1})
    # Take the next training pair instead of stopping at one that cannot be read.
    config.skip_damaged = False

    # `name` is a folder of data/; the other fields are its builder's.
    config.dataset = ml_collections.ConfigDict(
        {
            "name": "camera_shake",
            "directory": "prepared",
            # Folder of sharp photographs; None takes the ones inside scikit-image.
            "photographs": config_dict.placeholder(str),
            "train_pairs": 24,
            "test_pairs": 8,
            "longest_side": 384,
            # What an exposure averages: "linear" light, "gamma"-encoded frames, or "both" in turn.
            "domain": "linear",
            # The pose that the sharp frame is seen from: the "mean" one, in which the blur is
            # centred, or the "middle" one of the exposure, which no blurry photograph tells.
            "anchor": "mean",
            "strength": 4.0,
            "seed": 0,
        }
    )
    # Stops of exposure, softness in px, share of crops partly out of focus, noise in 1/255, lowest
    # quality of JPEG (0: none), share of pairs without blur, windows that each crop is chosen from,
    # share of crops at any angle and their largest zoom, share whose channels change places; see
    # data/augment.py.
    config.augmentation = ml_collections.ConfigDict(
        {
            "exposure": 0.0,
            "gaussian_blur": 0.0,
            "defocus": 0.0,
            "noise": 0.0,
            "jpeg": 0,
            "identity": 0.0,
            "windows": 1,
            "rotation": 0.0,
            "zoom": 1.0,
            "channel_shuffle": 0.0,
        }
    )
    # "grid" is how the published figures were restored: averaged 256-pixel tiles. `protocols` are
    # those of msdi_jax/evaluation/protocols.py.
    config.evaluation = ml_collections.ConfigDict(
        {
            "restore": "grid",
            # How a deblurring network is used; None: as deblur.start_from is, if there is one.
            # Published: 0. Side of the windows, px, that half instance norms take their statistics
            # in, see networks/local_statistics.py; None without a start: 0, the whole image.
            "window": config_dict.placeholder(int),
            # Published: 1. In how many every image is restored, see `self_ensemble.ensemble`; None
            # without a start: 1.
            "orientations": config_dict.placeholder(int),
            "protocols": ("gopro", "per_channel"),
            "samples": 8,
        }
    )

    config.reblur = _stage(
        steps=240_000,
        batch_size=32,
        learning_rate=2e-4,
        schedule_steps=250_000,
        l1_weight=10.0,
        feature_matching_weight=10.0,
        perceptual_weight=30.0,
        # Published: 0. L1 of the reblurred image, where there is no perceptual term to compare it.
        reblur_l1_weight=0.0,
        # False: no discriminator, and neither of the terms that need it.
        adversarial=True,
        # Published: False. Every blur is drawn on the spot and put on two photographs, and each is
        # reblurred with the other's representation; see data/synthesis/shared_blur.py.
        shared_blur=False,
        # Of twins: weight of what the representation's first channels lack to tell the true motion.
        motion_weight=0.0,
        # Of a batch of twins, so many images pass the generators, and all the encoder; 0: all.
        generated=0,
        # Learning rate of encoder and pyramid, as a multiple of the generators'; published: 1.
        degradation_rate=1.0,
        # torchvision's vgg19-*.pth; empty: no perceptual term.
        vgg_weights="",
        # Published: False (VGG19 saw raw [0, 1] images).
        vgg_normalise=True,
        # Published: False (only the discriminator's rate was annealed).
        anneal_generator=True,
        # Published: 8, one per process. 1 normalises over the global batch.
        batch_norm_groups=1,
    )
    config.deblur = _stage(
        steps=400_000,
        batch_size=24,
        learning_rate=3e-4,
        schedule_steps=400_000,
        feature_weight=1.0,
        # Published: 1e-8. Added to the mean square error; with 1e-4 crops that are right to 40 dB
        # no longer outweigh the blurred ones.
        psnr_floor=1e-8,
        # Published: 0. Pixels around each crop that a native degradation encoder sees too: of whole
        # images it sees more than of crops.
        context=0,
        # Of MSDI-Net's U-Nets; 0 means `width`, which the degradation encoder always has.
        width=0,
        # Their levels. Published: 5. Fewer see less around a pixel, for far fewer weights.
        depth=5,
        # Published: 1. Side, in px, of the squares of pixels that are one to the U-Nets: 2 lets a
        # wide network do with a quarter of the work.
        patch=1,
        # Levels whose skips the representation modulates, 0 the finest.
        injected=(0, 1, 2, 3),
        # Published: False, the representation of stage 1 stays as it is.
        train_encoder=False,
        # Model or run directory whose degradation encoder and pyramid are frozen; empty: this
        # run's own or, when only stage 2 is run, start_from's.
        degradation_from="",
        # Model or run directory whose first encoder layers the feature loss uses; empty: the frozen
        # encoder's own. Published: version 1's, for both versions.
        features_from="",
    )
    return config


def _stage(**fields) -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "crop": 256,
            "final_learning_rate": 1e-7,
            "clip_norm": 0.01,
            # Model or run directory whose weights training starts from; empty: random ones.
            "start_from": "",
            # Parts of a batch whose gradients are computed one after the other, to save memory.
            "accumulate": 1,
            # Decay of the moving average of the weights, exported beside them; 0: none.
            "ema_decay": 0.0,
            # Steps whose loss or gradient is not finite that are left out before the run stops.
            "skip_nonfinite": 0,
            "adam_b1": 0.9,
            "adam_b2": 0.99,
            "adam_eps": 1e-8,
            "log_every": 100,
            "val_every": 5000,
            "val_images": 16,
            "checkpoint_every": 5000,
            **fields,
        }
    )
