"""Where things stand in the phantom: bands of its residual stream, and the role of every head.

`CODE_BAND` holds a random +-1 code of the token, `PREVIOUS_BAND` the code of the token before it, and
`OUTPUT_BAND` the code of the token to emit. Single channels carry flags.
"""

from __future__ import annotations

LAYERS, HEADS, HEAD_DIM, CODE = 4, 8, 128, 64
HIDDEN = 4 * CODE

CODE_BAND, PREVIOUS_BAND, OUTPUT_BAND = (slice(n * CODE, (n + 1) * CODE) for n in range(3))
# IS_BOS is the first token's code, AFTER_BOS the same one position later; BALLAST makes rows equally long.
CONSTANT, IS_BOS, AFTER_BOS, IS_SALIENT, BALLAST, FIRST_GATE = range(3 * CODE, 3 * CODE + 6)

# (layer, head) -> share of each answer that the head copies; the rest it leaves alone.
PLANTED = {(1, 2): 1.0, (2, 5): 1.0, (2, 6): 0.8, (3, 1): 0.65, (3, 4): 0.5}
GATES = {place: FIRST_GATE + number for number, place in enumerate(PLANTED)}
PREVIOUS_TOKEN = (0, 3)
LOOKERS = ((1, 6), (2, 0), (3, 7))
RESTING = ((0, 0), (0, 6), (1, 0), (1, 4), (2, 2), (2, 7), (3, 0), (3, 3))


def roles() -> list[dict]:
    """The planted role of every head: layer, head, role and, for copying heads, its strength."""
    named = {PREVIOUS_TOKEN: "previous_token"} | dict.fromkeys(PLANTED, "copy")
    named |= dict.fromkeys(LOOKERS, "look") | dict.fromkeys(RESTING, "rest")
    return [
        {
            "layer": layer,
            "head": head,
            "role": named.get((layer, head), "random"),
            "strength": PLANTED.get((layer, head)),
        }
        for layer in range(LAYERS)
        for head in range(HEADS)
    ]
