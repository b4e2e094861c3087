"""The constants of native/kernels.c, in the order of the enum in native/arithmetic.h.

Machine code with constants in memory depends on its address; these kernels get them from this
array instead. The values are bits of float32, not decimals: MicroPython's parser may be off by
one unit in the last place. The two seeds are not values but bits for integer arithmetic.
"""

from array import array

COEFFICIENTS = array(
    "I",
    (
        0x3727C5AC,  # EPS: 1e-5
        0x3F000000,  # HALF
        0x3F800000,  # ONE
        0x40000000,  # TWO
        0x3D800000,  # SIXTEENTH
        0x7EF333E0,  # RECIPROCAL_SEED: twice the bits of 1.0 less an offset for the smallest error
        0x400014E4,  # RECIPROCAL_STEP: 2.001275
        0x5F376900,  # RSQRT_SEED: 1.5 times the bits of 1.0, likewise
        0x40401CAC,  # RSQRT_STEP1: 3.00175
        0x41400005,  # RSQRT_STEP2: 12.000005
        0xC2B00000,  # EXP_LOWEST: -88.0
        0x3FB8AA3B,  # LOG2_E
        0x3F318000,  # LN2_HIGH: ln(2) cut to 9 bits, so that its products with exponents are exact
        0xB95E8083,  # LN2_LOW: the rest of ln(2)
        0x3EFFFFFE,  # EXP2: 1 + r + EXP2 * r**2 + ... + EXP6 * r**6 is exp(r)
        0x3E2AAA49,  # EXP3: with a relative error of 3e-9 for |r| <= ln(2)/2 (minimax)
        0x3D2AAC79,  # EXP4
        0x3C091CEA,  # EXP5
        0x3AB51227,  # EXP6
        0x3F3504F3,  # SQRT_HALF
        0x3F317218,  # LN2
        0x3EAAAAAB,  # LOG3: 1/3
        0x3E4CCCCD,  # LOG5: 1/5
        0x3E124925,  # LOG7: 1/7
        0x3DE38E39,  # LOG9: 1/9
    ),
)
