// The ensemble axis: S networks of one architecture, each with weights of its own, on the same
// samples or each on its own.
#pragma once

#include <algorithm>

#include "mlpcore/derivatives.hpp"
#include "mlpcore/parallel.hpp"

namespace mlpcore {

// From the data of one network to that of the next; 0 where they share it.
struct EnsembleSteps {
    index x = 0, t = 0, labels = 0, sample_weight = 0;
};

template <class T> struct Ensemble {
    NetworkView net;
    index size;       // S
    const T* w;       // S x W
    Batch<T> samples; // of the first network
    EnsembleSteps steps;

    const T* weights_of(index s) const { return w + s * net.n_weights; }
    Batch<T> samples_of(index s) const {
        Batch<T> mine = samples;
        mine.x += s * steps.x;
        mine.t += mine.t ? s * steps.t : 0;
        mine.labels += mine.labels ? s * steps.labels : 0;
        mine.sample_weight += mine.sample_weight ? s * steps.sample_weight : 0;
        return mine;
    }
};

// Calls body(s, interrupt) for each network s, which computes the quantity `times` times. Small
// networks are computed side by side, one a thread; large ones one after the other, each on all
// threads.
template <class T, class Body>
void for_each_network(const Ensemble<T>& ensemble, Quantity quantity, index times,
                      Interrupt* interrupt, const Body& body) {
    constexpr double large = 1e7, worth_a_thread = 5e4; // multiply-adds
    const double each = ensemble.size > 1 ? cost(ensemble.net, quantity, ensemble.samples.n) *
                                                static_cast<double>(times)
                                          : large;
    if (each >= large) {
        for (index s = 0; s < ensemble.size; ++s) {
            body(s, interrupt);
        }
        return;
    }
    const double useful = each * static_cast<double>(ensemble.size) / worth_a_thread;
    const int threads =
        static_cast<int>(std::min(static_cast<double>(max_threads()), std::max(useful, 1.0)));
    parallel_for(ensemble.size, threads, interrupt, [&](index s) { body(s, nullptr); });
}
template <class T, class Body>
void for_each_network(const Ensemble<T>& ensemble, Quantity quantity, Interrupt* interrupt,
                      const Body& body) {
    for_each_network(ensemble, quantity, 1, interrupt, body);
}

} // namespace mlpcore
