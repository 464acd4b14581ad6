"""Does any picture match a text, or is the nearest one merely the least far?

The best cosine alone cannot tell: a query of made-up words has a nearest picture too, and it is
about as near as that of a real one (area under the curve 0.7 with the bundled encoder). What
does tell is the text itself: real names of things stand near the vocabulary, nonsense near other
nonsense. So a query is first asked whether it makes sense to this encoder, which needs no
picture and holds for a library of any size, and then its pictures are held against a floor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from index.calibration import calibration_of
from index.wordbank import word_bank

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from index.encoder import Encoder


def match_floor(encoder: Encoder, query: NDArray[np.float32]) -> float:
    """The cosine that a picture must reach to match this text.

    query: the text's unit vector, (width,); -1..2, where 2 is out of any picture's reach
    """
    floors = calibration_of(encoder)
    known = word_bank(encoder).sense(query[None])[0] >= floors.sense_floor
    return floors.match_floor if known else floors.stranger_floor
