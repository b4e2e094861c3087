"""Print what 20 steps of training compute, to the last bit: the same in every implementation."""

from binascii import crc32

from ugpt.adam import Adam
from ugpt.generator import Generator
from ugpt.layout import Sizes
from ugpt.model import Model
from ugpt.rng import Rng
from ugpt.tokenizer import Tokenizer

from tests.support.micropython.training import train_step
from tests.support.micropython.variants import VARIANTS, documents

rng = Rng(123)
print("next", [rng.next() for _ in range(20)])
print("uniform", [rng.uniform() for _ in range(20)])
print("below", [rng.below(32469) for _ in range(20)])
print("gauss", ["%.15g" % rng.gauss() for _ in range(20)])
print("draw", [rng.draw((0.5, 1.5, 3.0, 0.0, 1.0), 5) for _ in range(20)])
for name, variant in sorted(VARIANTS.items()):
    model = Model(Sizes(**variant))
    model.initialise(rng)
    adam = Adam(model)
    for step, tokens in enumerate(documents(model.sizes.vocab_size)):
        loss = train_step(model, adam, tokens, step, 0.01)
        print(name, "%.9g" % loss, crc32(adam.m), crc32(adam.v), crc32(model.params))
model = Model()
model.initialise(rng)
print("params", crc32(model.params))
adam = Adam(model)
names = ("emma", "olivia", "a", "", "maryalexandrina", "isabella", "zyx")
for step in range(20):
    tokens = Tokenizer().encode(names[step % len(names)])
    loss = train_step(model, adam, tokens, step, 0.01 * (1 - step / 20))
    print("step", step, "%.9g" % loss, crc32(adam.m), crc32(adam.v), crc32(model.params))
generator = Generator(model, rng, Tokenizer())
print("names", [generator.name() for _ in range(5)])
