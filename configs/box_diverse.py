"""Stage 2 of the model in the box, fifth part: twice as many photographs, at any angle and scale.

    python launch.py --config configs/box_diverse.py --workdir runs/box_diverse

Hardware: two CPU cores, TODO, after those of configs/box_whole.py, whose end's mean with the ends
of two parts before it goes on from (docs/model_card.md).
"""
