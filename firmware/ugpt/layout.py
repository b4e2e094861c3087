"""The sizes of the model, the table of its parameters and the buffers that training allocates."""

from array import array

GRADIENTS = 1024  # the parameters whose gradients are in memory at a time
NUMBERS = ("vocab_size", "n_embd", "n_head", "n_layer", "block_size")
SWITCHES = ("tie_lm_head", "input_rmsnorm")
SIZES = NUMBERS + SWITCHES  # the arguments of `Sizes`, in order; all but the first are settings


class Sizes:
    """The sizes and switches that determine every shape; the defaults are microgpt's.

    `tie_lm_head`: wte is the lm_head too. `input_rmsnorm`: an RMSNorm follows the embedding.
    Raises ValueError for a size below 1, or if n_embd is not divisible by n_head.
    """

    def __init__(
        self,
        vocab_size=27,
        n_embd=16,
        n_head=4,
        n_layer=1,
        block_size=16,
        tie_lm_head=False,
        input_rmsnorm=True,
    ):
        if min(vocab_size, n_embd, n_head, n_layer, block_size) < 1:
            raise ValueError("every size must be at least 1")
        if n_embd % n_head:
            raise ValueError("n_embd %d is not divisible by n_head %d" % (n_embd, n_head))
        self.vocab_size = vocab_size
        self.n_embd = n_embd
        self.n_head = n_head
        self.n_layer = n_layer
        self.block_size = block_size
        self.tie_lm_head = tie_lm_head
        self.input_rmsnorm = input_rmsnorm
        self.head_dim = n_embd // n_head
        self.n_hidden = 4 * n_embd

    def __eq__(self, other):
        return all(getattr(self, name) == getattr(other, name) for name in SIZES)


def unusual(sizes):
    """Return [(name, value)] of those SIZES that are not the default, in their order."""
    usual = Sizes()
    values = [(name, getattr(sizes, name)) for name in SIZES]
    return [(name, value) for name, value in values if value != getattr(usual, name)]


def parameter_table(sizes):
    """Return [(name, (rows, columns), offset)] in flat order, which is the order of initialisation.

    Matrices are [out][in], row-major; offsets count elements. attn_wq, attn_wk and attn_wv of a
    layer are adjacent, so that together they are also one matrix of 3 * n_embd rows.
    """
    width = sizes.n_embd
    shapes = [("wte", (sizes.vocab_size, width)), ("wpe", (sizes.block_size, width))]
    for i in range(sizes.n_layer):
        prefix = "layer%d." % i
        for name in ("attn_wq", "attn_wk", "attn_wv", "attn_wo"):
            shapes.append((prefix + name, (width, width)))
        shapes.append((prefix + "mlp_fc1", (sizes.n_hidden, width)))
        shapes.append((prefix + "mlp_fc2", (width, sizes.n_hidden)))
    if not sizes.tie_lm_head:
        shapes.append(("lm_head", (sizes.vocab_size, width)))
    table = []
    offset = 0
    for name, (rows, columns) in shapes:
        table.append((name, (rows, columns), offset))
        offset += rows * columns
    return table


def parameter_count(sizes):
    """Return the number of parameters: the sum over `parameter_table`, without the table."""
    width = sizes.n_embd
    rows = sizes.block_size + (1 if sizes.tie_lm_head else 2) * sizes.vocab_size
    return width * (rows + sizes.n_layer * (4 * width + 2 * sizes.n_hidden))


def activations(sizes):
    """Return (shared, layer): {name: length} of the model's float buffers, once and a layer.

    A buffer is shared by what is not needed at the same time: `x` is the residual stream and
    `branch` what attention or MLP adds to it; in the backward pass the gradient of the stream is in
    `branch`, that of the added in `x`. `work` is the logits, then the gradients of `hidden` and of
    `qkv`; `gradient` is the gradient of one block of rows after another.
    """
    n = sizes.block_size
    width = sizes.n_embd
    stream = n * width
    shared = {
        "x": stream,
        "branch": stream,
        "work": n * max(sizes.vocab_size, sizes.n_hidden),
        "gradient": max(GRADIENTS, sizes.n_hidden),
        "loss": 1,
    }
    if sizes.input_rmsnorm:
        shared["embedded"] = stream
        shared["embedded_scale"] = n
    if sizes.tie_lm_head:
        shared["wte_gradient"] = sizes.vocab_size * width  # as lm_head, and as wte at the end
    layer = {
        "attn_in": stream,
        "attn_scale": n,
        "qkv": 3 * stream,
        "attn_weights": sizes.n_head * n * n,
        "attn_out": stream,
        "mlp_in": stream,
        "mlp_scale": n,
        "hidden": n * sizes.n_hidden,
    }
    return shared, layer


def training_bytes(sizes):
    """Return the bytes of all buffers that `Model` and `Adam` allocate, exactly.

    Parameters, m and v, the activations and the tokens; the objects around them are not counted.
    """
    shared, layer = activations(sizes)
    floats = 3 * parameter_count(sizes) + sum(shared.values())
    return 4 * (floats + sizes.n_layer * sum(layer.values())) + sizes.block_size + 1


def zeros(length):
    """Return array('f') of `length` zeros, without the memory of anything to make it from."""
    buffer = array("f", range(length))  # of known length: allocated once
    for i in range(length):
        buffer[i] = 0.0
    return buffer


def allocate_state(sizes):
    """Return array('f') of zeros for the parameters and Adam's m and v.

    It is one array: a board's heap grows in pieces, and what is left at their ends is lost. An
    ESP32 has a single large piece; so allocate this before anything else makes the heap grow.
    """
    return zeros(3 * parameter_count(sizes))
