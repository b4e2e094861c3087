"""The model on the kernels: the forward pass and the hand-derived backward pass of a document."""

from . import ops
from .layout import Sizes, parameter_count, parameter_table, zeros, zeros_pair

INIT_STD = 0.08


class Layer:
    """The handles of one layer: weights, gradients, and activations for the backward pass."""


class Model:
    """Parameters, gradients and all other buffers, allocated once; `kernels` is a backend.

    `params` and `grads` are flat memoryviews of floats in the order of `layout.parameter_table`.
    `tokens`, a bytearray of block_size + 1, is for the tokens of a document. `forward` fills
    `logits`; `loss_and_grads` also fills `grads`. Raises ValueError for a tied lm_head.
    """

    def __init__(self, sizes=None, kernels=ops):
        self.sizes = sizes = sizes or Sizes()
        if sizes.tie_lm_head:
            raise ValueError("the board's model cannot have a tied lm_head")
        self.kernels = kernels
        self.table = parameter_table(sizes)
        count = parameter_count(sizes)
        self.buffers = []  # the arrays behind the handles, which do not keep them alive
        self.params, self.grads = zeros_pair(count)
        self.loss = self._array(1)
        self.tokens = bytearray(sizes.block_size + 1)
        self._bind_weights()
        self._allocate_activations()

    def _array(self, length):
        buffer = zeros(length)
        self.buffers.append(buffer)
        return buffer

    def _rows(self, buffer, offset, rows, width):
        """Return a handle for each row r, of the rows r to the last: where a pass can begin."""
        view = self.kernels.view
        return [view(buffer, offset + r * width, (rows - r) * width) for r in range(rows)]

    def _bind_weights(self):
        view = self.kernels.view
        width = self.sizes.n_embd
        places = {name: (offset, rows * columns) for name, (rows, columns), offset in self.table}

        def bind(name, matrices=1):
            offset, length = places[name]
            length *= matrices
            return view(self.params, offset, length), view(self.grads, offset, length)

        self.wte, self.dwte = bind("wte")
        _, self.dwpe = bind("wpe")
        self.wpe_from = self._rows(self.params, places["wpe"][0], self.sizes.block_size, width)
        self.layers = []
        for i in range(self.sizes.n_layer):
            layer = Layer()
            prefix = "layer%d." % i
            # wq, wk and wv are adjacent: one product computes queries, keys and values.
            layer.wqkv, layer.dwqkv = bind(prefix + "attn_wq", 3)
            layer.wo, layer.dwo = bind(prefix + "attn_wo")
            layer.fc1, layer.dfc1 = bind(prefix + "mlp_fc1")
            layer.fc2, layer.dfc2 = bind(prefix + "mlp_fc2")
            self.layers.append(layer)
        self.lm_head, self.dlm_head = bind("lm_head")

    def _allocate_activations(self):
        sizes = self.sizes
        view = self.kernels.view
        n = sizes.block_size
        stream = n * sizes.n_embd

        def allocate(length):
            return view(self._array(length), 0, length)

        self.tokens_from = self._rows(self.tokens, 0, n + 1, 1)
        self.x = allocate(stream)  # the residual stream
        self.embedded = allocate(stream)  # the stream after the RMSNorm of the embedding
        self.embedded_scale = allocate(n)
        self.branch = allocate(stream)  # the output of attention or MLP, added to the stream
        for layer in self.layers:
            layer.attn_in = allocate(stream)
            layer.attn_scale = allocate(n)
            layer.qkv_from = self._rows(self._array(3 * stream), 0, n, 3 * sizes.n_embd)
            layer.attn_weights = allocate(sizes.n_head * n * n)
            layer.attn_out = allocate(stream)
            layer.mlp_in = allocate(stream)
            layer.mlp_scale = allocate(n)
            layer.hidden = allocate(n * sizes.n_hidden)
        self.logits = allocate(n * sizes.vocab_size)
        self.dx = allocate(stream)
        self.dbranch = allocate(stream)
        self.dqkv = allocate(3 * stream)
        self.dhidden = allocate(n * sizes.n_hidden)
        self.loss_view = view(self.loss, 0, 1)
        constants = self.kernels.CONSTANTS
        self.constants = view(constants, 0, len(constants))

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
        c = self.constants
        sizes = self.sizes
        width = sizes.n_embd
        hidden = sizes.n_hidden
        count = n - first
        x = self.x
        branch = self.branch
        kernels.embed(x, self.wte, self.wpe_from[first], self.tokens_from[first], count, width)
        stream = self.embedded
        rmsnorm(stream, self.embedded_scale, x, count, width, c)
        for layer in self.layers:
            rmsnorm(layer.attn_in, layer.attn_scale, stream, count, width, c)
            linear(layer.qkv_from[first], layer.wqkv, layer.attn_in, count, 3 * width, width)
            kernels.attention(
                layer.attn_out,
                layer.attn_weights,
                layer.qkv_from[0],
                first,
                n,
                sizes.n_head,
                sizes.head_dim,
                c,
            )
            linear(branch, layer.wo, layer.attn_out, count, width, width)
            add(x, stream, branch, count * width)

            rmsnorm(layer.mlp_in, layer.mlp_scale, x, count, width, c)
            linear(layer.hidden, layer.fc1, layer.mlp_in, count, hidden, width)
            kernels.relu(layer.hidden, count * hidden)
            linear(branch, layer.fc2, layer.hidden, count, width, hidden)
            add(x, x, branch, count * width)
            stream = x
        linear(self.logits, self.lm_head, x, count, sizes.vocab_size, width)

    def backward(self, n):
        """Compute `loss` and `grads` from what `forward(0, n)` has stored; overwrite `logits`."""
        kernels = self.kernels
        linear_backward_w = kernels.linear_backward_w
        linear_backward_x = kernels.linear_backward_x
        rmsnorm_backward = kernels.rmsnorm_backward
        c = self.constants
        sizes = self.sizes
        vocab_size = sizes.vocab_size
        width = sizes.n_embd
        hidden = sizes.n_hidden
        dx = self.dx
        dbranch = self.dbranch
        dqkv = self.dqkv
        dhidden = self.dhidden
        dlogits = self.logits
        kernels.cross_entropy(dlogits, self.loss_view, self.tokens_from[1], n, vocab_size, c)
        linear_backward_w(self.dlm_head, dlogits, self.x, n, vocab_size, width)
        linear_backward_x(dx, self.lm_head, dlogits, n, vocab_size, width)
        for layer in reversed(self.layers):
            linear_backward_w(layer.dfc2, dx, layer.hidden, n, width, hidden)
            linear_backward_x(dhidden, layer.fc2, dx, n, width, hidden)
            kernels.relu_backward(dhidden, layer.hidden, n * hidden)
            linear_backward_w(layer.dfc1, dhidden, layer.mlp_in, n, hidden, width)
            linear_backward_x(dbranch, layer.fc1, dhidden, n, hidden, width)
            rmsnorm_backward(dbranch, dbranch, layer.mlp_in, layer.mlp_scale, n, width, c)
            kernels.add(dx, dx, dbranch, n * width)

            linear_backward_w(layer.dwo, dx, layer.attn_out, n, width, width)
            linear_backward_x(dbranch, layer.wo, dx, n, width, width)
            kernels.attention_backward(
                dqkv,
                dbranch,
                layer.attn_out,
                layer.attn_weights,
                layer.qkv_from[0],
                n,
                sizes.n_head,
                sizes.head_dim,
                c,
            )
            linear_backward_w(layer.dwqkv, dqkv, layer.attn_in, n, 3 * width, width)
            linear_backward_x(dbranch, layer.wqkv, dqkv, n, 3 * width, width)
            rmsnorm_backward(dbranch, dbranch, layer.attn_in, layer.attn_scale, n, width, c)
            kernels.add(dx, dx, dbranch, n * width)
        rmsnorm_backward(dx, dx, self.embedded, self.embedded_scale, n, width, c)
        kernels.embed_backward(
            self.dwte,
            self.dwpe,
            dx,
            self.tokens_from[0],
            n,
            width,
            vocab_size,
            sizes.block_size,
        )

    def loss_and_grads(self, n):
        """Return the mean loss of the n positions in tokens[: n + 1] and compute `grads`."""
        self.forward(0, n)
        self.backward(n)
        return self.loss[0]

    def set_tokens(self, tokens):
        """Copy a document's tokens, cut to the block, into `tokens`; return n, for `forward`."""
        n = min(self.sizes.block_size, len(tokens) - 1)
        for t in range(n + 1):
            self.tokens[t] = tokens[t]
        return n
