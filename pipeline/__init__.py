"""What is computed: an ordinary library whose stages run in a plain for-loop. Ray decides only where and when.

The stages, in order, each from the parts of one table to the parts of the next (see README.md):

    collecting -> sharding -> training(coincidence) -> scoring -> labeling -> filtering -> mixing
               -> training(separation) -> evaluating -> reporting;   separating, for one video at a time

Axis letters, fixed here for the whole project:

    B batch            M mixtures to add up     S separated sources     C channels
    T samples          F frequency bins         L STFT frames           K video frames
    H, W pixels        D embedding              N local features (rows that attention looks at)
"""

# Here and not in the metadata of an installation: code that travels to a cluster has none.
VERSION = "0.1.0"
