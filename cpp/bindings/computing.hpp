// A quantity of each network, as all of them are bound: check and borrow, make the array for the
// result, let go of the GIL, compute.
#pragma once

#include "arrays.hpp"
#include "mlpcore/derivatives.hpp"
#include "mlpcore/ensemble.hpp"
#include "running.hpp"

namespace mlpcore::bindings {

// Calls body(s, interrupt) for each network s, which computes the quantity `times` times; the
// working memory is checked before, and the GIL let go.
template <class T, class Body>
void compute(const char* name, const Ensemble<T>& all, Quantity quantity, index times,
             const Body& body) {
    if (takes_much(quantity)) {
        check_working_memory(name, scratch_bytes(all, quantity, times));
    }
    without_gil(
        [&](Interrupt* interrupt) { for_each_network(all, quantity, times, interrupt, body); });
}

// One of the networks, on its samples.
template <class T> struct Member {
    index s;
    const NetworkView& net;
    const T* w;
    Batch<T> samples;
};

// The networks and the samples of a call.
template <class T> struct Given {
    Given(const Network& net, py::handle w, py::handle x)
        : weights(as_weights<T>(net, w)), samples(as_inputs<T>(net, weights, x)),
          all(as_ensemble(net, weights, samples)) {}
    Given(const Network& net, py::handle w, py::handle x, py::handle t, py::handle sample_weight)
        : weights(as_weights<T>(net, w)), samples(as_samples<T>(net, weights, x, t, sample_weight)),
          all(as_ensemble(net, weights, samples)) {}

    Weights<T> weights;
    Samples<T> samples;
    Ensemble<T> all;
    index n = all.samples.n, d = all.net.n_inputs, k = all.net.n_outputs,
          n_weights = all.net.n_weights;

    // An array of `shape` for each network, `out` or a fresh one, of which body(member, to,
    // interrupt) writes the member's, computing the quantity `times` times.
    template <class Body>
    py::array result(const char* name, Quantity quantity, std::vector<py::ssize_t> shape,
                     py::handle out, std::initializer_list<Argument> arguments, const Body& body,
                     index times = 1) const {
        auto result = result_array<T>(name, weights, std::move(shape), out, arguments);
        T* const to = result.mutable_data();
        const index size = result.size() / std::max(all.size, index{1});
        compute(name, all, quantity, times, [&](index s, Interrupt* i) {
            body(
                Member<T>{
                    .s = s, .net = all.net, .w = all.weights_of(s), .samples = all.samples_of(s)},
                to + s * size, i);
        });
        return result;
    }
};

} // namespace mlpcore::bindings
