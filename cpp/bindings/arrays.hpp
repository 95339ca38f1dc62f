// The border: everything that comes from Python is checked and borrowed here, so that every error
// message about an array has one author. An array that is C-contiguous and of the network's type
// is never copied.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "mlpcore/ensemble.hpp"

namespace mlpcore::bindings {

namespace py = pybind11;

// A network as Python holds it: the architecture and the type that it computes in.
struct Network {
    Architecture architecture;
    bool is_double;
};

// Calls f(T{}) with the network's type.
template <class F> auto with_type(const Network& net, const F& f) {
    return net.is_double ? f(double{}) : f(float{});
}

// "(3, 4)", as Python writes it.
std::string shape_of(const py::array& a);

// Array-like to a C-contiguous array of T. TypeError for what is not real numbers.
template <class T> py::array_t<T> as_array(const char* name, py::handle object);

// w: (W,), or (S, W) for an ensemble of S networks; finite.
template <class T> struct Weights {
    py::array_t<T> array;
    index networks = 1;
    bool is_ensemble = false;
};
template <class T> Weights<T> as_weights(const Network& net, py::handle w);

// Samples, with the arrays that own them: null where there is none, for even an empty array takes
// longer to make than all checks.
template <class T> struct Samples {
    py::object x, t, labels, sample_weight;
    Batch<T> batch{};
    EnsembleSteps steps{};
};

struct SampleNames {
    const char *x = "X", *t = "T", *sample_weight = "sample_weight";
};

// X: (N, D), finite; for an ensemble also (S, N, D), and so for what follows.
template <class T>
Samples<T> as_inputs(const Network& net, const Weights<T>& w, py::handle x,
                     const SampleNames& names = {});

// X and T: (N, K), or (N,) for K = 1, or class labels (N,) for softmax; sample_weight: None or
// (N,), not negative.
template <class T>
Samples<T> as_samples(const Network& net, const Weights<T>& w, py::handle x, py::handle t,
                      py::handle sample_weight, const SampleNames& names = {});

template <class T>
Ensemble<T> as_ensemble(const Network& net, const Weights<T>& w, const Samples<T>& samples) {
    return {.net = net.architecture.view(),
            .size = w.networks,
            .w = w.array.data(),
            .samples = samples.batch,
            .steps = samples.steps};
}

// A further argument whose shape is known, finite; for an ensemble each network may have its own,
// `step` numbers further on (0 where they share it).
template <class T> struct Extra {
    py::array_t<T> array;
    index step = 0;

    const T* of(index s) const { return array.data() + s * step; }
};
template <class T>
Extra<T> as_extra(const char* name, const Weights<T>& w, py::handle object,
                  const std::vector<index>& shape);

// v: (W,) or m of them, (m, W), for each network; finite.
template <class T> struct Directions {
    py::array_t<T> array;
    index count = 1; // m
    bool is_block = false;
};
template <class T>
Directions<T> as_directions(const Network& net, const Weights<T>& w, py::handle v);

// MemoryError in words where so many bytes can't be had; of `quantity` beside its result.
void check_memory(const std::string& what, double bytes);
void check_working_memory(const char* quantity, double bytes);

// A fresh array, after check_memory; for an ensemble with S in front of its shape.
template <class T>
py::array_t<T> new_array(const char* what, const Weights<T>& w, std::vector<py::ssize_t> shape);

// A fresh array of these numbers.
template <class T> py::array_t<T> to_array(const std::vector<T>& numbers) {
    return py::array_t<T>(static_cast<py::ssize_t>(numbers.size()), numbers.data());
}

// An argument as it came, for messages.
struct Argument {
    const char* name;
    py::handle object;
};

// `out`, which must be an array that this result can be written to, and share memory with none of
// the arguments: they are read while it is written.
template <class T>
py::array_t<T> as_out(const Weights<T>& w, std::vector<py::ssize_t> shape, py::handle out,
                      std::initializer_list<Argument> arguments);

// The array for a result: `out`, or a fresh one where that is None.
template <class T>
py::array_t<T> result_array(const char* what, const Weights<T>& w, std::vector<py::ssize_t> shape,
                            py::handle out, std::initializer_list<Argument> arguments) {
    return out.is_none() ? new_array<T>(what, w, std::move(shape))
                         : as_out<T>(w, std::move(shape), out, arguments);
}

// The place of `value` in a list of names. ValueError with the list if it has none.
template <std::size_t N>
int as_choice(const char* name, const std::array<std::string_view, N>& names,
              const std::string& value) {
    std::string all;
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == value) {
            return static_cast<int>(i);
        }
        all += (i == 0 ? "" : ", ") + std::string(names[i]);
    }
    throw py::value_error(std::string(name) + " is '" + value + "', expected one of " + all);
}

} // namespace mlpcore::bindings
