"""Expected results for `ugpt.checks`: float32 as base64.

Written by `python -m microgpt_board.proof.answers`.
"""

RNG = (11355432, 13543, 2978398847, 0, 303066076)
ANSWERS = {
    "rng": "itehPq2SCT8vcMM8kj0VvpZtFL88g1q/tVIkP99Dgb8vzmY/",
    "embed": (
        "oPP/v273878AauK+rhGKv35SZT8ywKK/QAkVvf7MJT9MnqW+sGbZPiKoR79cItk/CLYcvgBdtTtCPMu/QITqPLp/"
        "Tj+ww5E9/mLSv7yyvT62BSo/hJldP0ioIL4/Qao/MmRLv/sYo7/JlIC/3DgSP4CVor1eFR4/"
    ),
    "embed_backward": (
        "QOd/v+zuZ7/AUdE+AC7jvQi2Fb6wgUa/INScvVocQL+IojQ+EPiKPZDOLr4cl7y+AAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAUH2kvmDITT5GOHC/qAFRPxVaoT8oniC/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAYAimPtBO4z403nO/CBzwvnQuND8wyis+QOd/v+zuZ7/AUdE+AC7jvQi2Fb6wgUa/YA8bPwwm"
        "1r58/QG/OKt+PzyuLj+0zpk+YAimPtBO4z403nO/CBzwvnQuND8wyis+CE5tvx6FHj+Uddy+QKY2vu4FFD+ChW2/"
        "INScvVocQL+IojQ+EPiKPZDOLr4cl7y+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    ),
    "rmsnorm": (
        "wbnDv/NWq79QGAm/XdVZP8RkWj/ufLm+X+CHP1/Y2b6Rzvq+fQDbP4vrnb/D4Ug9dGK8P7TI1r9+dwq/w5jKPvbG"
        "LL8oO6y+joyrvagvHD/R8Rq/zt23P70+sL8+qJE/suXJvvAmyz7CAoc/JRG9v+lKjL+6tIu//9LDPz30AUDICTFA"
        "sDXsP/N+3D8="
    ),
    "rmsnorm_backward": (
        "4BD5vl5zwb4ck6c/yI7hPtyrnb+rTbS+dhnNP+37EL2R09O/x616v3AnPz90n7Y/4P5rv/1Bab80/Mi+D0ZyvyW3"
        "I7/m+qc/MnvOvr7jt70pkT4/J3cXv0vhsb9IOgW/Bf4rvtSZGj9CIJK/bRI4v2amOr9w0mE/"
    ),
    "linear": (
        "bnq/Pz1MPz/fgZ6/ePyPPpPtND9rDZk/nQG8PHaxlL+mQrs9WMlaP6/BPD9QpCk/6sKLP53y/r5Sthe+6+cBQNMm"
        "GcClWJa/wsKwvk4F6z4kfYm/9uT7vo3FID8k7iM+WJMVv/i7zT37X6g+Vv7xvqnzLz/MnZ2+LQhHvgbrFL4QkLq+"
        "MCLoPUU6Sb8cdKy+34GdP/pJXT/iZTy/YJ5yvTa3Dz82qwQ/VCwbvfwHlb6mqxC/"
    ),
    "linear_backward_x": (
        "CdQwQBDZAkA2Zak+oAeVvymGuz/g4Ze/BBEEwIcz4z5Bgtc/RGrCvq49ID8uS3Q/zAZ1v+ktb76vbzg/vy6MP7en"
        "fr+JD+s/5OccvwkEKb8bd7q9F8ndvnOJ2z6PNJa98QTfPutrP79Uq5G+9gJZP006WL/rKBe/"
    ),
    "linear_backward_w": (
        "yfkbP9umSj/QQZ6/4robvjgjq77lLrU+qfGfP64Zoj8uFVW+s1ZbP8Djf79gJWs/3ociP/bi2z49ZoU/cJMkP9ix"
        "mL++FY09J/CGv/jLtL7iWiU/Blp3v18KdL9RYNa/wiE+P5KP4D4PgLS++9Njv0+ZzT1iBwm/mXkMv2WzkL5KFiW/"
        "paGyvrw1kD9jbYg9Q5NHv2n6f7+ym7Q+HWKAPkaKoz9gtI8+xOy8viClUD78WoY/6eOgP4SskL8k894+iDw3v8xH"
        "175WkCU+jjcWP6GRHj/BGAE/"
    ),
    "add": "nrH/vw7zs7/wUdG+0jGKP34UXT9w/nW+AD4OvvoQFz8=",
    "relu": "AAAAAAAAAAAAAAAAwF9+PwAAAAAAAAAAAAAAAAAxSD4=",
    "relu_backward": "AAAAAAAAAAAAAAAAOLHYvgAAAAAAAAAAAAAAAGx22T4=",
    "attention": (
        "xN6PPpR4XT+wElI+QFQEP8Qd9b60fgq/IsURPyK+AL665qI+X+LSPglrB784Zua+mgrUPjn5FL5zmak+n5CFPpgn"
        "u77Hxgm+R3TFPsbOhT7HvPI9H3LuPY/9Db/DMG+8wFiRPs0lXj7DcUI9dpWYvHWqGL9cqH08"
    ),
    "attention_backward": (
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAtC6RPdd9Cj3LcYc9nVvqPd/WRL6R1UY9Shg+vzozxb6wyo8/xLDQvk02"
        "lL+TooW+DvA2vrSFZD3GwY09BXTbvGMe9zwPgwE85yHSvejZN70ZvyC937gXPZdYM71AAje8RFohPhjljD5xtTc/"
        "6LlcPSMPRr4b0ro+h/qBvSAShbzmPK29c5ePPUR5Wr3Dytc77Gt6PWL0gL0OuEk9PSpivMkrfzxsdp28VI4sPTHd"
        "AL41SzW97RuTvZ4x5r13RKk+A1uwPf5ZOryNZc484W+LPDt1g73JHXC8XAqLvOjXyDyWXPy8srYBvoIIRT4EWk87"
        "ThWFPkMHMr0Rf8k9FjwFvkBxor7DONs+ArYXPjj8Tb3Nxow9kea1PSbz373lm928WgFMvOHYSj0/rjm9BSs0vDKO"
        "5TzXnq68jBHWPKhIeLx4e9y9Cbq7vd0oh73CBx4+"
    ),
    "cross_entropy": (
        "fx8aQPRZOjyLqpQ8l5CaPC/HOr7vLiQ98Zx8PEHJoD1DV1Q91/zNPEiSgTwXYU494zUzPLt3Az1HsT6+1DDmPD3t"
        "czyguwY9UPs4vqxhaj1noc08D9e3PG+9ND16Nja+3SGqPL8zLD1KkZU8VfUOPaczkjxvtuk8wie7PMogOr53ZEg9"
        "lSVLPWX0STzVGaA8"
    ),
    "softmax": "fssrPIxw6jzbPHo+EVNmPLh6Ez454F49GQgBPw==",
    "adam": (
        "qMV3v89y3r6hML++7LF1v6AkJr+Pdtm+4ABDP6CkND/LHsW+VkUrvga/lD46/T29NhE4vhf67b3xlqy+s4x7PYY1"
        "8jyS2bY75OqJPGYA4TmQMdM7XoIwOzStuTykN0U6"
    ),
    "gradient": (
        "P09ZPa1WZz0s+7U8ol+dPOHGCr4AAAAAAAAAAAAAAAAAAAAAAAAAAPfblDwk+W27SxDXvJkHvbwAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAKS0DvSoBaL0AAAAAAAAAAAAAAAAAAAAAAAAAAAg+hLydeDk8zpcRvKLrobxsLYm8"
        "OnJwve0opT0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAquQEOg9wRD0AAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAKzaL2ihlk9wxrRvP+RsjtW5pg7AAAAAAAAAACULfQ75oiUPNwt+7zvL7a9"
        "s2grPYpeZb0GNPy8s2KxPXVW0bvKUG+9jS/APRXzYb37CIw9oJ+0vQg+hLydeDk8YVZuvc8Cnz1lng06GCw2vcZp"
        "ejsDmh892jUQPLkyz72cAqM9lvkwvcvAUz3PI3S9Yoezu2CoZbwQO/Q82QMtvQzZgbt6tXi8/mbvPa45Nb14D9A7"
        "Q9WUOXOxsDiQcgS5+EmIOXf3Y7mmwmc4Uk6fufvZBjhB13w3JaIyOb+GCTkVCWy4LbC9OPVQrLiBTBw5ADSOuIBW"
        "9TnVdW64S0SjOYza37lD17m4lZGNOJM66rfOrzy5ZpiuOLVavzg1sNO4MpCuuXGxrrktpBe5ng0IuVdJeTnzULG4"
        "mUw8uZ5IV7m8QMc4LV4ZOSPd+DjAivk3ObOhuIRGkDhjtVC4az2OOAO+NLl9uE655Q80txjgYrgyscI4R77HuEBN"
        "7jheVJM539YbOCWNEbjgTXw5YI2bud7Bh7jIRiI5uVluOJ1ADTiGf8I4QJPIOdbUl7n6E7y4wLmzOFbYRLkUdqS4"
        "Bga9uFfptDi1h5Y4CLySuAbVgznw1H05//UvueND3roVUnA5JIcGvMeT8LldrJO6Zaf4Oj+K3LkyoOq6YJgKO3ox"
        "EDwaLOY7pRl2umu/jzn83gG668JJOHcbSzqtaF47JvqGOmhYyDqsqRy7H5gYO/BOAjsl+AQ7sDAMO/jMD7ofWLK7"
        "k8aauyYyNziBCkO64CZlOpQiWzu3SNq6fCCsOTTEnru640I8WTyIOlcuvrojFsi7pRquOOaWvDouxkI7XO3xuajF"
        "ArtdVLA6G4ufu8Qj3DqqLuo5Mqu9uoaCpjq/hI45LZ3MOV1y2DpydjY6GkL2O3tRALvWfQq7RlcAu8AOjrptKQa6"
        "FPYROyxOJ7vNbe46Kb1kOoX7ijod1oo7JpUJu5JXgjv1BK47VZPNOCQ5QLvq+i06gfSwOtkkLDuKJwC7i9sgPHkv"
        "WLutVuq64aXGuscVabrAbYo6xyAGOYZsYDuNeS23J2GWO/G8trtzahO7bU00O0a28br3Wqi7qawFvIzfkzoDytm6"
        "UUmCuy0XCDjZhME7sD9/u7DTqLts9PE6CKqCug+lgztuV4M7DC3eOk5Kizq9/JK7Tk5uPFmjlrtus7a60D3tOvsx"
        "CjlWkoi6S427utNhXrinzw27BQ3AuxupQDrmJT45KKuTOnCq9zpYZmI74McMOpJcZjuENAE8ir5Au1e5EjtsUIo7"
        "UFO+O1BKubqjwOC65bsyuwYULLwCwRs8FWU4O2u7ODp91AC8uU5HPB+6OzuYQ8c3/9mru9vmXLvCiXa7JZabO6KA"
        "VLv3rDq7Mcaxu1TU7Du++d+76XQiuXH1zDpQjhe7KhF3u0I3LTydY/I6+imyul8lZ7rLoVs787IqO9s5lbtm1Gc7"
        "TrCRu+km+blIorq633EhOlVS6DsAvds7XZ0cvI9IAbzEP6q70OBmOg5ggzn1r0e73CKQO+8vRztMLYI5uXmpOOjH"
        "PLtdo/w4Xb42uUR+f7p29Z27J3AJPGdP/7qZYNC7DIcuO+nX1rk1TEU7EzdAOlA1XzsVObA6ViCPu/6UI7tN6VI6"
        "5kecuu5fgLoc3+S6jT2Vu3xaILs/2o87G1pZOR06zLuMpRI7dMiauzCjpTlUJz+75UcIu0DLMLoT/Dy7QdDEOxuE"
        "EbsHZL66oeAbu9iIs7rtRTQ7xzgEO2+qUDs/kF+4hhqvuqQCUrtD+jW7eVsauyUGhDpGVnA7eO+nO0srqLr2HHg8"
        "d+9hu77y7rrOogG69y/lusjK7LuvvLo6F+cdOZ1Fx7uMMzK7R4C5uwyc5DqaK5870dKJu8WNEbtUIP+5TrU3ulXa"
        "Nro+gNG6et/5OrwQrLseeAm817i9OxF7/Lqsops6PdHVus83pbrt0vQ7eRElOS4EazvgxQK6RvGOOzutpDuVz5c4"
        "V6oYu6s/kTp2kjC7qDpgOyok37s8anO6MoFKORsm6roK6BI7VGw6vOaOvjtzTJU6aaSzulSCkju9LRE5J1FeOyzk"
        "d7qRLf062bbwO7YiHjsoS+Y63oO8OQJLbrqdGzI6/lwjOzmqP7pMf6C79eLwuw+xpbsQMUM6G5+qukSKKrw9roi7"
        "t4qbu7ExALzVZDQ8KDieO2sWHjyhTnw84LNGPAhPyTo3PMA7V49APAxFJTzWu/07rqZ4O6XyrjqFn966284ou74a"
        "ZjoTsDw7qZt4uwBHs7oBhUO6+SaUut2FHDv6flw7xQg0ugdcGDt68kI7t4kous1VOrr5HT03y7Iqur8cy7q6u5S7"
        "o5/Zuu/J1TrMpjA7jm9hO8GDaTqQIh47ylVLu+FNSLuPxVm7eq6FO3UlATvxY8y711NtuJbhDLzKOpE7C/F9uosR"
        "VLrnfx+7i5Neu/YdTbdtyQ28GXiHOqEHE7wHtUu5mNnyO31NJjrqQxo7jEBDO4DIzDoqUAc8m2mwO3Ji1Trwxwa7"
        "yAvVuzGLPjvo4oq78YxPvAmUOLx60Io6qlGwuuzEPbslSxu8lR1EOyo0hbykWxo9kNHPPJ4zqzxuL2e8VcoHPepQ"
        "I7wVdOE7FGGaO9NgtL2m9r49i/jVPYrt6TwJEJI7D8xTPEDBujtbSeI7DslbOQJvtTsvk6+7k956PXi4ML1ZH4i8"
        "9U8nu372GTxSipi8QDDKu8f5fD0hQo696EcLOqccgjwM43K9iPdVvYhRxztsxkY7Nr1MvHm2NLxF+Z48cFKnu7Xx"
        "7TvLrJo7GnJJPnG62730+1K8ek4vvIti3DssRVA8mxpSOzkwfzvsUQM7qJNIuzR6mryLTRG8tWSaPA1Km7rTUyw8"
        "X5gLvk6l/Tz7+ry8nP8RuXnWabw="
    ),
    "gradient_largest": "B759Pv5m7z2MFA06UjAUOvezizwzCTs8E9B9PLOLCj0f9Ek+",
    "gradient_sums": "qRoxv6kaMb9WNjQ64+WFuuFhHzyjhPM86ClzPgOYF74AAIAl",
    "gradient_scales": "OnX7QI12IkFi4Aw9UbUQPZqvCz+Q4w8/ovdJQC53bkAs1UhB",
    "losses": (
        "DA9NQJn/WUBPdzlAF2NJQAC8SkDuwCJAffZgQHNjFECxkFBAUdFFQJasGUD1Z2BAW9k1QBnsR0BruEpAvyRWQNbV"
        "OkClgzhAM6AzQBYtbEA="
    ),
}
