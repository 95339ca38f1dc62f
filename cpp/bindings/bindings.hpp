// What module.cpp puts together: one function for each concept, each in its own file.
#pragma once

#include <pybind11/pybind11.h>

namespace mlpcore::bindings {

void bind_network(pybind11::module_& m);
void bind_derivatives(pybind11::module_& m);
void bind_hessian(pybind11::module_& m);
void bind_products(pybind11::module_& m);
void bind_training(pybind11::module_& m);
void bind_minimize(pybind11::module_& m);
void bind_config(pybind11::module_& m);

} // namespace mlpcore::bindings
