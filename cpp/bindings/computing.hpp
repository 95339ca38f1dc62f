// A quantity of each network: the working memory checked first, then computed without the GIL.
#pragma once

#include "arrays.hpp"
#include "mlpcore/ensemble.hpp"
#include "running.hpp"

namespace mlpcore::bindings {

// Calls body(s, interrupt) for each network s, which computes the quantity `times` times.
template <class T, class Body>
void compute(const char* name, const Ensemble<T>& all, Quantity quantity, index times,
             const Body& body) {
    if (takes_much(quantity)) {
        check_working_memory(name, scratch_bytes(all, quantity, times));
    }
    without_gil(
        [&](Interrupt* interrupt) { for_each_network(all, quantity, times, interrupt, body); });
}
template <class T, class Body>
void compute(const char* name, const Ensemble<T>& all, Quantity quantity, const Body& body) {
    compute(name, all, quantity, 1, body);
}

} // namespace mlpcore::bindings
