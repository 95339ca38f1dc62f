// The table of one build of the kernels for one type of number.
#pragma once

#include "backward.hpp"
#include "cholesky.hpp"
#include "curvature.hpp"
#include "hessian.hpp"
#include "jacobian.hpp"
#include "jacobian_products.hpp"
#include "output_hessian.hpp"
#include "rop.hpp"
#include "ruler.hpp"
#include "symmetric.hpp"
#include "two_loop.hpp"
#include "vectors.hpp"

namespace mlpcore::MLPCORE_ISA {

namespace {

template <class T>
void forward(const NetworkView& net, const T* w, const Batch<T>& batch, bool logits, T* y,
             T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    tile.load_inputs(batch);
    forward_pass(net, w, Slopes<T>{}, tile);
    if (!logits) {
        output_units(net.output, net.n_outputs, tile.outputs(), tile.stride);
    }
    tile.write_rows(tile.outputs(), net.n_outputs, y, net.n_outputs);
}

// The rows of a tile that each pass takes; the passes' calls of Tile::take, added up.
template <class T> index scratch_size(const NetworkView& net, Quantity quantity, index n) {
    const index units = net.n_units, k = net.n_outputs, widest = net.widest;
    index rows = units;
    switch (quantity) {
    case Quantity::forward:
        break;
    case Quantity::error:
        rows += k + 1;
        break;
    case Quantity::gradient:
        rows += units + 1 + outer_rows_turned<T>(widest);
        break;
    case Quantity::per_sample_gradient:
        rows += units + 1;
        break;
    case Quantity::jacobian:
        rows += units + jacobian_rows<T>(net, padded(n, lanes<T>));
        break;
    case Quantity::weight_jacobian:
        rows += units + k + 2 * widest;
        break;
    case Quantity::hessian_diagonal:
        rows += 2 * units + 2 * k + 1 + 6 * widest + outer_rows_turned<T>(widest) +
                detail::curvature_rows(net) + detail::half_product_rows(net);
        break;
    case Quantity::hessian:
        rows = detail::hessian_rows(net);
        break;
    case Quantity::hessian_vector_product:
        rows = rop_rows<T>(net, 1);
        break;
    case Quantity::hessian_vector_products:
        rows = rop_rows<T>(net, directions_at_once);
        break;
    case Quantity::output_hessian:
        rows = output_hessian_rows(net);
        break;
    case Quantity::jvp:
        rows += units + 2 * widest;
        break;
    case Quantity::vjp:
        rows += units + k + net.n_inputs;
        break;
    case Quantity::weight_jvp:
        rows += units + k + 2 * n_hidden(net);
        break;
    case Quantity::weight_vjp:
        rows += units + k + 1 + widest + outer_rows_turned<T>(widest);
        break;
    }
    return rows * padded(n, lanes<T>);
}

template <class T> void elementary(int function, index n, const T* x, T* y) {
    const auto apply = [&](auto f) {
        for (index i = 0; i < n; i += lanes<T>) {
            T buffer[lanes<T>] = {};
            const index count = n - i < lanes<T> ? n - i : lanes<T>;
            for (index j = 0; j < count; ++j) {
                buffer[j] = x[i + j];
            }
            store(buffer, f(load(buffer)));
            for (index j = 0; j < count; ++j) {
                y[i + j] = buffer[j];
            }
        }
    };
    switch (function) {
    case 0:
        return apply([](Vec<T> v) { return exp_nonpositive<T>(v); });
    case 1:
        return apply([](Vec<T> v) { return expm1_nonpositive<T>(v); });
    case 2:
        return apply([](Vec<T> v) { return log1p_unit<T>(v); });
    case 3:
        return apply([](Vec<T> v) { return log_positive<T>(v); });
    case 4:
        return apply([](Vec<T> v) { return tanh<T>(v); });
    case 5:
        return apply([](Vec<T> v) { return sigmoid<T>(v); });
    case 6:
        return apply([](Vec<T> v) { return softplus<T>(v, logistic_begin<T>(v)); });
    case 7:
        return apply([](Vec<T> v) { return normal<T>(v).density; });
    case 8:
        return apply([](Vec<T> v) { return normal<T>(v).distribution; });
    default:
        return;
    }
}

template <class T> constexpr Kernels<T> table() {
    return {.lanes = lanes<T>,
            .scratch_size = scratch_size<T>,
            .forward = forward<T>,
            .error = error_pass<T>,
            .gradient = gradient_pass<T>,
            .gradient_begin = gradient_begin<T>,
            .gradient_put = gradient_put<T>,
            .jacobian = jacobian_pass<T>,
            .weight_jacobian = weight_jacobian_pass<T>,
            .per_sample_gradient = per_sample_gradient_pass<T>,
            .hessian_diagonal = hessian_diagonal_pass<T>,
            .hessian_vector_product = hessian_vector_product_pass<T>,
            .output_hessian = output_hessian_pass<T>,
            .jvp = jvp_pass<T>,
            .weight_jvp = weight_jvp_pass<T>,
            .vjp = vjp_pass<T>,
            .weight_vjp = weight_vjp_pass<T>,
            .hessian_begin = hessian_begin<T>,
            .hessian_descend = hessian_descend<T>,
            .hessian_piece_scratch = hessian_piece_scratch<T>,
            .hessian_add = hessian_add<T>,
            .mirror = mirror<T>,
            .first_nonfinite = first_nonfinite<T>,
            .accumulate = accumulate<T>,
            .dot = dot<T>,
            .axpy = axpy<T>,
            .momentum_step = momentum_step<T>,
            .adam_step = adam_step<T>,
            .two_loop = two_loop<T>,
            .cholesky_panel = cholesky_panel<T>,
            .cholesky_update = cholesky_update<T>,
            .cholesky_solve = cholesky_solve<T>,
            .elementary = elementary<T>,
            .ruler_width = ruler_width<T>,
            .ruler = ruler<T>};
}

} // namespace

} // namespace mlpcore::MLPCORE_ISA
