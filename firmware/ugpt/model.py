"""The model on the kernels: the forward pass and the hand-derived backward pass of a document.

The gradient of a matrix is computed for a block of rows at a time and applied at once, so that
there is never a buffer for all gradients.
"""

from . import ops
from .layout import (
    Sizes,
    activations,
    allocate_state,
    parameter_count,
    parameter_table,
    zeros,
)

INIT_STD = 0.08


class Matrix:
    """A matrix of weights: its handle `w`, its shape and its `blocks`, [(index, first, rows)].

    A block is the rows whose gradient is in memory at a time; `index` is its place in
    `Model.blocks`.
    """


class Layer:
    """The matrices of one layer, and the handles of its activations for the backward pass."""


class Model:
    """Parameters and all other buffers, allocated once; `kernels` is a backend.

    `params` is flat, in the order of `layout.parameter_table`; so are `m` and `v`, for `Adam`.
    `tokens`, a bytearray of block_size + 1, is for the tokens of a document. `forward` fills
    `logits`. `blocks` is [(offset, count, buffer)]: the parameters of each block, and the array
    that has their gradients when `backward` calls `update`. Between two documents `loss_array` and
    `gradient_array`, of at least 1024, are free for other uses. `state` is that of
    `layout.allocate_state`, if it has been allocated already. Raises OverflowError if the kernels
    cannot reach a buffer.
    """

    def __init__(self, sizes=None, kernels=ops, state=None):
        self.sizes = sizes = sizes or Sizes()
        self.kernels = kernels
        self.table = parameter_table(sizes)
        self.blocks = []
        count = parameter_count(sizes)
        state = memoryview(state or allocate_state(sizes))
        self.params = state[:count]
        self.m = state[count : 2 * count]
        self.v = state[2 * count :]
        self.tokens = bytearray(sizes.block_size + 1)
        self.buffers = []  # the arrays behind the handles, which do not keep them alive
        self.layers = [Layer() for _ in range(sizes.n_layer)]
        self._allocate_activations()
        self._bind_weights()

    def _allocate_activations(self):
        sizes = self.sizes
        view = self.kernels.view
        shared, layer = activations(sizes)
        wanted = [(length, name, self) for name, length in shared.items()]
        wanted += [(length, name, part) for part in self.layers for name, length in layer.items()]
        # The largest first: a board's heap consists of pieces.
        wanted.sort(key=lambda buffer: -buffer[0])
        arrays = {}
        for length, name, owner in wanted:
            array = zeros(length)
            self.buffers.append(array)
            setattr(owner, name, view(array, 0, length))
            if owner is self:
                arrays[name] = array
            elif name == "qkv":
                owner.qkv_array = array
        self.loss_array = arrays["loss"]
        self.gradient_array = arrays["gradient"]
        self._wte_gradient = arrays.get("wte_gradient")
        self._dx = arrays["branch"]
        self._targets = view(self.tokens, 1, sizes.block_size)
        self._inputs = view(self.tokens, 0, sizes.block_size)
        constants = self.kernels.CONSTANTS
        self.constants = view(constants, 0, len(constants))

    def _bind_weights(self):
        sizes = self.sizes
        places = {name: (offset, shape) for name, shape, offset in self.table}

        def bind(name, matrices=1, buffer=None):
            offset, (rows, columns) = places[name]
            return self._matrix(offset, matrices * rows, columns, buffer)

        self.wte = bind("wte", buffer=self._wte_gradient)
        self.wpe = bind("wpe", buffer=self._dx)
        self._wpe_offset = places["wpe"][0]
        for i, layer in enumerate(self.layers):
            prefix = "layer%d." % i
            # wq, wk and wv are adjacent: one product computes queries, keys and values.
            layer.wqkv = bind(prefix + "attn_wq", 3)
            layer.wo = bind(prefix + "attn_wo")
            layer.fc1 = bind(prefix + "mlp_fc1")
            layer.fc2 = bind(prefix + "mlp_fc2")
        self.lm_head = self.wte if sizes.tie_lm_head else bind("lm_head")

    def _matrix(self, offset, n_out, n_in, buffer):
        """Return a Matrix; `buffer`, if there is one, has room for its whole gradient."""
        matrix = Matrix()
        matrix.w = self.kernels.view(self.params, offset, n_out * n_in)
        matrix.n_out = n_out
        matrix.n_in = n_in
        matrix.blocks = []
        rows = n_out
        if buffer is None:
            buffer = self.gradient_array
            rows = min(n_out, len(buffer) // n_in)
            if 4 < rows < n_out:
                rows -= rows % 4  # the compiled kernels compute four rows at a time
        for first in range(0, n_out, rows):
            count = min(rows, n_out - first)
            matrix.blocks.append((len(self.blocks), first, count))
            self.blocks.append((offset + first * n_in, count * n_in, buffer))
        return matrix

    def initialise(self, rng):
        """Draw all parameters, in flat order, from N(0, 1) scaled by INIT_STD."""
        params = self.params
        for i in range(len(params)):
            params[i] = INIT_STD * rng.gauss()

    def forward(self, first, n):
        """Compute the logits of positions first to n - 1, as rows 0 to n - 1 - first of `logits`.

        Reads tokens[first:n], and the keys and values of the positions before `first`, which
        earlier calls have left in `qkv`, the KV cache.
        """
        kernels = self.kernels
        linear = kernels.linear
        rmsnorm = kernels.rmsnorm
        add = kernels.add
        view = kernels.view
        c = self.constants
        sizes = self.sizes
        width = sizes.n_embd
        hidden = sizes.n_hidden
        count = n - first
        x = stream = self.x
        branch = self.branch
        tokens = self._inputs
        wpe = self.wpe.w
        if first:
            tokens = view(self.tokens, first, count)
            wpe = view(self.params, self._wpe_offset + first * width, count * width)
        kernels.embed(x, self.wte.w, wpe, tokens, count, width)
        if sizes.input_rmsnorm:
            stream = self.embedded
            rmsnorm(stream, self.embedded_scale, x, count, width, c)
        for layer in self.layers:
            rmsnorm(layer.attn_in, layer.attn_scale, stream, count, width, c)
            qkv = layer.qkv
            if first:
                qkv = view(layer.qkv_array, first * 3 * width, count * 3 * width)
            linear(qkv, layer.wqkv.w, layer.attn_in, count, 3 * width, width)
            kernels.attention(
                layer.attn_out,
                layer.attn_weights,
                layer.qkv,
                first,
                n,
                sizes.n_head,
                sizes.head_dim,
                c,
            )
            linear(branch, layer.wo.w, layer.attn_out, count, width, width)
            add(x, stream, branch, count * width)

            rmsnorm(layer.mlp_in, layer.mlp_scale, x, count, width, c)
            linear(layer.hidden, layer.fc1.w, layer.mlp_in, count, hidden, width)
            kernels.relu(layer.hidden, count * hidden)
            linear(branch, layer.fc2.w, layer.hidden, count, width, hidden)
            add(x, x, branch, count * width)
            stream = x
        linear(self.logits, self.lm_head.w, x, count, sizes.vocab_size, width)

    @property
    def logits(self):
        """The handle of the logits, (n, vocab_size)."""
        return self.work

    def loss_of(self, n):
        """Return the mean loss of the n positions in tokens[: n + 1], for `backward` to follow."""
        self.forward(0, n)
        vocab_size = self.sizes.vocab_size
        self.kernels.cross_entropy(
            self.work, self.loss, self._targets, n, vocab_size, self.constants
        )
        return self.loss_array[0]

    def backward(self, n, update):
        """Compute the gradients of the loss that `loss_of(n)` has returned, a block at a time.

        Calls `update(index)` for each of `blocks`, of which each index comes once. Its parameters
        are not needed again before the next forward pass, so `update` may change them.
        """
        kernels = self.kernels
        linear_backward_x = kernels.linear_backward_x
        rmsnorm_backward = kernels.rmsnorm_backward
        c = self.constants
        sizes = self.sizes
        width = sizes.n_embd
        hidden = sizes.n_hidden
        # The buffers of the forward pass that are free now.
        dx = self.branch
        dbranch = self.x
        dlogits = dhidden = dqkv = self.work

        linear_backward_x(dx, self.lm_head.w, dlogits, n, sizes.vocab_size, width)
        if sizes.tie_lm_head:
            kernels.linear_backward_w(
                self.wte_gradient, dlogits, self.x, n, sizes.vocab_size, width, 0, sizes.vocab_size
            )
        else:
            self._learn(self.lm_head, dlogits, self.x, n, update)
        for layer in reversed(self.layers):
            linear_backward_x(dhidden, layer.fc2.w, dx, n, width, hidden)
            kernels.relu_backward(dhidden, layer.hidden, n * hidden)
            self._learn(layer.fc2, dx, layer.hidden, n, update)
            linear_backward_x(dbranch, layer.fc1.w, dhidden, n, hidden, width)
            self._learn(layer.fc1, dhidden, layer.mlp_in, n, update)
            rmsnorm_backward(dbranch, dbranch, layer.mlp_in, layer.mlp_scale, n, width, c)
            kernels.add(dx, dx, dbranch, n * width)

            linear_backward_x(dbranch, layer.wo.w, dx, n, width, width)
            self._learn(layer.wo, dx, layer.attn_out, n, update)
            kernels.attention_backward(
                dqkv,
                dbranch,
                layer.attn_out,
                layer.attn_weights,
                layer.qkv,
                n,
                sizes.n_head,
                sizes.head_dim,
                c,
            )
            linear_backward_x(dbranch, layer.wqkv.w, dqkv, n, 3 * width, width)
            self._learn(layer.wqkv, dqkv, layer.attn_in, n, update)
            rmsnorm_backward(dbranch, dbranch, layer.attn_in, layer.attn_scale, n, width, c)
            kernels.add(dx, dx, dbranch, n * width)
        if sizes.input_rmsnorm:
            rmsnorm_backward(dx, dx, self.embedded, self.embedded_scale, n, width, c)
        self._learn_embedding(dx, n, update)

    def _learn(self, matrix, dy, x, n, update):
        """Compute the gradient of a matrix with the input x and the gradient dy of its output."""
        linear_backward_w = self.kernels.linear_backward_w
        n_out = matrix.n_out
        n_in = matrix.n_in
        for index, first, rows in matrix.blocks:
            linear_backward_w(self.gradient, dy, x, n, n_out, n_in, first, rows)
            update(index)

    def _learn_embedding(self, dx, n, update):
        """Compute the gradients of wte and wpe from dx, the gradient of the embedding."""
        kernels = self.kernels
        sizes = self.sizes
        width = sizes.n_embd
        for index, first, rows in self.wte.blocks:
            gradient = self.gradient
            if sizes.tie_lm_head:
                gradient = self.wte_gradient  # which has that of lm_head already
            else:
                kernels.clear(gradient, 0, rows * width)
            kernels.embed_backward(gradient, dx, self._inputs, n, width, first, rows)
            update(index)
        kernels.clear(dx, n * width, sizes.block_size * width)
        update(self.wpe.blocks[0][0])  # dx is the gradient of wpe

    def set_tokens(self, tokens):
        """Copy a document's tokens, cut to the block, into `tokens`; return n, for `forward`."""
        n = min(self.sizes.block_size, len(tokens) - 1)
        for t in range(n + 1):
            self.tokens[t] = tokens[t]
        return n
