"""Expected results for `ugpt.checks`: float32 as base64.

Written by `python -m microgpt_board.proof.answers`.
"""

RNG = (3411182454, 9929, 1854693134, 2, 1570985301)
ANSWERS = {
    "rng": "tKCRPkNeIz80kJY/D61XPYnbyj8wFHk/sjjOP3AzMT8qhd2+",
    "embed": (
        "xGGavuingD9g+Ck+gDqTvRAHED84VQg+/M+9v/dBpz/I4We+DJM1P91w7b+U78a+qJsyP2z6yL7Kh0g/EOHFvgAO"
        "Rz5eF70/UiMfv1SfDT9Iczy+3occv+b/p79sTYa+7GrGPgjxLr8IJjM/EOekvi6ktj8sj7G/"
    ),
    "embed_backward": (
        "XO97P2SdY7+mvDc/yog1v0BqdT5CPwY/EAG9vQDxyz44GF+++ENtPphrMT8Qv+i+AAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAtHD3PjjyD7+orxI+NJgDP25LEL/InZQ/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAeGoOP0APib3s4NW+qCxvPxC8Zj6y0n0/"
    ),
    "rmsnorm": (
        "a7fHP20z5T8YwMc+tPV3vkXau77ky+29VYNAv1woOb+o1Iw/llEivxeNnz/DFKk/r4SlvxNc1z6e0pc/j3toP6+S"
        "fD0QJrG/vBVPv4b0lL4ER7i/u+FYv+lAuz9NHxM/i04bP0ITYL9Kmak/eiILv4vFnj+Il5A/nU/uPyul1T+Rpdg/"
        "893xP4YD3D8="
    ),
    "rmsnorm_backward": (
        "AcdnP894d77OS5k+X4DgP6vPrD9uy8I/gLG6v91Gjr6zA7e+sT9ov2hK+L8I0jU/yJmmPwSLUDxVqcI+yo0dP+5f"
        "Z7+I2AW//42DvXkb8T9Z4IM++nP4vp1cjr4uHsA/sjNJvrmVOD5RU+A9qLrbvqpClT662dG+"
    ),
    "linear": (
        "1sa0v4lw776l0X++LLXCPz+tiz91Dl6+whGaPxgLlT+Rccg+3agavmpBTb61QY6+lbQHPxZSYz96VBM/HYQuP23+"
        "vj5Vu5o/w72dv2PDvr/vvkS/ZTImP+/92j+ahki/AvfmP6nntT9kwx2/6t2MP8ZXoj+03DY/rOk7vyA4kr82vaM+"
        "DlHKvx6Oj79yu2g/WDe9Pvmicr9AqjA+0RY0v5vXCj/9sgA/P1GZvmTKgb66958+"
    ),
    "linear_backward_x": (
        "+66Uv4DiCMBNuro+7Hrpv2963r6bV46/kSiIv6LOEr+3IC4/6XFMP5v67b4o4go/2p6Ov0T0bb+/yOu+Vm71PR+Y"
        "1b9njTQ/YJZ1Pp7uUj8qxDi/4NWIP6cf+j7m2wM/PeWfvr400L7ysSE/anKNP+GePb8BesQ/"
    ),
    "linear_backward_w": (
        "bfmEPjZuh78yDDS/DdPLP688Ej92hYI/UTSgPx3WZj+WZrO/oXEHQK4j174CuUY9dpvRPhUUyD7U00u/R8Y3P8xO"
        "G7+YFfQ+fPQ3P4k2Wb8wwfC+umi2P7lC8z7n4Hs/PAwCP6/zCj/hgy4+M1K+vPLjhr3dBADADQ2Fv6Am9L5RXWE+"
        "62eAv3AkUL5IXm4/g17YPiwc9L+WTOM+SpcpP+JXkD8o5Xm9ZieTPk4WBT9AUeI+PY47v2Lwnb49CRI/UOFhPxHW"
        "fL/Q+H6/UTYXQNtuJD+OyW0/"
    ),
    "clear": "9EyyPgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGxW4j4=",
    "add": "mJmvPoCkmzxMLq++XWeBP+ZVmj+5646/gjaJv8Arp7w=",
    "relu": "AAAAAAAAAACooLw+iMZJPwAAAAAAAAAAAAAAAHCr4j0=",
    "relu_backward": "AAAAAAAAAADAvem8ethnPwAAAAAAAAAAAAAAAGIWRz8=",
    "attention": (
        "sDUavzi2Ib6cISQ/ONLLPkD1574Cil6/HrI2vfEszz3DGw8/TN6FPfYXxz2GECW/H7ZjPJSP/D17nRU/Pxs5PmgY"
        "xr2LRja/F396Pt9N3T3W5xo/8NtfPs98r74Ogs++5ybfvPgoAD5RuvM+oOKEPlJQl76TDgW/"
    ),
    "attention_backward": (
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAlfsPvG6A6DzqEuK7VQLrPE2lPD3CmGc8LYVdvktA+r7/hJA/XYtyvhIW"
        "TD6tICS+KQiGPb4CJz23XIa9hf3LOx3pEb2e5cY82N1uPYyeLbxLNty9sdQqvld1Cb6MAY29YC+bvrQpML+c9Jg+"
        "d6hWvvbdBT/FsoC+u+QLOoLbOzwZlMW4AtvPvAFKUry2yw+8ksPSvJWdGLyF9wc9mFagPM4nRTwEcyg8bexrvnIQ"
        "8r4h7KG7efW9PW8cgj5pS9i9awJePfBFkLyT22q9/FXmvQ9Tgr3Cx6m9ESWsu1wZh7speXg790TXPeEsYj1aNRo9"
        "8RaLvnUP8L1Ks6I+CR8xPqovcz4pHfm95iyBPR3//bwYbwy9rM0hvuqBwb1GJaS9EPGXvBxwjrvul549enFcPHdy"
        "qzxeVt473sSBvtyfSL6QihA+cwODPFABnT0Rf529"
    ),
    "cross_entropy": (
        "9mXqPxeD9TxlFQU9Zsp2PPxKDr5ObG08nUkIPdX2XzyfsN08R7YyPchCiTwbTA09daNYPfZDVzwifEC+A2SnPLYb"
        "nDzqnCI8GIYivhJSJT0Zgy49PbjXPAN3LzwCaCC+iLekPB76VzyoZ748dfsgPbQ4TT00+548RagIPVd5Mr4IJ9M8"
        "2ydCPRKlAj0ZvoY8"
    ),
    "softmax": "i7yBPM5W5T7Bvtg+OkKMPTCNUzyPnXw8OcyDPA==",
    "adam": (
        "L26bPt5WYT9G2CU/bghdP4tfoj5xjuu+x80/Pamw9D4yJXk+TAa+PAmIFr1GLUK+yGHGPR6UwT29yTe9ckWLviF3"
        "QTzhFeE4dD+NOZkH6zvNUfU6apXpOq2N0jlO0HE8"
    ),
    "gradient": (
        "NEQAPkPZnTvx3QI9YWUJPQ8aDD4AAAAAAAAAAAAAAAAAAAAAAAAAAKei2LzLYE68qQcPPcdkE70AAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAOCCbvViQOj0AAAAAAAAAAAAAAAAAAAAAAAAAAK+5/z3HoZG8mcmpO6yl8Lx1lES8"
        "eA4wvdXpEj0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAkq1FPQpZF70AAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAPBOLz33sny9FnwhPT4bmDwZQsC7AAAAAAAAAACL5MI7i5AevZLphzmz9R68"
        "bhqcPENVnTyTLBM76FttPfk9FD2xBRU9u2VsveAJ9TyFVgK9VXVzPa+5/z3HoZG8I+9oPMpFBz1Jzvy7JEBXvBZ4"
        "9jsMhNA6dk61PadqAz1CDGI9AwRNPRKMNz3CDxy8nlO6PHc+zDtKXDO9EJHAve7Vrbs0ShS9jRsdvR6MhTxfDoK8"
        "Y3AXuZw9OzgIIEg4wXmYNkL/u7cDoxC4hlXgOAKjhLldFME5ONKfOK98dDgUP1y5VhWOuKCof7l75Zk5gnZruawV"
        "0LeD6Fq48gsCOli4DzoG3Ac5AjzAODYvfDqDJaO4ADrFOKfw3ThsOvq4zTwCOetTvDdB8Ke4G0BvuY5t07dtg9c4"
        "XFDeN6N9XrmygP84vRkuuZLes7isHjC5nCgguLMLi7iK0Q05CdDEuGLfu7j7KCq5niyKue51q7fsRYs41M1AudpC"
        "QziOXh65e6UKOZywabdvZLi4Ww/qOPGvhzdTnIW5O4BBuh1bebn5YAA6leZ/OkxDVLkr1QE5I2kbOYvJ9jhaGJY4"
        "QsMLuUsjNDi1pVu5ECObuKvK0bmWkv43LqE6uddTBTt/d+C7TMbIt6NfyjnD8la8yn4BvLbnPjyx9Wc24wj8ukYJ"
        "crrsd2S4q3d3O92Exbos72k7JPpGu8GPLbvRWLu6G+t6OZhjq7rEDX86n83GuzwMQrutwZs7d0sXO3qFGjvG85y5"
        "93UNuzsyL7x+6UW76/LhuTcG3bmRKOE5xvGCuTEfmjvXrA07/cEiO+C3L7yLOR87TsH7uwZzzbuVkvI6hx9Bu2x1"
        "C7xd/oO6bmSguzKvwDo6IYE7tMpjOzEDvjrvqGS7d57pOukHPDrCBJI7H5OdObzf7zo1DX07H9mwujPr+zm8NzU7"
        "gimRuTHxGDzBs6E7cmLHt8qjpzrdY1M6Lpq3OgQfB7sE2lA7MeEfvL9WCjve3YW7BuSKu90whTq0Bg+7xImaOhlZ"
        "obuMl5S7c2FOOxsJOzt1JKw7siIhu5y7kTv14UE7u+UBucV2nzocAuC6ENefuWRQejuSu5u6dCh7O9qwtznT6P+6"
        "DbVJu9WQzjo17a+7QUYROkIT6jj7LAY6q5cXvK9HWbteEDm7sDqOOw0uYTmG9Qa8G7KKOy7wizulqTe7fDZOu0lW"
        "PjolSU+7MTBRO4FSobu7Rhm3X5ckO8ive7p1pFm6IXPzOgtDKLulLws7LJ5wu5ZU3js9KBu86omDPNN1BLutRLe5"
        "BPWIu/ncR7uLv8E6OJgsO0Q5OTsWXfg6XrjCuOeOpTpBgLo6GipHu+Ipqbseiu45vuSEOiuHAjyPBcO7XZVzOjT7"
        "tLo5LfM7QgSyu2vRWjskT+e6Wu6DOnUgsDvlJz66fA3FOu2o1jlz0ZC7YbirOiNGeLh8A2k7FcMqvCrfg7uzA167"
        "nDzMuis3jDuiZeQ6pN7Nun6iSLtL0dS6Mwx2usMGAbpBFpo7v9TBOkkxpjtj8gE7esd1u8+oeDtsk607A9YBOvlB"
        "s7u9KCw747yLu48hczqPn1g6IplUu/bkgbtfCnQ7E3V/O7hhIjuisqw7JtUSu94fxTuZk0+8B0Jku2ih1TuBGDg7"
        "xJAouiSixjpogcA6sUybu68LxDhLTe26D5QZO3XF7jom+Sw7/SdbN8vmBTp1fPM6JvgUOn3BebrFyQ46JgKCO3ls"
        "PrtNB9W6AIGpO8Nuubt1gPa6UmWdO42PbzqYYU287TQBOwkXlDrMp3G8OS/IO+19HDyvaQG6Tr0wO4ZeqLl4lVy7"
        "xN6uOr9UATt+SBq7jhvruADfXrvJaWE6th4jO8E6tzt8lCM8qd7EOyHHrjtrVQI7OS4lOzHmFztiMNA6cGo/O2gf"
        "Ujsg2ps8W+cbPNEKGzorWi884fgOO/wGkzsD0PU6n8bHOhYRaro2jRS7MgHGu5SuxLq22tG7p2squcb4e7sArM87"
        "J/xWOxxAEzya2Qk7P3sYOzNxHzuiDyQ8M4M+POA/3TtXUoA7YPeju99CDTyabLC7VHXROvHqprg+qAo8C4uQupsl"
        "ULsA7Bw6zbtJuu26/rmx2r06vqRCuoYjjLuFNJe7VMaGOlgk1DmOCqo7sepQu3s+e7npk3c6vqvFubPKEztqZqu7"
        "WxUzuymD7rqY5YS6Mjo2Oj1s7DopBou6V0lmu2JqPbrDyae7TvmguU4LFDukqh26wOH+OU/2JLv/DhW64NuSu52O"
        "S7u/3ai6WjR4u+PMlrvNUB27D6e3ubYPZzrYdtm4HNexOVw/EzpPuxq6K9t5Oi/4ejrZHMy75xadOwL1IrtAmZI6"
        "HAz0Oq3abDoCKCE7pxq9O5d7lruBTT42J5sKusBrCbsINYI63SWDO0NPZDl4uNi5aOosOmy60rrfmMw5E5UZurEr"
        "CTrq3fG6A82juorzW7svlUG70dJCulYr27qvSeu3oRGjO2lfmzqaJZ068xqdO0HbETtIlMs6qCeuOyIPqjtnAhE7"
        "K90Du9JsaLrS8387Vwg6u2auZDstQhY7f0DXO2KfH7oqa9u4VWwdO5PSij0o9/e88yUvPjiwnr0RSQc8AjgEO2O+"
        "gzxVtGw8uIslvHU67j0BLcg8PP8/vLANGD016gg9dF6UvOweh7xnJHM8QOehu2amYrwp4NI7QKCPPAtGvTxUmGY8"
        "HhkpPLHlGrwgLHy8Wr6JumQdwzxAviW+G4icvGrt7r0gpww9Oe/WvEsHMbzkp8W80j5/PDI0pTv+pxy3/N+EPET0"
        "KDyWY0C8MmptPWBTmLzciiw84diQOzerFj3F0428dMM0vJwLRDwLoxi8HWmEvFxVSzxNJwI80vSCO5Q1Az4/3h29"
        "DW6API2kMb1j4Ba7NjMSPCzPgDw="
    ),
    "gradient_largest": "tTNvPnBvND42jpE6FpWIOn37lzz0sYM8vc6IPCDamzwYM3Y+",
    "gradient_sums": "bhE/P24RPz+o/9w6fLbkuoUH0b2Z4Q2+71EfvWV0JD8AAAAl",
    "gradient_scales": "7e7LQClRCEGTQRs9apwpPaDmRz/+OUM/TPpNQNKVP0BZ7ExB",
    "losses": (
        "Q7BbQM0TVUD4e0RASg1OQHj8QUDSizlAu9dYQI7XGED44D9AUAw8QKMMLECgQD5Aevs7QJqGUUCg2zhAKXBUQFVo"
        "IkANwTJAdoEzQN6raUA="
    ),
}
