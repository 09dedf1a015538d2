"""The published recipe at full size. Every experiment starts from it and changes fields.

The numbers are those of the paper (Li et al., ECCV 2022) and of its released training code unless
a comment says otherwise. Where that training did something unsound, a field selects it; the default
is the sound choice, and the comment gives the published one.

The comment above a field is its description in docs/config.md and in the help of the command line.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    # Seed of the weights, the order of the data and the augmentation, 0 … 2³²-1.
    config.seed = 0
    # Stages to train, in this order: "reblur", "deblur" or both.
    config.stages = ("reblur", "deblur")
    # Name of the variant of configs/ablation.py, for the table of results; empty: no ablation.
    config.ablation = ""
    # Channels of the finest level of the networks.
    config.width = 64
    # Context channels of the modulation; 0: twice the width.
    config.hidden = 0
    # Initial weights: "published", or "calibrated" for trainings of a few thousand steps.
    config.initial = "published"
    # Degradation encoder of the deblurring network: 1 builds msdi_net, 2 builds msdi2_net.
    config.version = 2
    # Encode at full resolution instead of at 256×256 px, with batch instead of instance norms.
    # Published: False.
    config.native = False
    # Feed local contrast to the degradation encoder, which hides most of the content.
    # Published: False.
    config.contrast = False
    # Precision of the forward and backward passes: "float32", "tensorfloat32" (PyTorch's default
    # for convolutions; on CPUs it equals "float32") or "bfloat16".
    config.compute_dtype = "tensorfloat32"
    # Number of finest U-Net levels, 0 … 5, that the backward pass recomputes to save memory.
    config.remat = 0
    # Photographs or scenes of the training split that are kept for validation, which chooses the
    # best weights; 0: no validation, no best weights. Published: 0.
    config.val = 1
    # Skip training pairs that cannot be read, instead of stopping.
    config.skip_damaged = False

    # How work is split over devices.
    config.mesh = _mesh()
    # Checkpoints that a run keeps.
    config.checkpoints = ConfigDict(
        {
            # Number of latest checkpoints to keep, at least 1.
            "keep_last": 3,
            # Number of checkpoints with the highest validation PSNR to keep.
            "keep_best": 1,
        }
    )
    # Photographs that are blurred by synthetic camera shake; no download is needed.
    config.dataset = camera_shake()
    # Random changes of training crops. The published recipe has none of them.
    config.augmentation = _augmentation()
    # The evaluation on the test split at the end of a run.
    config.evaluation = _evaluation()
    # Stage 1: learns the degradation representation by reblurring and deblurring.
    config.reblur = _reblur()
    # Stage 2: trains the deblurring network with the representation frozen.
    config.deblur = _deblur()
    return config


def _mesh() -> ConfigDict:
    mesh = ConfigDict(
        {
            # Devices that the batch is split over; -1: all that mesh.rows leaves.
            "data": -1,
            # Devices that the rows of every image are split over.
            "rows": 1,
            # Split weights and Adam's moments over the devices of mesh.data (ZeRO).
            "shard_state": False,
        }
    )
    return mesh


def _augmentation() -> ConfigDict:
    augmentation = ConfigDict(
        {
            # Largest change of exposure of both crops, in stops.
            "exposure": 0.0,
            # Largest standard deviation of a Gaussian that smooths both crops, in px.
            "gaussian_blur": 0.0,
            # Share of crops that are partly out of focus, 0 … 1.
            "defocus": 0.0,
            # Largest standard deviation of the noise on blurry crops, in 1/255.
            "noise": 0.0,
            # Lowest JPEG quality, 1 … 100, of every other blurry crop; 0: no compression.
            "jpeg": 0,
            # Share of pairs without blur, 0 … 1.
            "identity": 0.0,
            # Random windows per crop, of which the one with the strongest blur is taken.
            "windows": 1,
            # Share of crops that are rotated by any angle and scaled, 0 … 1.
            "rotation": 0.0,
            # Largest factor that rotated crops are reduced or enlarged by, 1 … 2.
            "zoom": 1.0,
            # Share of crops with permuted colour channels, 0 … 1.
            "channel_shuffle": 0.0,
            # Share of crops, 0 … 1, that stage 2 gives the blur of another crop of the batch, by
            # the network of deblur.reblurred_by.
            "reblurred": 0.0,
        }
    )
    return augmentation


def _evaluation() -> ConfigDict:
    evaluation = ConfigDict(
        {
            # "grid" averages overlapping tiles of 256 px; "whole" restores each image at once.
            # Published: "grid".
            "restore": "grid",
            # Side, in px, of the windows that instance norms compute statistics over; 0: the whole
            # image; None: as the model of deblur.start_from, else 0. Published: 0.
            "window": config_dict.placeholder(int),
            # Orientations that each image is restored in and averaged over: 1, 2, 4 or 8;
            # None: as the model of deblur.start_from, else 1. Published: 1.
            "orientations": config_dict.placeholder(int),
            # Metrics: names of protocols in msdi_jax/evaluation/protocols.py.
            "protocols": ("gopro", "per_channel"),
            # Number of test images to save for the report.
            "samples": 8,
        }
    )
    return evaluation


def _reblur() -> ConfigDict:
    reblur = _stage(
        steps=240_000,
        batch_size=32,
        learning_rate=2e-4,
        schedule_steps=250_000,
        # Levels of the U-Nets. Published: 5.
        depth=5,
        # Weight of the L1 loss of the deblurred image.
        l1_weight=10.0,
        # Weight of the discriminators' feature matching loss.
        feature_matching_weight=10.0,
        # Weight of the perceptual loss on VGG19's features.
        perceptual_weight=30.0,
        # Weight of the L1 loss of the reblurred image, for training without VGG19. Published: 0.
        reblur_l1_weight=0.0,
        # Train against a discriminator; False removes it and the two losses that need it.
        adversarial=True,
        # Draw each blur during training, put it on two photographs, and reblur each with the
        # representation of the other; for camera_shake only. Published: False.
        shared_blur=False,
        # Weight of the loss that correlates the first channels of the representation with the true
        # motion; needs shared_blur. Published: 0.
        motion_weight=0.0,
        # Images of a batch that pass the generators; the encoder sees all; needs shared_blur.
        # 0: all.
        generated=0,
        # Learning rate of encoder and pyramid, as a multiple of the generators'. Published: 1.
        degradation_rate=1.0,
        # File vgg19-*.pth of torchvision, or a model directory; empty: no perceptual loss.
        vgg_weights="",
        # Normalise images for VGG19 as ImageNet's; False feeds raw [0, 1] RGB.
        # Published: False.
        vgg_normalise=True,
        # Anneal the generators' learning rate, not only the discriminator's. Published: False.
        anneal_generator=True,
        # Groups of a batch that batch norm normalises separately; 1: the whole batch.
        # Published: 8, one per process.
        batch_norm_groups=1,
    )
    return reblur


def _deblur() -> ConfigDict:
    deblur = _stage(
        steps=400_000,
        batch_size=24,
        learning_rate=3e-4,
        schedule_steps=400_000,
        # Weight of the loss on the encoder's features.
        feature_weight=1.0,
        # Mean square error added in the PSNR loss: with 1e-4, crops above 40 dB stop outweighing
        # blurred ones. Published: 1e-8.
        psnr_floor=1e-8,
        # Pixels around each crop that a native encoder also sees, a multiple of 32. Published: 0.
        context=0,
        # Network: "msdi_net", "modulated_nafnet" (NAFNet with the representation in its skips),
        # "nafnet" or "hinet".
        network="msdi_net",
        # NAFNet's blocks per level, from the finest down, in the middle, and up again.
        blocks=(1, 1, 1, 28, 1, 1, 1, 1, 1),
        # Channels of the finest U-Net level; 0: as config.width, which the encoder always has.
        width=0,
        # Levels of the U-Nets. Published: 5.
        depth=5,
        # Side, in px, of the pixel squares that are folded into channels before the U-Nets.
        # Published: 1.
        patch=1,
        # Levels whose skips are modulated by the representation; 0 is the finest.
        injected=(0, 1, 2, 3),
        # Train the degradation encoder too, instead of freezing it. Published: False.
        train_encoder=False,
        # Modulate each image by the representation of another one of the batch: the control of
        # configs/backbones.py. Published: False.
        unrelated_degradation=False,
        # Model or run directory with the encoder and pyramid to freeze; empty: this run's stage 1,
        # else the model of start_from.
        degradation_from="",
        # Model or run directory of the joint network that augmentation.reblurred reblurs with;
        # empty: this run's stage 1.
        reblurred_by="",
        # Model or run directory whose first encoder layers the feature loss uses; empty: the
        # frozen encoder. Published: version 1's, for both versions.
        features_from="",
    )
    return deblur


def _stage(
    steps: int, batch_size: int, learning_rate: float, schedule_steps: int, **fields
) -> ConfigDict:
    """Fields that both stages have, and those of one."""
    stage = ConfigDict(
        {
            # Training steps.
            "steps": steps,
            # Crops per step, over all devices.
            "batch_size": batch_size,
            # Learning rate of Adam at the first step.
            "learning_rate": learning_rate,
            # Learning rate at the end of the cosine schedule.
            "final_learning_rate": 1e-7,
            # Steps of the cosine schedule.
            "schedule_steps": schedule_steps,
            # Side of the training crops, in px, a multiple of 16.
            "crop": 256,
            # Largest norm of the gradient; longer ones are scaled down to it.
            "clip_norm": 0.01,
            # Model or run directory with the initial weights, "bundled" for the bundled model;
            # empty: random weights.
            "start_from": "",
            # Parts of a batch whose gradients are computed one after the other, to save memory.
            "accumulate": 1,
            # Decay per step of the moving average of the weights, saved as model-ema; 0: none.
            "ema_decay": 0.0,
            # Steps with a non-finite loss or gradient to skip before the run stops.
            "skip_nonfinite": 0,
            # Adam's decay of the mean gradient.
            "adam_b1": 0.9,
            # Adam's decay of the mean squared gradient.
            "adam_b2": 0.99,
            # Adam's term that avoids division by zero.
            "adam_eps": 1e-8,
            # Share of each weight that a step of learning rate 1 would subtract (AdamW).
            "weight_decay": 0.0,
            # Steps between rows of the log.
            "log_every": 100,
            # Steps between validations.
            "val_every": 5000,
            # Number of validation crops.
            "val_images": 16,
            # Steps between checkpoints.
            "checkpoint_every": 5000,
        }
    )
    stage.update(fields)
    return stage


def camera_shake() -> ConfigDict:
    """Settings of data/camera_shake."""
    dataset = ConfigDict(
        {
            # Data set: name of a folder in data/.
            "name": "camera_shake",
            # Root of the prepared data sets, or one prepared data set.
            "directory": "prepared",
            # Folder of sharp photographs; None: the ones that come with scikit-image.
            "photographs": config_dict.placeholder(str),
            # Pairs made of each training photograph.
            "train_pairs": 24,
            # Pairs made of each test photograph.
            "test_pairs": 8,
            # Longest side of the frames, in px, at least 256.
            "longest_side": 384,
            # Values that an exposure averages: "linear" light, "gamma"-encoded, or "both" in turn.
            "domain": "linear",
            # Camera pose of the sharp frame: the "mean" of the exposure, which centres the blur, or
            # its "middle", which a blurry photograph does not reveal.
            "anchor": "mean",
            # Median length of the motion, in px.
            "strength": 4.0,
            # Seed of the whole data set.
            "seed": 0,
        }
    )
    return dataset


def paired(name: str) -> ConfigDict:
    """Settings of data/gopro, data/realblur_j, data/realblur_r or data/pairs."""
    dataset = ConfigDict({"name": name, "directory": "prepared"})
    # Folder of the unpacked download; for "pairs" the folder with blurry/ and sharp/, or a CSV
    # file; None: the data set is already prepared.
    dataset.source = config_dict.placeholder(str)
    # Use the data set that was prepared with --raw.
    dataset.raw = False
    if name == "pairs":
        # Side of the training tiles, in px, at least 64; 0: whole images.
        dataset.tile = 512
    else:
        # Accept a number of pairs that differs from the published one.
        dataset.accept_part = False
    if name == "gopro":
        # Blurry frames: "blur", which published figures are measured on, or "blur_gamma".
        dataset.blur = "blur"
    return dataset
