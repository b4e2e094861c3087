"""The sizes of the model and the table of its parameters: name, shape, offset."""

from array import array


class Sizes:
    """The sizes that determine every shape; the defaults give microgpt's 4,192 parameters.

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
        self.head_dim = n_embd // n_head
        self.n_hidden = 4 * n_embd


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


def zeros(length):
    """Return array('f') of `length` zeros.

    Making it from bytes(4 * length) would need its memory twice; this needs a quarter more.
    """
    return array("f", memoryview(bytes(length)))


def zeros_pair(length):
    """Return two memoryviews of `length` zeros each, the halves of one array.

    A board's heap consists of several areas: the fewer large buffers there are, the less memory
    is lost at the ends of the areas.
    """
    both = memoryview(zeros(2 * length))
    return both[:length], both[length:]


def parameter_count(sizes):
    """Return the number of parameters: the sum over `parameter_table`, without the table."""
    width = sizes.n_embd
    rows = sizes.block_size + (1 if sizes.tie_lm_head else 2) * sizes.vocab_size
    return width * (rows + sizes.n_layer * (4 * width + 2 * sizes.n_hidden))
