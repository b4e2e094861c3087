"""The kernels in plain Python: the reference, and what boards without a floating-point unit use.

A kernel works on a whole document, `n` positions, in buffers that its caller has allocated. Its
arguments are handles, outputs first, and small ints. A handle comes from `view`; here it is a
memoryview of array('f'), or of bytes for tokens and targets. Matrices are row-major. Activations
and their gradients have a row for each position, weights are [out][in]; gradients of weights are
computed a block of rows at a time, and gradients overwrite what their buffer held, except in
`embed_backward`. `c` is the handle of the backend's CONSTANTS. Other backends have the same
names, arguments and meaning.

Every float is an object on the heap here, so a kernel's time depends on how many it reads and
makes.
"""

from array import array
from math import exp, log, sqrt

NAME = "portable"
EPS = 1e-5  # of RMSNorm, inside the square root
CONSTANTS = array("f", (EPS,))  # what `c` points to


def view(buffer, offset, length):
    """Return the handle for `length` elements of a flat array from `offset` on."""
    return memoryview(buffer)[offset : offset + length]


def embed(x, wte, wpe, tokens, n, width):
    """x[t] = wte[tokens[t]] + wpe[t]; x is (n, width)."""
    for t in range(n):
        i = tokens[t] * width
        for o in range(t * width, t * width + width):
            x[o] = wte[i] + wpe[o]
            i += 1


def embed_backward(dwte, dx, tokens, n, width, first, rows):
    """dwte[v - first] += sum of dx[t] over all t with tokens[t] == v, for the rows v of a block.

    These are first to first + rows - 1; dwte is (rows, width), their gradients; dx is (n, width).
    """
    for t in range(n):
        row = tokens[t] - first
        if 0 <= row < rows:
            i = row * width
            for o in range(t * width, t * width + width):
                dwte[i] += dx[o]
                i += 1


def rmsnorm(y, scale, x, n, width, c):
    """y[t] = x[t] * scale[t], scale[t] = 1 / sqrt(mean(x[t]**2) + eps) (Zhang & Sennrich, 2019).

    x and y are (n, width), scale is (n,).
    """
    eps = c[0]
    for t in range(n):
        start = t * width
        total = 0.0
        for i in range(start, start + width):
            v = x[i]
            total += v * v
        factor = 1.0 / sqrt(total / width + eps)
        scale[t] = factor
        for i in range(start, start + width):
            y[i] = x[i] * factor


def rmsnorm_backward(dx, dy, y, scale, n, width, c):
    """dx[t] = scale[t] * (dy[t] - y[t] * mean(dy[t] * y[t])); dx may be dy.

    dx, dy and y, the output of `rmsnorm`, are (n, width), scale is (n,).
    """
    for t in range(n):
        start = t * width
        total = 0.0
        for i in range(start, start + width):
            total += dy[i] * y[i]
        mean = total / width
        factor = scale[t]
        for i in range(start, start + width):
            dx[i] = factor * (dy[i] - y[i] * mean)


def linear(y, w, x, n, n_out, n_in):
    """y[t][o] = sum over i of w[o][i] * x[t][i]; y is (n, n_out), x is (n, n_in)."""
    _matmul(y, x, 0, n_in, 1, w, 1, n_in, n, n_out, n_in)


def linear_backward_x(dx, w, dy, n, n_out, n_in):
    """dx[t][i] = sum over o of w[o][i] * dy[t][o]; dx is (n, n_in), dy is (n, n_out)."""
    _matmul(dx, dy, 0, n_out, 1, w, n_in, 1, n, n_in, n_out)


def linear_backward_w(dw, dy, x, n, n_out, n_in, first, rows):
    """dw[o - first][i] = sum over t of dy[t][o] * x[t][i], for first <= o < first + rows.

    dw is (rows, n_in), the rows of w's gradient from `first` on.
    """
    _matmul(dw, dy, first, 1, n_out, x, n_in, 1, rows, n_in, n)


def _matmul(out, a, a_first, a_row, a_step, b, b_step, b_column, rows, columns, depth):
    """out[r][k] = sum over d of a[a_first + r * a_row + d * a_step] * b[d * b_step + k * b_column].

    out is (rows, columns), d from 0 to depth - 1. It is computed four columns at a time, so that an
    element of `a` becomes an object only once for four products.
    """
    tiled = columns - columns % 4
    terms = range(depth)
    o = 0
    for r in range(rows):
        first = a_first + r * a_row
        for k in range(0, tiled, 4):
            sum0 = sum1 = sum2 = sum3 = 0.0
            i = first
            j0 = k * b_column
            j1 = j0 + b_column
            j2 = j1 + b_column
            j3 = j2 + b_column
            for _ in terms:
                v = a[i]
                sum0 += v * b[j0]
                sum1 += v * b[j1]
                sum2 += v * b[j2]
                sum3 += v * b[j3]
                i += a_step
                j0 += b_step
                j1 += b_step
                j2 += b_step
                j3 += b_step
            out[o] = sum0
            out[o + 1] = sum1
            out[o + 2] = sum2
            out[o + 3] = sum3
            o += 4
        for k in range(tiled, columns):
            sum0 = 0.0
            i = first
            j0 = k * b_column
            for _ in terms:
                sum0 += a[i] * b[j0]
                i += a_step
                j0 += b_step
            out[o] = sum0
            o += 1


def clear(x, begin, end):
    """x[i] = 0 for begin <= i < end."""
    for i in range(begin, end):
        x[i] = 0.0


def add(y, a, b, count):
    """y[i] = a[i] + b[i]; y may be a or b."""
    for i in range(count):
        y[i] = a[i] + b[i]


def relu(x, count):
    """x[i] = max(x[i], 0)."""
    for i in range(count):
        if x[i] < 0.0:
            x[i] = 0.0


def relu_backward(dx, y, count):
    """dx[i] = 0 where y[i], the output of relu, is 0."""
    for i in range(count):
        if y[i] <= 0.0:
            dx[i] = 0.0


def attention(out, p, qkv, first, n, n_head, head_dim, c):
    """Causal attention: each position t, from `first` to n - 1, attends to the positions s <= t.

    qkv[t] is query, key and value of position t, each of width n_head * head_dim: qkv is
    (n, 3 * width). Writes out[t - first], (n - first, width), and the attention weights
    p[head][t][s], (n_head, n, n), of which those with s > t are neither written nor read.
    """
    width = n_head * head_dim
    row = 3 * width
    scale = 1.0 / sqrt(head_dim)
    for head in range(n_head):
        for t in range(first, n):
            q = t * row + head * head_dim
            start = (head * n + t) * n
            largest = None
            k = head * head_dim + width
            for i in range(start, start + t + 1):
                score = 0.0
                for j in range(head_dim):
                    score += qkv[q + j] * qkv[k + j]
                score *= scale
                p[i] = score
                if largest is None or score > largest:
                    largest = score
                k += row
            total = 0.0
            for i in range(start, start + t + 1):
                weight = exp(p[i] - largest)
                p[i] = weight
                total += weight
            for i in range(start, start + t + 1):
                p[i] /= total
            o = (t - first) * width + head * head_dim
            for j in range(head_dim):
                v = head * head_dim + 2 * width + j
                total = 0.0
                for i in range(start, start + t + 1):
                    total += p[i] * qkv[v]
                    v += row
                out[o + j] = total


def attention_backward(dqkv, dout, out, p, qkv, n, n_head, head_dim, c):
    """dqkv, the gradient of qkv, from dout, the gradient of `attention` with first = 0.

    A key and a value get gradients from their own and all later positions. The sum over p * dp in
    the softmax's gradient equals the dot product of dout and out (Dao et al., "FlashAttention",
    2022, appendix B.2), so that one pass over the keys is enough.
    """
    width = n_head * head_dim
    row = 3 * width
    scale = 1.0 / sqrt(head_dim)
    for head in range(n_head):
        for t in range(n):
            o = t * width + head * head_dim
            q = t * row + head * head_dim
            inner = 0.0
            for j in range(head_dim):
                inner += dout[o + j] * out[o + j]
                dqkv[q + j] = 0.0
            k = head * head_dim + width
            i = (head * n + t) * n
            for s in range(t + 1):
                v = k + width
                weight = p[i]
                dp = 0.0
                for j in range(head_dim):
                    dp += dout[o + j] * qkv[v + j]
                dscore = weight * (dp - inner) * scale
                for j in range(head_dim):
                    dqkv[q + j] += dscore * qkv[k + j]
                    if s == t:  # the first position that attends to s: store, then add
                        dqkv[k + j] = dscore * qkv[q + j]
                        dqkv[v + j] = weight * dout[o + j]
                    else:
                        dqkv[k + j] += dscore * qkv[q + j]
                        dqkv[v + j] += weight * dout[o + j]
                k += row
                i += 1


def cross_entropy(logits, loss, targets, n, vocab_size, c):
    """loss[0] = mean of -log softmax(logits[t])[targets[t]], over t; logits become their gradient.

    logits is (n, vocab_size), targets (n,).
    """
    mean = 0.0
    for t in range(n):
        start = t * vocab_size
        largest = logits[start]
        for i in range(start, start + vocab_size):
            if logits[i] > largest:
                largest = logits[i]
        target = start + targets[t]
        shifted = logits[target] - largest
        total = 0.0
        for i in range(start, start + vocab_size):
            v = exp(logits[i] - largest)
            logits[i] = v
            total += v
        mean += log(total) - shifted
        factor = 1.0 / (total * n)
        for i in range(start, start + vocab_size):
            logits[i] *= factor
        logits[target] -= 1.0 / n
    loss[0] = mean / n


def softmax(p, x, factor, count, c):
    """p = softmax(x * factor[0]), factor[0] being 1 / temperature; p and x are (count,)."""
    inverse = factor[0]
    largest = x[0]
    for i in range(count):
        if x[i] > largest:
            largest = x[i]
    total = 0.0
    for i in range(count):
        v = exp((x[i] - largest) * inverse)
        p[i] = v
        total += v
    for i in range(count):
        p[i] /= total


def adam(params, grads, m, v, count, k, c):
    """A step of Adam (Kingma & Ba, 2015, algorithm 1): updates params, m and v, each (count,).

    k is the handle of `coefficients` in `adam.Adam`. The bias corrections are moved out of the
    loop: with v_hat = v / unbias2, m_hat / (sqrt(v_hat) + eps) is
    m_hat * sqrt(unbias2) / (sqrt(v) + eps * sqrt(unbias2)).
    """
    beta1, gain1, beta2, gain2, lr, power1, power2, eps = k
    root = sqrt(1.0 - power2)
    rate = lr * root / (1.0 - power1)
    eps *= root
    for i in range(count):
        g = grads[i]
        m_i = beta1 * m[i] + gain1 * g
        v_i = beta2 * v[i] + gain2 * g * g
        m[i] = m_i
        v[i] = v_i
        params[i] -= rate * m_i / (sqrt(v_i) + eps)
