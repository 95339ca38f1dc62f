// The ensemble axis: S networks of one architecture, each with weights of its own, on the same
// samples or each on its own.
#pragma once

#include <algorithm>
#include <optional>

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

// The threads that take a network each, where small ones are computed side by side. None where each
// is worth all threads, and they are computed one after the other.
template <class T>
std::optional<int> threads_side_by_side(const Ensemble<T>& ensemble, Quantity quantity,
                                        index times) {
    constexpr double large = 1e7, worth_a_thread = 5e4; // multiply-adds
    if (ensemble.size <= 1) {
        return {};
    }
    const double each =
        cost(ensemble.net, quantity, ensemble.samples.n) * static_cast<double>(times);
    if (each >= large) {
        return {};
    }
    const auto networks = static_cast<double>(ensemble.size);
    const double most = std::min(networks, static_cast<double>(max_threads()));
    return static_cast<int>(std::clamp(each * networks / worth_a_thread, 1.0, most));
}

// Calls body(s, interrupt) for each network s, which computes the quantity `times` times.
template <class T, class Body>
void for_each_network(const Ensemble<T>& ensemble, Quantity quantity, index times,
                      Interrupt* interrupt, const Body& body) {
    if (const auto threads = threads_side_by_side(ensemble, quantity, times)) {
        parallel_for(ensemble.size, *threads, interrupt, [&](index s) { body(s, nullptr); });
        return;
    }
    for (index s = 0; s < ensemble.size; ++s) {
        body(s, interrupt);
    }
}

// The working memory that this takes, in all threads.
template <class T>
double scratch_bytes(const Ensemble<T>& ensemble, Quantity quantity, index times) {
    const index n = ensemble.samples.n;
    if (const auto threads = threads_side_by_side(ensemble, quantity, times)) {
        return *threads * scratch_bytes<T>(ensemble.net, quantity, n, 1, 1);
    }
    return scratch_bytes<T>(ensemble.net, quantity, n, times, max_threads());
}

} // namespace mlpcore
