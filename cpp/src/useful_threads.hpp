// How many threads a piece of work is worth.
#pragma once

#include <algorithm>

#include "mlpcore/kernels.hpp"
#include "mlpcore/parallel.hpp"

namespace mlpcore {

// For so many multiply-adds, at most as many as there may be. With less a thread takes longer to
// wake than it saves: 3 us on two cores with AVX-512, where a gradient of 1-10-1 with 384 samples
// took 3.9 us on one thread and 5.0 on two.
template <class T> int useful_threads(double cost) {
    const double cost_per_thread = 20e3 * static_cast<double>(kernels<T>().lanes);
    return static_cast<int>(
        std::clamp(cost / cost_per_thread, 1.0, static_cast<double>(std::max(max_threads(), 1))));
}

} // namespace mlpcore
