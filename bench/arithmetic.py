"""What a quantity must cost at least: multiply-adds, and numbers to and from memory.

PRML's count: products with weights count, one multiply-add each; activations, biases and what is
done element by element count as 0. It is the count of the cheapest way that we know, symmetries
used, whatever a contestant really does. bench/README.md has the formulas.
"""

from __future__ import annotations

import math
from itertools import pairwise

from bench.cases import VECTORS, Case, EnsembleCase


def multiply_adds(quantity: str, case: Case | EnsembleCase) -> int:
    """Of one call (of one epoch when training)."""
    if isinstance(case, EnsembleCase):
        return case.starts * sum(multiply_adds("train", member) for member in case.members)
    return case.n_samples * A_SAMPLE[quantity](case)


def numbers_moved(quantity: str, case: Case | EnsembleCase) -> int:
    """Arguments read and result written, each once."""
    if isinstance(case, EnsembleCase):
        return case.starts * sum(numbers_moved("train", member) for member in case.members)
    n, (d, *_, k), w = case.n_samples, case.layers, case.n_weights
    if quantity == "train":
        assert case.training is not None
        return n * (d + k) + 6 * w * case.training.steps(n)  # Adam reads and writes w, m and v
    targets = 0 if quantity in ("jacobian", "weight_jacobian") else n * k
    vectors = {"hessian_vector_product": w, "hessian_vector_products": VECTORS * w}
    return n * d + targets + w + vectors.get(quantity, 0) + math.prod(case.result_shape(quantity))


def products(case: Case) -> list[int]:
    """n_{l-1} n_l for every layer: what one pass through it costs."""
    return [a * b for a, b in pairwise(case.layers)]


def gradient(case: Case) -> int:
    """Forward, the errors back to the lowest hidden layer, and the outer products."""
    P = products(case)
    return sum(P) + sum(P[1:]) + sum(P)


def jacobian(case: Case) -> int:
    """Forward (a linear output layer's z is not needed), then the cheaper of the two directions."""
    P, (d, *_, k) = products(case), case.layers
    linear, softmax = case.output == "linear", case.output == "softmax"
    # One logit of a softmax can stay out; diag(y) - y y^T is applied to D columns.
    logits, output = (k - 1, 2 * k * d) if softmax else (k, 0)
    return sum(P[:-1] if linear else P) + min(logits * sum(P[:-1]), d * sum(P[1:])) + output


def weight_jacobian(case: Case) -> int:
    """Forward, and for every output the errors back and the outer products.

    With a linear output delta^L is a row of the unit matrix, so dy/dW^L is a copy of a^{L-1}.
    """
    P, k = products(case), case.layers[-1]
    if case.output == "linear":
        return sum(P[:-1]) + k * (sum(P[1:-1]) + sum(P[:-1]))
    return sum(P) + k * (sum(P[1:]) + sum(P))


def hessian_diagonal(case: Case) -> int:
    """Forward, the errors back, and B^l from the top: symmetric, of the lowest layer the diagonal.

    sum_n B^l_jj a_i^2 takes n_l n_{l-1} a layer. W^T B W takes n_l n_{l+1}^2 for the first product
    and n_{l+1} n_l (n_l + 1) / 2 for the second. With a linear output B^L = 1 for all samples, so
    that W^T W counts as 0, and the curvatures of the uppermost weights are the same for every k.
    """
    P, layers = products(case), case.layers
    linear = case.output == "linear"
    count = sum(P) + sum(P[1:]) + sum(P[:-1]) + (layers[-2] if linear else P[-1])
    top = len(layers) - 2  # the uppermost hidden layer
    for lower in range(top, 0, -1):
        n, upper = layers[lower], layers[lower + 1]
        lowest = lower == 1
        half = n if lowest else n * (n + 1) // 2  # entries of B^l that are needed
        if lower == top:  # B^L is constant, diag(s), or diag(s) - c u u^T
            count += 0 if linear else upper * (half + n * (case.output == "softmax"))
        elif lowest:  # sum_rs W_ri B_rs W_si, by half of B
            count += n * upper * (upper + 1) // 2 + n * upper
        else:
            count += n * upper * upper + upper * half
    return count


def hessian(case: Case) -> int:
    """One triangle of a plain product of N numbers for each entry: a measure, not the least.

    Where layers meet themselves the pairs of units and the pairs of inputs are symmetric each, and
    a quarter of those entries would do.
    """
    return case.n_weights**2 // 2


def hessian_vector_products(case: Case, vectors: int = VECTORS) -> int:
    """By the R-operator: forward and the errors back once, R{.} of both for each vector.

    Of the lowest layer R{a^0} = 0, and nothing is passed down to the inputs. A vector takes W R{a}
    and V a forward, W^T R{delta} and V^T delta back, and R{delta} a^T and delta R{a}^T.
    """
    P = products(case)
    above = sum(P[1:])
    return sum(P) + above + vectors * (2 * sum(P) + 4 * above)


def hessian_vector_product(case: Case) -> int:
    return hessian_vector_products(case, 1)


A_SAMPLE = {
    "gradient": gradient,
    "per_sample_gradient": gradient,
    "train": gradient,
    "jacobian": jacobian,
    "weight_jacobian": weight_jacobian,
    "hessian_diagonal": hessian_diagonal,
    "hessian": hessian,
    "gauss_newton": hessian,
    "hessian_vector_product": hessian_vector_product,
    "hessian_vector_products": hessian_vector_products,
}
