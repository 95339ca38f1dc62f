#include <stdexcept>

#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"

namespace mlpcore::bindings {

namespace {

Network make_network(const std::vector<index>& layers, const std::vector<std::string>& hidden,
                     const std::string& output, bool is_double) {
    std::vector<Activation> activations;
    activations.reserve(hidden.size());
    for (const std::string& name : hidden) {
        activations.push_back(static_cast<Activation>(as_choice("hidden", activation_names, name)));
    }
    const auto unit = static_cast<Output>(as_choice("output", output_names, output));
    return {Architecture(layers, activations, unit), is_double};
}

} // namespace

void bind_network(py::module_& m) {
    m.def(
        "as_array",
        [](const std::string& name, py::handle object, bool is_double) -> py::array {
            return is_double ? py::array(as_array<double>(name.c_str(), object))
                             : py::array(as_array<float>(name.c_str(), object));
        },
        py::arg("name"), py::arg("object"), py::arg("is_double"));
    m.def("check_memory", &check_memory, py::arg("what"), py::arg("n_bytes"));
    py::class_<Network>(m, "Network")
        .def(py::init(&make_network), py::arg("layers"), py::arg("hidden"), py::arg("output"),
             py::arg("is_double"))
        .def_property_readonly("n_weights",
                               [](const Network& n) { return n.architecture.view().n_weights; });
}

} // namespace mlpcore::bindings
