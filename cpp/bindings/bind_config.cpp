// What was built, what was chosen, how many threads, how much memory, how fast the machine is.
#include <chrono>
#include <stdexcept>
#include <string>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "memory.hpp"
#include "mlpcore/parallel.hpp"
#include "optim/minimize.hpp"
#include "optim/train.hpp"
#include "running.hpp"

namespace mlpcore::bindings {

namespace {

template <std::size_t N> py::tuple to_tuple(const std::array<std::string_view, N>& names) {
    py::tuple result(N);
    for (std::size_t i = 0; i < N; ++i) {
        result[i] = std::string(names[i]);
    }
    return result;
}

// Applies one of the kernels' elementary functions, for the tests of their accuracy.
template <class T> py::array_t<T> elementary(const std::string& name, const py::array_t<T>& x) {
    py::array_t<T> y(x.size());
    kernels<T>().elementary(as_choice("name", elementary_names, name), x.size(), x.data(),
                            y.mutable_data());
    return y;
}

// Multiply-adds a second of n_threads threads that do nothing else.
template <class T> double fma_peak(int n_threads, index rounds) {
    constexpr index pieces_a_thread = 16; // so that a thread that wakes late spoils little
    const Kernels<T>& k = kernels<T>();
    const index pieces = pieces_a_thread * n_threads;
    return without_gil([&](Interrupt* interrupt) {
        using Clock = std::chrono::steady_clock;
        const Clock::time_point start = Clock::now();
        parallel_for(pieces, n_threads, interrupt, [&](index) { k.ruler(rounds, T(1)); });
        const std::chrono::duration<double> seconds = Clock::now() - start;
        return static_cast<double>(pieces) * static_cast<double>(rounds * k.ruler_width) /
               seconds.count();
    });
}

void check_positive(const char* name, index n) {
    if (n < 1) {
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(n) +
                                    ", expected at least 1");
    }
}

} // namespace

void bind_config(py::module_& m) {
    m.attr("activations") = to_tuple(activation_names);
    m.attr("outputs") = to_tuple(output_names);
    m.attr("curvatures") = to_tuple(curvature_names);
    m.attr("hessian_kinds") = to_tuple(hessian_names);
    m.attr("product_kinds") = to_tuple(product_kind_names);
    m.attr("first_order_optimizers") = to_tuple(first_order_names);
    m.attr("methods") = to_tuple(method_names);
    m.attr("conjugacies") = to_tuple(conjugacy_names);
    m.attr("elementary_functions") = to_tuple(elementary_names);
    m.attr("compiler") = MLPCORE_COMPILER;
    m.attr("build_type") = MLPCORE_BUILD_TYPE;
    m.attr("sanitizers") = MLPCORE_SANITIZERS;
    m.attr("flags") = MLPCORE_FLAGS;
    m.def("isa", [] { return std::string(instruction_set().name); });
    m.def("available_isas", [] {
        py::list names;
        for (const InstructionSet* set : available_instruction_sets()) {
            names.append(std::string(set->name));
        }
        return py::tuple(names);
    });
    m.attr("openmp") = has_openmp();
    m.def("max_threads", &max_threads);
    m.def("chosen_threads", &chosen_threads);
    m.def("set_max_threads", &set_max_threads, py::arg("n"));
    m.def(
        "elementary",
        [](const std::string& name, const py::array& x) -> py::array {
            if (x.dtype().is(py::dtype::of<float>())) {
                return elementary<float>(name, as_array<float>("x", x));
            }
            return elementary<double>(name, as_array<double>("x", x));
        },
        py::arg("name"), py::arg("x"));
    m.def("available_memory", &available_memory, py::arg("root") = "");
    m.def(
        "fma_peak",
        [](bool is_double, int n_threads, index rounds) {
            check_positive("n_threads", n_threads);
            check_positive("rounds", rounds);
            return is_double ? fma_peak<double>(n_threads, rounds)
                             : fma_peak<float>(n_threads, rounds);
        },
        py::arg("is_double"), py::arg("n_threads"), py::arg("rounds"));
}

} // namespace mlpcore::bindings
