// Penalties on the weights, as Python hands them over.
#pragma once

#include <memory>

#include "arrays.hpp"
#include "fitting.hpp"
#include "optim/penalty.hpp"

namespace mlpcore::bindings {

// `weight_decay` is a number, or (W,) numbers, none negative. `penalty` is None, or what
// mlpcore.regularizers makes of a regularizer: a tuple (alpha, ((lambda, epsilon), ...)) of arrays
// (W,) for a sum over the weights, else an object with value(w), gradient(w), product(w, v) and
// diagonal(w), which is only called on this thread; what it raises ends the fit. Null where there
// is nothing to add.
template <class T>
std::unique_ptr<Penalty<T>> as_penalty(const Network& net, py::handle weight_decay,
                                       py::handle penalty, FitInterrupt& interrupt);

} // namespace mlpcore::bindings
