// What was built, what was chosen, how many threads.
#include <string>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "mlpcore/parallel.hpp"
#include "optim/minimize.hpp"
#include "optim/train.hpp"

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

} // namespace

void bind_config(py::module_& m) {
    m.attr("activations") = to_tuple(activation_names);
    m.attr("outputs") = to_tuple(output_names);
    m.attr("curvatures") = to_tuple(curvature_names);
    m.attr("hessian_kinds") = to_tuple(hessian_names);
    m.attr("product_kinds") = to_tuple(product_kind_names);
    m.attr("optimizers") = to_tuple(optimizer_names);
    m.attr("methods") = to_tuple(method_names);
    m.attr("conjugacies") = to_tuple(conjugacy_names);
    m.attr("elementary_functions") = to_tuple(elementary_names);
    m.attr("compiler") = MLPCORE_COMPILER;
    m.attr("build_type") = MLPCORE_BUILD_TYPE;
    m.attr("sanitizers") = MLPCORE_SANITIZERS;
    m.def("isa", [] { return std::string(instruction_set().name); });
    m.def("available_isas", [] {
        py::list names;
        for (const InstructionSet* set : available_instruction_sets()) {
            names.append(std::string(set->name));
        }
        return py::tuple(names);
    });
    m.def("max_threads", &max_threads);
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
}

} // namespace mlpcore::bindings
