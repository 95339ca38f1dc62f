// The gradient of few samples and many weights. A sum for each chunk of samples would cost nearly
// as much as the samples do; so all tiles go forward and back first, and then the blocks of the
// weights are summed over all samples, each by one thread and each number once.
#pragma once

#include "mlpcore/interrupt.hpp"
#include "mlpcore/kernels.hpp"

namespace mlpcore {

// Whether it is worth it for n samples, n > 0; depends on the network and n alone.
template <class T> bool suits_blocks(const NetworkView& net, index n);

// Writes the gradient, returns the error. All samples of `data` count (counted.hpp).
template <class T>
double gradient_by_blocks(const NetworkView& net, const T* w, const Batch<T>& data, T* gradient,
                          Interrupt* interrupt);

} // namespace mlpcore
