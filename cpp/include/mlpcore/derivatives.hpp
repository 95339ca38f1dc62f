// Every quantity of a network on a whole set of samples: the samples are cut into chunks and
// tiles, the tiles handed to the kernels on several threads, and the sums put together in order.
#pragma once

#include "mlpcore/interrupt.hpp"
#include "mlpcore/kernels.hpp"

namespace mlpcore {

// The samples first ... first + n - 1 of some.
template <class T>
Batch<T> slice(const NetworkView& net, const Batch<T>& data, index first, index n) {
    Batch<T> part = data;
    part.n = n;
    if (data.rows != nullptr) {
        part.rows += first;
        return part;
    }
    part.x += first * net.n_inputs;
    part.t += part.t ? first * net.n_outputs : 0;
    part.labels += part.labels ? first : 0;
    part.sample_weight += part.sample_weight ? first : 0;
    return part;
}

// Multiply-adds of a quantity on n samples, roughly.
double cost(const NetworkView& net, Quantity quantity, index n);

// Whether the working memory of a quantity grows faster than the number of units.
constexpr bool takes_much(Quantity quantity) {
    switch (quantity) {
    case Quantity::jacobian:
    case Quantity::hessian:
    case Quantity::hessian_diagonal:
    case Quantity::hessian_vector_product:
    case Quantity::hessian_vector_products:
    case Quantity::output_hessian:
        return true;
    default:
        return false;
    }
}

// The working memory that a quantity takes on n samples if it is computed `times` times (for so
// many groups of directions, say), on at most so many threads.
template <class T>
double scratch_bytes(const NetworkView& net, Quantity quantity, index n, index times, int threads);

// All throw Interrupted if `interrupt` (may be null) says so, and std::bad_alloc.

template <class T>
void forward(const NetworkView& net, const T* w, const Batch<T>& data, bool logits, T* y,
             Interrupt* interrupt);

template <class T>
double error(const NetworkView& net, const T* w, const Batch<T>& data, Interrupt* interrupt);

// Writes the gradient, returns the error.
template <class T>
double gradient(const NetworkView& net, const T* w, const Batch<T>& data, T* gradient,
                Interrupt* interrupt);

template <class T>
void jacobian(const NetworkView& net, const T* w, const Batch<T>& data, T* jacobian,
              Interrupt* interrupt);

template <class T>
void weight_jacobian(const NetworkView& net, const T* w, const Batch<T>& data, T* jacobian,
                     Interrupt* interrupt);

template <class T>
void per_sample_gradient(const NetworkView& net, const T* w, const Batch<T>& data, T* gradients,
                         Interrupt* interrupt);

template <class T>
void hessian_diagonal(const NetworkView& net, const T* w, const Batch<T>& data, Curvature kind,
                      T* diagonal, Interrupt* interrupt);

// The whole Hessian, W x W, symmetric to the last bit.
template <class T>
void hessian(const NetworkView& net, const T* w, const Batch<T>& data, HessianKind kind, T* hessian,
             Interrupt* interrupt);

// Its diagonal blocks by layer: blocks[l] has as many rows and columns as layer l has weights.
template <class T>
void hessian_blocks(const NetworkView& net, const T* w, const Batch<T>& data, HessianKind kind,
                    T* const* blocks, Interrupt* interrupt);

// scratch_bytes of these two.
template <class T> double hessian_scratch_bytes(const NetworkView& net, index n, int threads);
// The Hessian times each of m vectors v (m x W); `product` is m x W.
template <class T>
void hessian_vector_product(const NetworkView& net, const T* w, const T* v, index m,
                            const Batch<T>& data, ProductKind kind, T* product,
                            Interrupt* interrupt);

// d2y_k/dx_i dx_m, n x K x D x D.
template <class T>
void output_hessian(const NetworkView& net, const T* w, const Batch<T>& data, T* hessian,
                    Interrupt* interrupt);

// (dy/dx) dx for each sample: dx is n x D, dy n x K.
template <class T>
void jvp(const NetworkView& net, const T* w, const Batch<T>& data, const T* dx, T* dy,
         Interrupt* interrupt);

// (dy/dx)^T dy for each sample; dy, n x K, in the place of the targets.
template <class T>
void vjp(const NetworkView& net, const T* w, const Batch<T>& data, T* dx, Interrupt* interrupt);

// (dy/dw) v for each sample, n x K.
template <class T>
void weight_jvp(const NetworkView& net, const T* w, const T* v, const Batch<T>& data, T* dy,
                Interrupt* interrupt);

// The sum over samples of (dy/dw)^T dy; dy in the place of the targets.
template <class T>
void weight_vjp(const NetworkView& net, const T* w, const Batch<T>& data, T* sum,
                Interrupt* interrupt);

} // namespace mlpcore
